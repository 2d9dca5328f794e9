-- The messages that were heard of last.
-- No parameters. Returns message_sid, status, error_code, channel, country, to_address, account_sid (NULL for none), first_received_at, newest first, ten at most.
-- Uses message_state_newest_idx.
SELECT
    message_sid, status, error_code, channel, country, to_address, nullif(account_sid, '') AS account_sid, first_received_at
FROM message_state
ORDER BY first_received_at DESC, message_sid DESC
LIMIT 10
