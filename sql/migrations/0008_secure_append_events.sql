-- Writing to the log through functions only. Until now tracker_service held the privileges that an append needs: it could insert events
-- at positions of its choice, with a recorded_at of its choice, and move the head, after which no append succeeds any more.
--
-- The functions below run with the rights of their owner, tracker_writer, whom nobody logs in as and none of our processes takes. A
-- role that appends may execute one function, which accepts the sources of that role alone. Which role calls is decided by PostgreSQL's
-- EXECUTE privilege: inside such a function current_user is the owner, and settings can be set by the caller.

-- Owns the functions. Roles belong to the cluster, so another database of it may have made this one already.
DO $$
DECLARE
    -- From PostgreSQL 16 on, who creates a role may administer it, but not yet take it.
    may_take CONSTANT text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tracker_writer') THEN
        BEGIN
            CREATE ROLE tracker_writer NOLOGIN;
        EXCEPTION
            -- Two databases of one cluster may be migrated at the same moment.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION '% may not create the role tracker_writer', current_user
                USING ERRCODE = 'insufficient_privilege', HINT = format(
                    'As a superuser: CREATE ROLE tracker_writer NOLOGIN; GRANT tracker_writer TO %I;', current_user
                );
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'tracker_writer', may_take) THEN
        EXECUTE format('GRANT tracker_writer TO %I', current_user);
    END IF;
END
$$;

-- What Twilio says of an error in its own words; it does so for some channels. NULL: nothing, or recorded before this column was there.
ALTER TABLE events ADD COLUMN error_message text;

-- Its parameters change.
DROP FUNCTION append_events;

