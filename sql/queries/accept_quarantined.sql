-- Append a quarantined callback to the log as the event that its body states, once, with its own evidence and time of receipt.
-- quarantine_id uuid; accepted_by, reason text: who and why; account_sid, message_sid, status, error_code, raw_dlr_done_date, channel,
-- from_address, to_address, messaging_service_sid, error_message text: the columns of the event.
-- Returns one row: true: appended now; false: accepted before; NULL: no such callback. Locks log_head until the transaction ends.
SELECT accept_quarantined(
    %(quarantine_id)s::uuid, %(accepted_by)s::text, %(reason)s::text, %(account_sid)s::text, %(message_sid)s::text,
    %(status)s::text, %(error_code)s::text, %(raw_dlr_done_date)s::text, %(channel)s::text, %(from_address)s::text,
    %(to_address)s::text, %(messaging_service_sid)s::text, %(error_message)s::text
) AS accepted
