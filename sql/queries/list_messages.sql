-- A page of the list of messages, newest first.
-- Filters, NULL for none: status, error_code, account_sid, to_address, from_address, channel, country, messaging_service_sid text;
-- had_error_code text: a code that was ever reported; has_conflict boolean; effect smallint: a bit of effects_seen; other_than text[]:
-- statuses that are left out; since, until timestamptz: first_received_at from since on and before until. Page: before timestamptz,
-- before_sid text and before_account text (empty for none), the last row of the page before, NULL for the first page; limit bigint,
-- rows at most. Returns one row per message.
-- Not to be prepared: planned with the values at hand, the filters that are NULL fall away, and what remains is a walk, in order and
-- no further than the page, of message_state_newest_idx or the index of a filter that was given. The account is in few indexes, because
-- it only orders messages of one SID and microsecond: the page is read with its ties, then ordered by account and cut.
SELECT
    message_sid, nullif(page.account_sid, '') AS account_sid, messaging_service_sid, channel, from_address, to_address, country, status,
    is_final, error_code, raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at,
    has_conflict, error_codes_seen, error_codes_truncated, error_message
FROM (
    SELECT
        message_sid, account_sid, messaging_service_sid, channel, from_address, to_address, country, status,
        is_final, error_code, raw_dlr_done_date, decided_by, event_count, first_received_at, last_received_at, sent_at, delivered_at,
        has_conflict, error_codes_seen, error_codes_truncated, error_message
    FROM message_state
    WHERE
        (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(error_code)s::text IS NULL OR error_code = %(error_code)s)
        AND (%(account_sid)s::text IS NULL OR message_state.account_sid = %(account_sid)s)
        AND (%(to_address)s::text IS NULL OR to_address = %(to_address)s)
        AND (%(from_address)s::text IS NULL OR from_address = %(from_address)s)
        AND (%(channel)s::text IS NULL OR channel = %(channel)s)
        AND (%(country)s::text IS NULL OR country = %(country)s)
        AND (%(messaging_service_sid)s::text IS NULL OR messaging_service_sid = %(messaging_service_sid)s)
        AND (%(had_error_code)s::text IS NULL OR (error_codes_seen <> '{}' AND error_codes_seen @> ARRAY[%(had_error_code)s]))
        AND (%(has_conflict)s::boolean IS NULL OR has_conflict = %(has_conflict)s)
        AND (%(effect)s::smallint IS NULL OR (effects_seen & %(effect)s::smallint) <> 0)
        AND (%(other_than)s::text [] IS NULL OR status <> ALL(%(other_than)s))
        AND (%(since)s::timestamptz IS NULL OR first_received_at >= %(since)s)
        AND (%(until)s::timestamptz IS NULL OR first_received_at < %(until)s)
        AND (
            %(before)s::timestamptz IS NULL
            OR (first_received_at, message_sid, message_state.account_sid)
            < (%(before)s::timestamptz, %(before_sid)s::text, %(before_account)s::text)
        )
    ORDER BY first_received_at DESC, message_sid DESC
    FETCH FIRST (%(limit)s) ROWS WITH TIES
) AS page
ORDER BY first_received_at DESC, message_sid DESC, page.account_sid DESC
LIMIT %(limit)s