-- Appends a batch for the functions that roles may execute: one lock, dense positions, idempotent by event_id. allowed_sources: those of
-- the calling role. The arrays are columns of equal length, in order of arrival. Returns how many events were new.
--   * Moving the head locks it. What is stored is looked up after that (each statement of a volatile function sees what committed
--     before it), so a repeated batch whose first commit was in doubt finds itself. When some are stored the head is moved again.
--   * The usual batch is new from end to end: its rows are numbered as they come, without a window that keeps a copy of them all.
--   * recorded_at is the database's clock, once per batch, under the lock.
-- Runs with the caller's rights: of no use to a role that may not write the tables itself.
CREATE FUNCTION store_events(
    allowed_sources text [],
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
    key_ids text [],
    error_messages text []
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
    stored uuid [];
    appended bigint := cardinality(event_ids);
    now_recorded timestamptz;
BEGIN
    IF (sources <@ allowed_sources) IS NOT TRUE THEN
        RAISE EXCEPTION 'this role appends events of %, and of no other source', array_to_string(allowed_sources, ', ')
        USING ERRCODE = 'check_violation', CONSTRAINT = 'events_source_is_allowed';
    END IF;

    UPDATE log_head SET position = log_head.position + appended
    RETURNING log_head.position - appended INTO STRICT head;
    now_recorded := clock_timestamp();
    stored := ARRAY(SELECT events.event_id FROM events WHERE events.event_id = ANY(event_ids));

    IF cardinality(stored) = 0 THEN
        INSERT INTO events (
            position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address,
            to_address, messaging_service_sid, received_at, recorded_at, url, body, signature, idempotency_token, key_id, error_message
        )
        SELECT
            generate_series(head + 1, head + appended), unnest(event_ids), unnest(sources), unnest(account_sids),
            unnest(message_sids), unnest(statuses), unnest(error_codes), unnest(raw_dlr_done_dates), unnest(channels),
            unnest(from_addresses), unnest(to_addresses), unnest(messaging_service_sids), unnest(received_ats), now_recorded,
            unnest(urls), unnest(bodies), unnest(signatures), unnest(idempotency_tokens), unnest(key_ids), unnest(error_messages);
    ELSE
        INSERT INTO events (
            position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address,
            to_address, messaging_service_sid, received_at, recorded_at, url, body, signature, idempotency_token, key_id, error_message
        )
        SELECT
            head + row_number() OVER (ORDER BY incoming.ordinality), incoming.event_id, incoming.source, incoming.account_sid,
            incoming.message_sid, incoming.status, incoming.error_code, incoming.raw_dlr_done_date, incoming.channel,
            incoming.from_address, incoming.to_address, incoming.messaging_service_sid, incoming.received_at, now_recorded, incoming.url,
            incoming.body, incoming.signature, incoming.idempotency_token, incoming.key_id, incoming.error_message
        FROM unnest(
            event_ids, sources, account_sids, message_sids, statuses, error_codes, raw_dlr_done_dates, channels, from_addresses,
            to_addresses, messaging_service_sids, received_ats, urls, bodies, signatures, idempotency_tokens, key_ids, error_messages
        ) WITH ORDINALITY AS incoming (
            event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
            messaging_service_sid, received_at, url, body, signature, idempotency_token, key_id, error_message, ordinality
        )
        WHERE incoming.event_id <> ALL (stored);
        GET DIAGNOSTICS appended = ROW_COUNT;
        UPDATE log_head SET position = head + appended;
    END IF;

    -- A hint only: whoever misses it polls.
    PERFORM pg_notify('tracker_log', (head + appended)::text);
    RETURN appended;
END
$$;

-- How tracker_service appends: what it received from Twilio itself, each with its evidence, which a constraint of the table demands.
-- Parameters and result as of store_events. enable_seqscan is off because plans are kept for the life of a session: one that was made
-- while the table was empty would scan all of it for every batch.
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
    key_ids text [],
    error_messages text []
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET enable_seqscan = off AS $$
BEGIN
    RETURN store_events(
        ARRAY['callback'], event_ids, sources, account_sids, message_sids, statuses, error_codes, raw_dlr_done_dates, channels,
        from_addresses, to_addresses, messaging_service_sids, received_ats, urls, bodies, signatures, idempotency_tokens, key_ids,
        error_messages
    );
END
$$;

-- How tracker_service sets callbacks aside, each once. The arrays are columns of equal length. Returns how many were new. recorded_at is
-- the database's clock.
CREATE FUNCTION append_quarantined(
    quarantine_ids uuid [],
    reasons text [],
    received_ats timestamptz [],
    urls text [],
    bodies bytea [],
    signatures text [],
    idempotency_tokens text [],
    key_ids text []
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    appended bigint;
BEGIN
    INSERT INTO quarantined_callbacks (
        quarantine_id, reason, received_at, recorded_at, url, body, signature, idempotency_token, key_id
    )
    SELECT
        incoming.quarantine_id, incoming.reason, incoming.received_at, clock_timestamp(), incoming.url, incoming.body,
        incoming.signature, incoming.idempotency_token, incoming.key_id
    FROM unnest(
        quarantine_ids, reasons, received_ats, urls, bodies, signatures, idempotency_tokens, key_ids
    ) AS incoming (quarantine_id, reason, received_at, url, body, signature, idempotency_token, key_id)
    ON CONFLICT (quarantine_id) DO NOTHING;
    GET DIAGNOSTICS appended = ROW_COUNT;
    RETURN appended;
END
$$;

-- Functions are executable by everyone unless this is taken away. Their owner still may.
REVOKE ALL ON FUNCTION store_events, append_events, append_quarantined FROM public;

-- Each role that appends has its own function.
GRANT EXECUTE ON FUNCTION append_events, append_quarantined TO tracker_service;

-- A function's owner must be allowed to create it where it is, at the moment it becomes the owner; not afterwards.
GRANT USAGE, CREATE ON SCHEMA public TO tracker_writer;
ALTER FUNCTION store_events OWNER TO tracker_writer;
ALTER FUNCTION append_events OWNER TO tracker_writer;
ALTER FUNCTION append_quarantined OWNER TO tracker_writer;
REVOKE CREATE ON SCHEMA public FROM tracker_writer;

-- What the functions need, and no more: neither bodies nor signatures can be read with it.
GRANT INSERT, SELECT (event_id) ON events TO tracker_writer;

-- To find what is there already.
GRANT INSERT, SELECT (quarantine_id) ON quarantined_callbacks TO tracker_writer;

-- Moving the head is part of an append.
GRANT SELECT, UPDATE ON log_head TO tracker_writer;

-- The receiver still reads all of it, and writes none of it by itself.
REVOKE INSERT ON events, quarantined_callbacks FROM tracker_service;

-- It cannot move the head either.
REVOKE UPDATE ON log_head FROM tracker_service;

-- Dashboards see it, as they see the error code.
GRANT SELECT (error_message) ON events TO tracker_reader;
