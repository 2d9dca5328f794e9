-- The table of the usual way: the columns, indexes and constraints of `events`, but positions from a sequence and nothing that keeps
-- rows as they are. No parameters, no rows.
CREATE TABLE callbacks (
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    source text NOT NULL DEFAULT 'callback',
    account_sid text,
    message_sid text NOT NULL,
    status text NOT NULL,
    error_code text,
    raw_dlr_done_date text,
    channel text NOT NULL,
    from_address text,
    to_address text,
    messaging_service_sid text,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    url text,
    body bytea NOT NULL,
    signature text,
    idempotency_token text,
    key_id text,
    error_message text,
    CONSTRAINT callbacks_pkey PRIMARY KEY (position),
    CONSTRAINT callbacks_event_id_key UNIQUE (event_id),
    CONSTRAINT callbacks_source_is_known CHECK (source IN ('callback', 'event_stream', 'api', 'reconciliation', 'alert')),
    CONSTRAINT callbacks_message_sid_is_a_sid CHECK (message_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$'),
    CONSTRAINT callbacks_status_is_bounded CHECK (length(status) BETWEEN 1 AND 64)
);
CREATE INDEX callbacks_message_sid_position_idx ON callbacks (message_sid, position);
