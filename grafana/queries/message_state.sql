-- What the tracker concludes about one message: its row of message_state, and how far that row has followed the log.
-- Variable: message_sid. Returns one row per account that reported the SID, mostly one; none for a message of which nothing was heard.
-- The accounts come from the message's events: the key of message_state begins with the account, and before PostgreSQL 18 an index is
-- not searched without its first column. Durations in seconds. shown_from and shown_to, milliseconds since 1970, are a time range that holds the whole message, for a link.
SELECT
    state.message_sid AS "Message",
    state.status AS "Status",
    CASE WHEN state.is_final THEN 'final' ELSE 'open' END AS "Outcome",
    state.error_code AS "Code",
    state.channel AS "Channel",
    state.country AS "Country",
    '…' || right(state.from_address, 4) AS "From",
    '…' || right(state.to_address, 4) AS "To",
    state.messaging_service_sid AS "Messaging service",
    state.account_sid AS "Account",
    state.raw_dlr_done_date AS "Carrier's done date",
    state.decided_by AS "Decided by",
    state.event_count AS "Events",
    logged.events - state.event_count AS "Not yet projected",
    state.first_received_at AS "First callback",
    state.last_received_at AS "Last callback",
    state.sent_at AS "Sent",
    state.delivered_at AS "Delivered",
    greatest(extract(EPOCH FROM state.delivered_at - state.sent_at), 0)::float8 AS "Time to deliver",
    (extract(EPOCH FROM state.first_received_at - INTERVAL '10 seconds') * 1000)::bigint::text AS "shown_from",
    (extract(EPOCH FROM state.last_received_at + INTERVAL '1 minute') * 1000)::bigint::text AS "shown_to"
FROM (
    SELECT coalesce(events.account_sid, '') AS account_sid, count(*) AS events
    FROM events
    WHERE events.message_sid = ${message_sid:sqlstring}
    GROUP BY coalesce(events.account_sid, '')
) AS logged
INNER JOIN message_state AS state
    ON logged.account_sid = state.account_sid AND state.message_sid = ${message_sid:sqlstring}
