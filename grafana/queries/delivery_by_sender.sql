-- Delivery by sender, of the newest 100,000 messages whose first callback is in the time range. Variable: channel, one or several.
-- Senders are our own numbers and names, so they are shown whole; inbound messages, whose sender is the other party, are left out.
-- Returns sender, channel, messages, those finished, share delivered, messages undelivered, failed and open, and the most frequent error
-- code; the most messages first, 50 at most. A share is NULL where nothing finished. Reads message_state_newest_idx backwards.
WITH
chosen AS (
    SELECT from_address, channel, status, error_code
    FROM message_state
    WHERE
        first_received_at >= $__timeFrom()::timestamptz AND first_received_at < $__timeTo()::timestamptz
        AND channel = ANY(ARRAY[${channel:sqlstring}]::text [])
        AND status NOT IN ('receiving', 'received')
    ORDER BY first_received_at DESC, message_sid DESC
    LIMIT 100000
),

counted AS (
    SELECT
        coalesce(from_address, 'unknown') AS sender,
        channel,
        count(*) AS messages,
        count(*) FILTER (WHERE status IN ('delivered', 'read')) AS delivered,
        count(*) FILTER (WHERE status = 'undelivered') AS undelivered,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        mode() WITHIN GROUP (ORDER BY error_code) AS code
    FROM chosen
    GROUP BY 1, 2
)

SELECT
    sender AS "Sender",
    channel AS "Channel",
    messages::float8 AS "Messages",
    (delivered + undelivered + failed)::float8 AS "Finished",
    (delivered::numeric / nullif(delivered + undelivered + failed, 0))::float8 AS "Delivered",
    undelivered::float8 AS "Undelivered",
    failed::float8 AS "Failed",
    (messages - delivered - undelivered - failed)::float8 AS "Without outcome",
    code AS "Code"
FROM counted
ORDER BY messages DESC, sender ASC, channel ASC
LIMIT 50
