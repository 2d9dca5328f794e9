-- What is derived from the log. Every row here can be thrown away and computed again from the events.

-- One row a projection: its version and its checkpoint, the last position it has taken in. The checkpoint moves in the same
-- transaction as the projection's rows. A poison event leaves its position and the reason here until the projection goes on.
CREATE TABLE projections (
    name text NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    failed_position bigint,
    failed_reason text,
    CONSTRAINT projections_pkey PRIMARY KEY (name),
    CONSTRAINT projections_position_is_not_negative CHECK (position >= 0),
    CONSTRAINT projections_failure_has_a_reason CHECK ((failed_position IS NULL) = (failed_reason IS NULL))
);

-- Whose runner is the active one. It is written when the advisory lock has been taken, so that the processes that serve
-- /metrics know whether the derived counters are theirs to show.
CREATE TABLE projection_runner (
    only_row boolean NOT NULL DEFAULT TRUE,
    instance_id uuid NOT NULL,
    acquired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_runner_pkey PRIMARY KEY (only_row),
    CONSTRAINT projection_runner_is_one_row CHECK (only_row)
);

-- The current state of each message. decided_by: position of the event that decides. sent_at, delivered_at: when the first such
-- event reached us.
-- fillfactor: a message's row is rewritten a few times, mostly within its page.
CREATE TABLE message_state (
    message_sid text NOT NULL,
    account_sid text,
    messaging_service_sid text,
    channel text NOT NULL,
    from_address text,
    to_address text,
    country text,
    status text NOT NULL,
    is_final boolean NOT NULL,
    error_code text,
    raw_dlr_done_date text,
    decided_by bigint NOT NULL,
    event_count integer NOT NULL,
    first_received_at timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    sent_at timestamptz,
    delivered_at timestamptz,
    last_position bigint NOT NULL,
    CONSTRAINT message_state_pkey PRIMARY KEY (message_sid),
    CONSTRAINT message_state_has_events CHECK (event_count > 0),
    CONSTRAINT message_state_is_decided_by_an_event CHECK (decided_by BETWEEN 1 AND last_position)
) WITH (fillfactor = 80);

-- The list, newest first.
CREATE INDEX message_state_newest_idx ON message_state (first_received_at, message_sid);

-- The list of one status, newest first.
CREATE INDEX message_state_status_idx ON message_state (status, first_received_at, message_sid);

-- The list of one error code, newest first. Most messages have none and are not in it.
CREATE INDEX message_state_error_code_idx ON message_state (error_code, first_received_at, message_sid)
WHERE error_code IS NOT NULL;

-- The list of one recipient, newest first.
CREATE INDEX message_state_to_address_idx ON message_state (to_address, first_received_at, message_sid);

-- The list of one sender, newest first.
CREATE INDEX message_state_from_address_idx ON message_state (from_address, first_received_at, message_sid);

-- The list of one account, newest first: of a subaccount that seldom sends, too.
CREATE INDEX message_state_account_sid_idx ON message_state (account_sid, first_received_at, message_sid);
