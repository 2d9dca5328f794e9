-- Keep one callback, the usual way. Parameters: text, but event_id uuid and body bytea. Returns nothing.
INSERT INTO callbacks (
    event_id, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, url, body, signature, idempotency_token, key_id,
    error_message
) VALUES (
    %(event_id)s, %(account_sid)s, %(message_sid)s, %(status)s, %(error_code)s, %(raw_dlr_done_date)s, %(channel)s,
    %(from_address)s, %(to_address)s, %(messaging_service_sid)s, %(url)s, %(body)s, %(signature)s, %(idempotency_token)s, %(key_id)s,
    %(error_message)s
)
