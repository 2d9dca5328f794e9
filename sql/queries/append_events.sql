-- Append a batch to the log, each event once, however often it is asked.
-- Parameters: arrays of equal length, in order of arrival; append_events() in sql/schema.sql names their types.
-- Returns one row: how many events were new. Locks log_head until the transaction ends.
SELECT append_events(
    %(event_ids)b, %(sources)b, %(account_sids)b, %(message_sids)b, %(statuses)b, %(error_codes)b, %(raw_dlr_done_dates)b,
    %(channels)b, %(from_addresses)b, %(to_addresses)b, %(messaging_service_sids)b, %(received_ats)b, %(urls)b, %(bodies)b,
    %(signatures)b, %(idempotency_tokens)b, %(key_ids)b, %(error_messages)b
) AS appended
