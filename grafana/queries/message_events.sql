-- Every event of one message, in log order. Variable: message_sid.
-- "Said before": how many earlier events said the same (status, error code, done date). "Decides": this event is the one that the
-- message's state rests on. "Delay": seconds from our edge to the log, which is long where the event waited in the spool.
SELECT
    events.position AS "Position",
    events.received_at AS "Received",
    events.status AS "Status",
    events.error_code AS "Code",
    events.raw_dlr_done_date AS "Carrier's done date",
    events.source AS "Source",
    CASE WHEN events.position = state.decided_by THEN 'decides' END AS "Decides",
    row_number() OVER (
        PARTITION BY events.status, events.error_code, events.raw_dlr_done_date ORDER BY events.position
    ) - 1 AS "Said before",
    extract(EPOCH FROM events.recorded_at - events.received_at)::float8 AS "Delay",
    events.key_id AS "Verified with key",
    events.event_id::text AS "Event"
FROM events
LEFT JOIN message_state AS state
    ON state.message_sid = events.message_sid AND state.account_sid = coalesce(events.account_sid, '')
WHERE events.message_sid = ${message_sid:sqlstring}
ORDER BY events.position
LIMIT 1000
