-- A page of the list of messages, newest first.
-- Filters, NULL for none: status, error_code, account_sid, to_address, from_address text; since, until timestamptz: first_received_at
-- from since on and before until. Page: before timestamptz and before_sid text, the last row of the page before, NULL for the first
-- page; limit bigint, rows at most. Returns one row a message.
-- Not to be prepared: planned with the values at hand, the filters that are NULL fall away, and what remains is a walk, in order and
-- no further than the page, of message_state_newest_idx or the index of a filter that was given.
SELECT
    message_sid, nullif(account_sid, '') AS account_sid, messaging_service_sid, channel, from_address, to_address, country, status,
    is_final, error_code, raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at
FROM message_state
WHERE
    (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s)
    AND (%(account_sid)s::text IS NULL OR message_state.account_sid = %(account_sid)s)
    AND (%(to_address)s::text IS NULL OR to_address = %(to_address)s)
    AND (%(from_address)s::text IS NULL OR from_address = %(from_address)s)
    AND (%(since)s::timestamptz IS NULL OR first_received_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR first_received_at < %(until)s)
    AND (
        %(before)s::timestamptz IS NULL
        OR (first_received_at, message_sid) < (%(before)s::timestamptz, %(before_sid)s::text)
    )
ORDER BY first_received_at DESC, message_sid DESC
LIMIT %(limit)s
