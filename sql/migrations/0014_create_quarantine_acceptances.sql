-- A person may read what was set aside and, where it is about a message after all, append it to the log.

-- One row per accepted callback: when, why, by whom (the operating system's user name), and the event that it became.
-- The primary key makes a second acceptance impossible.
CREATE TABLE quarantine_acceptances (
    quarantine_id uuid NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_by text NOT NULL,
    reason text NOT NULL,
    event_id uuid NOT NULL,
    CONSTRAINT quarantine_acceptances_pkey PRIMARY KEY (quarantine_id),
    CONSTRAINT quarantine_acceptances_quarantine_id_fkey FOREIGN KEY (quarantine_id)
    REFERENCES quarantined_callbacks (quarantine_id),
    CONSTRAINT quarantine_acceptances_accepted_by_is_bounded CHECK (length(accepted_by) BETWEEN 1 AND 256),
    CONSTRAINT quarantine_acceptances_reason_is_bounded CHECK (length(reason) BETWEEN 1 AND 1000)
);

-- An acceptance is a fact like an event: it is never taken back.
CREATE TRIGGER quarantine_acceptances_are_append_only BEFORE UPDATE OR DELETE ON quarantine_acceptances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of it at once.
CREATE TRIGGER quarantine_acceptances_are_not_truncated BEFORE TRUNCATE ON quarantine_acceptances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The list is ordered by the time of receipt, which a spooled callback keeps; the time of recording orders nothing that is shown.
DROP INDEX quarantined_callbacks_recorded_at_idx;

-- The list, newest first.
CREATE INDEX quarantined_callbacks_newest_idx ON quarantined_callbacks (received_at, quarantine_id);

-- The list of one reason, newest first: a rare reason is found among many others.
CREATE INDEX quarantined_callbacks_reason_idx ON quarantined_callbacks (reason, received_at, quarantine_id);

-- Append a quarantined callback to the log as the event that its body states, once, with its own evidence and time of receipt. The
-- event takes the identity that the callback got at the edge, so a repetition finds it. The columns of the event come from the
-- caller, who read the body; evidence and times never do. Returns TRUE: appended now; FALSE: accepted before; NULL: no such callback.
CREATE FUNCTION accept_quarantined(
    accepted_id uuid,
    acceptor text,
    acceptance_reason text,
    account_sid text,
    message_sid text,
    status text,
    error_code text,
    raw_dlr_done_date text,
    channel text,
    from_address text,
    to_address text,
    messaging_service_sid text,
    error_message text
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    kept record;
BEGIN
    SELECT received_at, url, body, signature, idempotency_token, key_id INTO kept
    FROM quarantined_callbacks WHERE quarantined_callbacks.quarantine_id = accepted_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- A concurrent acceptance of the same callback waits here for the first one to commit.
    INSERT INTO quarantine_acceptances (quarantine_id, accepted_by, reason, event_id)
    VALUES (accepted_id, acceptor, acceptance_reason, accepted_id)
    ON CONFLICT (quarantine_id) DO NOTHING;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    PERFORM store_events(
        ARRAY['callback'], ARRAY[accepted_id], ARRAY['callback'], ARRAY[account_sid], ARRAY[message_sid], ARRAY[status], ARRAY[error_code],
        ARRAY[raw_dlr_done_date], ARRAY[channel], ARRAY[from_address], ARRAY[to_address], ARRAY[messaging_service_sid],
        ARRAY[kept.received_at], ARRAY[kept.url], ARRAY[kept.body], ARRAY[kept.signature], ARRAY[kept.idempotency_token],
        ARRAY[kept.key_id], ARRAY[error_message]
    );
    RETURN TRUE;
END
$$;

-- Functions are executable by everyone unless this is taken away.
REVOKE ALL ON FUNCTION accept_quarantined FROM public;

-- The function runs with the rights of the owner of all functions that write the log. An owner must be able to create in the schema.
GRANT USAGE, CREATE ON SCHEMA public TO tracker_writer;
ALTER FUNCTION accept_quarantined OWNER TO tracker_writer;
REVOKE CREATE ON SCHEMA public FROM tracker_writer;

-- `tracker quarantine accept` takes the role of the service, as all commands that read the log do.
GRANT EXECUTE ON FUNCTION accept_quarantined TO tracker_service;

-- Lists say what has been accepted; rows are written by the function alone.
GRANT SELECT ON quarantine_acceptances TO tracker_service;

-- What the function copies into the event: the evidence of quarantined callbacks, never that of events.
GRANT SELECT (received_at, url, body, signature, idempotency_token, key_id) ON quarantined_callbacks TO tracker_writer;

-- To find an earlier acceptance, and to record one.
GRANT INSERT, SELECT (quarantine_id) ON quarantine_acceptances TO tracker_writer;
