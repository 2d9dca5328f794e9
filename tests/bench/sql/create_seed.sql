-- Events to be multiplied, in this session only. number: 0, 1, 2 ... No parameters, no rows.
CREATE TEMPORARY TABLE seed (
    number integer PRIMARY KEY,
    account_sid text,
    message_sid text NOT NULL,
    status text NOT NULL,
    error_code text,
    raw_dlr_done_date text,
    channel text NOT NULL,
    from_address text,
    to_address text,
    messaging_service_sid text,
    received_at timestamptz NOT NULL,
    url text NOT NULL,
    body text NOT NULL,
    signature text NOT NULL,
    idempotency_token text,
    key_id text NOT NULL
)
