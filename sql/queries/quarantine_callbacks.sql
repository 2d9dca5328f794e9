-- Set signed requests aside that are no message status, each once.
-- Parameters: arrays of equal length; append_quarantined() in sql/schema.sql names their types.
-- Returns one row: how many were new. Uses quarantined_callbacks_pkey.
SELECT append_quarantined(
    %(quarantine_ids)b, %(reasons)b, %(received_ats)b, %(urls)b, %(bodies)b, %(signatures)b, %(idempotency_tokens)b, %(key_ids)b
) AS appended
