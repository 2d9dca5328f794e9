-- Reasons for the quarantine that came later.

-- ambiguous: the signature fits other readings of the body. opt_out: an Advanced Opt-Out notice. Rows are checked again, which reads a
-- table that holds exceptions only.
ALTER TABLE quarantined_callbacks DROP CONSTRAINT quarantined_callbacks_reason_is_known;
ALTER TABLE quarantined_callbacks ADD CONSTRAINT quarantined_callbacks_reason_is_known CHECK (
    reason IN ('no_message_sid', 'invalid_message_sid', 'no_status', 'invalid_status', 'ambiguous', 'opt_out')
);
