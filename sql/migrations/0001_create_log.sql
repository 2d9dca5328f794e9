-- The log: what reached us, in the order in which the database took it, never changed.
--
-- What a reader may assume:
--   * Positions are 1, 2, 3 ... without gaps, in commit order. An append locks the one-row log head, numbers its events from
--     there, inserts them and moves the head, all in one transaction. Nobody can see position 7 before position 6 has committed,
--     which a sequence could not promise.
--   * A row that is there stays as it is: no role of ours may UPDATE, DELETE or TRUNCATE, and a trigger refuses them even for the
--     owner.
--   * An event is stored once per event_id, however often its append is repeated.
-- What a writer must do: call append_events(), at READ COMMITTED, and nothing else.
--
-- The columns beside the evidence (url, body, signature, key_id) are a bounded reading of the body for indexes and for people:
-- NUL becomes U+FFFD and over-long values are cut. The body is the truth.

-- One row, locked by every append: the last position that was given out.
CREATE TABLE log_head (
    only_row boolean NOT NULL DEFAULT TRUE,
    position bigint NOT NULL,
    CONSTRAINT log_head_pkey PRIMARY KEY (only_row),
    CONSTRAINT log_head_is_one_row CHECK (only_row),
    CONSTRAINT log_head_position_is_not_negative CHECK (position >= 0)
);

-- The head starts before the first position.
INSERT INTO log_head (position) VALUES (0);

-- One row an event. received_at: when it reached our edge; recorded_at: when the database took it.
CREATE TABLE events (
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    source text NOT NULL,
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
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    url text,
    body bytea NOT NULL,
    signature text,
    idempotency_token text,
    key_id text,
    CONSTRAINT events_pkey PRIMARY KEY (position),
    CONSTRAINT events_event_id_key UNIQUE (event_id),
    CONSTRAINT events_position_is_positive CHECK (position > 0),
    CONSTRAINT events_source_is_known CHECK (source IN ('callback', 'event_stream', 'api', 'reconciliation', 'alert')),
    CONSTRAINT events_message_sid_is_a_sid CHECK (message_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$'),
    CONSTRAINT events_status_is_bounded CHECK (length(status) BETWEEN 1 AND 64),
    CONSTRAINT events_callback_has_evidence CHECK (
        source <> 'callback' OR (url IS NOT NULL AND signature IS NOT NULL AND key_id IS NOT NULL)
    )
);

-- A message's history, in log order, whatever the size of the log.
CREATE INDEX events_message_sid_position_idx ON events (message_sid, position);

-- Signed requests that are no message status (a voice callback, say): kept whole, but not facts about a message.
CREATE TABLE quarantined_callbacks (
    quarantine_id uuid NOT NULL,
    reason text NOT NULL,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    url text NOT NULL,
    body bytea NOT NULL,
    signature text NOT NULL,
    idempotency_token text,
    key_id text NOT NULL,
    CONSTRAINT quarantined_callbacks_pkey PRIMARY KEY (quarantine_id),
    CONSTRAINT quarantined_callbacks_reason_is_known CHECK (
        reason IN ('no_message_sid', 'invalid_message_sid', 'no_status', 'invalid_status')
    )
);

-- The newest first, for whoever looks through them.
CREATE INDEX quarantined_callbacks_recorded_at_idx ON quarantined_callbacks (recorded_at);

-- Raised by the triggers below; the message says what to do instead.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation', HINT = 'Append a new event; projections are rebuilt from the log.';
END
$$;

-- Grants already stop our roles; this stops the owner and a superuser who forgot.
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for what was set aside.
CREATE TRIGGER quarantined_callbacks_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantined_callbacks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The only way to write events: one round trip, one lock, dense positions, idempotent by event_id. The arrays are columns of
-- equal length, in order of arrival. Returns how many events were new. What is stored is looked up
-- after the lock is held (each statement of a volatile function sees what committed before it), so a repeated batch whose first
-- commit was in doubt finds itself.
CREATE FUNCTION append_events(
    event_ids uuid [],
    sources text [],
    account_sids text [],
    message_sids text [],
    statuses text [],
    error_codes text [],
    raw_dlr_done_dates text [],
    channels text [],
    from_addresses text [],
    to_addresses text [],
    messaging_service_sids text [],
    received_ats timestamptz [],
    urls text [],
    bodies bytea [],
    signatures text [],
    idempotency_tokens text [],
    key_ids text []
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
    stored uuid [];
    appended bigint;
BEGIN
    SELECT log_head.position INTO STRICT head FROM log_head FOR UPDATE;
    stored := ARRAY(SELECT events.event_id FROM events WHERE events.event_id = ANY(event_ids));

    INSERT INTO events (
        position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address,
        to_address, messaging_service_sid, received_at, url, body, signature, idempotency_token, key_id
    )
    SELECT
        head + row_number() OVER (ORDER BY incoming.ordinality), incoming.event_id, incoming.source, incoming.account_sid,
        incoming.message_sid, incoming.status, incoming.error_code, incoming.raw_dlr_done_date, incoming.channel,
        incoming.from_address, incoming.to_address, incoming.messaging_service_sid, incoming.received_at, incoming.url,
        incoming.body, incoming.signature, incoming.idempotency_token, incoming.key_id
    FROM unnest(
        event_ids, sources, account_sids, message_sids, statuses, error_codes, raw_dlr_done_dates, channels, from_addresses,
        to_addresses, messaging_service_sids, received_ats, urls, bodies, signatures, idempotency_tokens, key_ids
    ) WITH ORDINALITY AS incoming (
        event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
        messaging_service_sid, received_at, url, body, signature, idempotency_token, key_id, ordinality
    )
    WHERE incoming.event_id <> ALL (stored);
    GET DIAGNOSTICS appended = ROW_COUNT;

    UPDATE log_head SET position = head + appended;
    -- A hint only: whoever misses it polls.
    PERFORM pg_notify('tracker_log', (head + appended)::text);
    RETURN appended;
END
$$;
