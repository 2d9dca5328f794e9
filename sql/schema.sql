-- The whole schema as the migrations leave it, for reading. A test compares the two; after a migration, change this file to match.
-- Why a thing is as it is stands in the migration that made it. The roles (tracker_service: takes callbacks and answers questions;
-- tracker_projector: keeps projections; tracker_reader: looks; tracker_writer: owns the functions that write the log) belong to the
-- cluster and are made by 0003_create_roles.sql and 0008_secure_append_events.sql.
--
--   the log          what reached us, never changed        log_head, events, quarantined_callbacks, quarantine_acceptances,
--                                                          append_events(), append_quarantined(), accept_quarantined()
--   projections      what is derived from it               projections, projection_runner, message_state, metric_counters,
--                                                          delivery_stats, delivery_latency
--   annotations      marks on the dashboards               annotations
--   rebuilds         projections made anew, beside these   schema rebuild
--   rights           who may do what

-- The log: what reached us, never changed.

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
    error_message text,
    CONSTRAINT events_pkey PRIMARY KEY (position),
    CONSTRAINT events_event_id_key UNIQUE (event_id),
    CONSTRAINT events_position_is_positive CHECK (position > 0),
    CONSTRAINT events_source_is_known CHECK (source IN ('callback', 'event_stream', 'api', 'reconciliation', 'alert')),
    CONSTRAINT events_message_sid_is_a_sid CHECK (length(message_sid) = 34 AND message_sid ~ '^(SM|MM)[0-9a-fA-F]*$'),
    CONSTRAINT events_status_is_bounded CHECK (length(status) BETWEEN 1 AND 64),
    CONSTRAINT events_callback_has_evidence CHECK (
        source <> 'callback' OR (url IS NOT NULL AND signature IS NOT NULL AND key_id IS NOT NULL)
    )
);

-- A message's history, in log order, whatever the size of the log.
CREATE INDEX events_message_sid_position_idx ON events (message_sid, position);

-- Verified requests that are no message status (a voice callback, an opt-out notice) or ambiguous: kept whole, but not facts about a
-- message.
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
        reason IN ('no_message_sid', 'invalid_message_sid', 'no_status', 'invalid_status', 'ambiguous', 'opt_out')
    )
);

-- The list, newest first.
CREATE INDEX quarantined_callbacks_newest_idx ON quarantined_callbacks (received_at, quarantine_id);

-- The list of one reason, newest first: a rare reason is found among many others.
CREATE INDEX quarantined_callbacks_reason_idx ON quarantined_callbacks (reason, received_at, quarantine_id);

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

-- Raised by the triggers below; the message says what to do instead.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation', HINT = 'Append a new event; projections are rebuilt from the log.';
END
$$;

-- Grants already stop our roles; this stops the owner and a superuser who forgot.
CREATE TRIGGER events_are_append_only BEFORE UPDATE OR DELETE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of them at once.
CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for what was set aside.
CREATE TRIGGER quarantined_callbacks_are_append_only BEFORE UPDATE OR DELETE ON quarantined_callbacks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of it at once.
CREATE TRIGGER quarantined_callbacks_are_not_truncated BEFORE TRUNCATE ON quarantined_callbacks
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An acceptance is a fact like an event: it is never taken back.
CREATE TRIGGER quarantine_acceptances_are_append_only BEFORE UPDATE OR DELETE ON quarantine_acceptances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The same for all of it at once.
CREATE TRIGGER quarantine_acceptances_are_not_truncated BEFORE TRUNCATE ON quarantine_acceptances
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Projections: what is derived from the log, and can be thrown away.

-- One row a projection: its version and its checkpoint, the last position it has taken in and the event there (NULL at position 0).
-- The checkpoint moves in the same transaction as the projection's rows. A poison event leaves its position and the reason here until the projection goes on.
CREATE TABLE projections (
    name text NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    failed_position bigint,
    failed_reason text,
    rebuilds integer NOT NULL DEFAULT 0,
    rebuilt_at timestamptz,
    event_id uuid,
    CONSTRAINT projections_pkey PRIMARY KEY (name),
    CONSTRAINT projections_position_is_not_negative CHECK (position >= 0),
    CONSTRAINT projections_failure_has_a_reason CHECK ((failed_position IS NULL) = (failed_reason IS NULL))
);

-- Whether a checkpoint is one of this log: its event is there, at its position. NULL for event_id, where it is not known, is no
-- contradiction; a position beyond the end of the log always is.
CREATE FUNCTION is_in_log(checkpoint_position bigint, checkpoint_event_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT
        checkpoint_position <= (SELECT log_head.position FROM public.log_head)
        AND NOT EXISTS (
            SELECT FROM public.events
            WHERE events.position = checkpoint_position AND events.event_id <> checkpoint_event_id
        )
$$;

-- Whose runner is the active one. It is written when the advisory lock has been taken, so that the processes that serve
-- /metrics know whether the derived counters are theirs to show.
CREATE TABLE projection_runner (
    only_row boolean NOT NULL DEFAULT TRUE,
    instance_id uuid NOT NULL,
    acquired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projection_runner_pkey PRIMARY KEY (only_row),
    CONSTRAINT projection_runner_is_one_row CHECK (only_row)
);

-- The current state of each message, by account and SID. account_sid: empty where no event names an account. decided_by: position of
-- the event that decides. sent_at, delivered_at: when the first such event reached us. has_conflict: two different outcomes were
-- reported. error_codes_seen: every code that was reported, the 32 smallest; error_codes_truncated: there were more. error_message:
-- Twilio's text about the failure. effects_seen: a bit for each effect that an event of the message had: 1 decided, 2 late,
-- 4 duplicate, 8 corrected, 16 unknown.
-- fillfactor: a message's row is rewritten a few times, mostly within its page.
CREATE TABLE message_state (
    message_sid text NOT NULL,
    account_sid text NOT NULL,
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
    has_conflict boolean NOT NULL,
    error_codes_seen text [] NOT NULL,
    error_codes_truncated boolean NOT NULL,
    error_message text,
    effects_seen smallint NOT NULL,
    CONSTRAINT message_state_pkey PRIMARY KEY (account_sid, message_sid),
    CONSTRAINT message_state_has_events CHECK (event_count > 0),
    CONSTRAINT message_state_is_decided_by_an_event CHECK (decided_by BETWEEN 1 AND last_position),
    CONSTRAINT message_state_error_codes_are_bounded CHECK (cardinality(error_codes_seen) <= 32),
    CONSTRAINT message_state_effects_are_known CHECK (effects_seen BETWEEN 0 AND 31)
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

-- The messages that ever had an error code, whatever decides now. Most messages have none and are not in it.
CREATE INDEX message_state_error_codes_seen_idx ON message_state USING gin (error_codes_seen)
WHERE error_codes_seen <> '{}';

-- The list of messages with conflicting outcomes, newest first. There are few.
CREATE INDEX message_state_has_conflict_idx ON message_state (first_received_at, message_sid)
WHERE has_conflict;

-- The list of one channel, newest first. Most messages are SMS, whose list is the list of all.
CREATE INDEX message_state_channel_idx ON message_state (channel, first_received_at)
WHERE channel <> 'sms';

-- The list of one recipient country, newest first: of a country that few messages go to, too.
CREATE INDEX message_state_country_idx ON message_state (country, first_received_at)
WHERE country IS NOT NULL;

-- The list of one Messaging Service, newest first.
CREATE INDEX message_state_messaging_service_idx ON message_state (messaging_service_sid, first_received_at)
WHERE messaging_service_sid IS NOT NULL;

-- The list of messages with a late event, newest first.
CREATE INDEX message_state_late_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 2::smallint) <> 0;

-- The list of messages with a repeated event, newest first.
CREATE INDEX message_state_duplicate_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 4::smallint) <> 0;

-- The list of messages whose outcome was corrected, newest first.
CREATE INDEX message_state_corrected_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 8::smallint) <> 0;

-- The list of messages with a status that is not known here, newest first.
CREATE INDEX message_state_unknown_idx ON message_state (first_received_at, message_sid)
WHERE (effects_seen & 16::smallint) <> 0;

-- One row a series. labels: the series' labels as an object. created_at: when the first event that counted here was received, so that
-- a rebuild gives the same. exemplar_*: the last event that counted here (by position), what it added, when it was received.
-- Of a histogram, a row is what fell into one bucket alone (label le, the upper bound in seconds), with a row "..._sum" beside them.
-- fillfactor: the same few rows are rewritten by every batch, within their page.
CREATE TABLE metric_counters (
    metric text NOT NULL,
    labels jsonb NOT NULL,
    value numeric NOT NULL,
    created_at timestamptz NOT NULL,
    exemplar_position bigint NOT NULL,
    exemplar_value numeric NOT NULL,
    exemplar_at timestamptz NOT NULL,
    CONSTRAINT metric_counters_pkey PRIMARY KEY (metric, labels),
    -- A row that is about to be added to an older one is checked too, and of the gauge such a row may be negative.
    CONSTRAINT metric_counters_only_count_up CHECK (value >= 0 OR metric = 'twilio_messages_open')
) WITH (fillfactor = 25);

-- Messages by what was said of them in a minute (UTC, by received_at), each once a status: messages: heard of for the first time;
-- sent, delivered, undelivered, failed, read: first said to be so (read counts as delivered where that was not said); errors: first
-- said to have error_code; corrected: a final outcome was changed. So a message that was undelivered at 12:00 and turned out delivered
-- at 12:07 is in both minutes, and corrected in the second. Sums over all rows equal the counters.
-- country: ISO 3166 code, '' where it cannot be told; messaging_service_sid: '' for none; error_code: of the event, '' for none.
CREATE TABLE delivery_stats (
    minute timestamptz NOT NULL,
    channel text NOT NULL,
    country text NOT NULL,
    messaging_service_sid text NOT NULL,
    error_code text NOT NULL,
    messages bigint NOT NULL,
    sent bigint NOT NULL,
    delivered bigint NOT NULL,
    undelivered bigint NOT NULL,
    failed bigint NOT NULL,
    read bigint NOT NULL,
    errors bigint NOT NULL,
    corrected bigint NOT NULL,
    -- The minute leads, because every question has a time range.
    CONSTRAINT delivery_stats_pkey PRIMARY KEY (minute, channel, country, messaging_service_sid, error_code),
    CONSTRAINT delivery_stats_minute_is_whole CHECK (extract(SECOND FROM minute) = 0),
    CONSTRAINT delivery_stats_are_not_negative CHECK (
        least(messages, sent, delivered, undelivered, failed, read, errors, corrected) >= 0
    )
) WITH (fillfactor = 70);

-- How long deliveries took, from the first sent to the first delivered, by the minute of the delivery: a histogram with logarithmic
-- buckets, which merges by addition and gives any percentile within five per cent. projections/latency_digest.py says what a bucket
-- holds.
CREATE TABLE delivery_latency (
    minute timestamptz NOT NULL,
    channel text NOT NULL,
    country text NOT NULL,
    messaging_service_sid text NOT NULL,
    bucket smallint NOT NULL,
    messages bigint NOT NULL,
    CONSTRAINT delivery_latency_pkey PRIMARY KEY (minute, channel, country, messaging_service_sid, bucket),
    CONSTRAINT delivery_latency_minute_is_whole CHECK (extract(SECOND FROM minute) = 0),
    CONSTRAINT delivery_latency_bucket_is_not_negative CHECK (bucket >= 0),
    CONSTRAINT delivery_latency_has_messages CHECK (messages > 0)
) WITH (fillfactor = 70);

-- Rebuilds: projections made anew beside the live ones.

-- Holds the tables of rebuilds that are under way, and the functions below.
CREATE SCHEMA rebuild;

-- Their checkpoints.
CREATE TABLE rebuild.projections (LIKE public.projections INCLUDING ALL);

-- Makes rebuild.<table_name> like public.<table_name>, empty, with its owner, storage parameters, key, checks and grants. The other
-- indexes are left to rebuild.finish, because a table is filled faster without.
CREATE FUNCTION rebuild.create_table(table_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    live regclass := format('public.%I', table_name)::regclass;
    statement text;
BEGIN
    EXECUTE format('CREATE TABLE rebuild.%I (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', table_name, live);
    FOR statement IN
        SELECT format('ALTER TABLE rebuild.%I SET (%s)', table_name, array_to_string(class.reloptions, ', '))
        FROM pg_class AS class WHERE class.oid = live AND class.reloptions IS NOT NULL
        UNION ALL
        SELECT format('ALTER TABLE rebuild.%I OWNER TO %I', table_name, pg_get_userbyid(class.relowner))
        FROM pg_class AS class WHERE class.oid = live
        UNION ALL
        SELECT format('ALTER TABLE rebuild.%I ADD CONSTRAINT %I %s', table_name, con.conname, pg_get_constraintdef(con.oid))
        FROM pg_constraint AS con WHERE con.conrelid = live AND con.contype IN ('p', 'u')
        UNION ALL
        SELECT format('GRANT %s ON rebuild.%I TO %s', held.privilege_type, table_name, held.grantee::regrole)
        FROM pg_class AS class, aclexplode(class.relacl) AS held
        WHERE class.oid = live AND held.grantee <> class.relowner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;

-- Whether rebuild.<table_name> is there and has the columns of public.<table_name>.
CREATE FUNCTION rebuild.has_table(table_name text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT to_regclass(format('rebuild.%I', table_name)) IS NOT NULL AND NOT EXISTS (
        SELECT FROM (
            SELECT attname, atttypid, attnotnull
            FROM pg_attribute
            WHERE attrelid = to_regclass(format('public.%I', table_name)) AND attnum > 0 AND NOT attisdropped
        ) AS live
        FULL JOIN (
            SELECT attname, atttypid, attnotnull
            FROM pg_attribute
            WHERE attrelid = to_regclass(format('rebuild.%I', table_name)) AND attnum > 0 AND NOT attisdropped
        ) AS built USING (attname, atttypid, attnotnull)
        WHERE live.attname IS NULL OR built.attname IS NULL
    )
$$;

-- Throws a rebuild of a projection away.
CREATE FUNCTION rebuild.discard(projection text, table_names text []) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY table_names LOOP
        EXECUTE format('DROP TABLE IF EXISTS rebuild.%I', table_name);
    END LOOP;
    DELETE FROM rebuild.projections WHERE projections.name = projection;
END
$$;

-- Begins a rebuild of a projection, or goes on with one of the same version that was interrupted. One that was begun before the log was
-- put back is thrown away. Returns its checkpoint.
CREATE FUNCTION rebuild.begin(
    projection text, program_version integer, table_names text []
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    checkpoint bigint;
BEGIN
    SELECT projections.position INTO checkpoint
    FROM rebuild.projections
    WHERE
        projections.name = projection AND projections.version = program_version
        AND public.is_in_log(projections.position, projections.event_id);

    IF checkpoint IS NOT NULL AND (SELECT bool_and(rebuild.has_table(wanted)) FROM unnest(table_names) AS wanted) THEN
        RETURN checkpoint;
    END IF;

    PERFORM rebuild.discard(projection, table_names);
    PERFORM rebuild.create_table(wanted) FROM unnest(table_names) AS wanted;
    INSERT INTO rebuild.projections (name, version, position) VALUES (projection, program_version, 0);
    RETURN 0;
END
$$;

-- Gives rebuild.<table_name> the indexes of public.<table_name> that it lacks, with their names, and statistics for the planner.
CREATE FUNCTION rebuild.finish(table_name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT replace(live.indexdef, format(' ON public.%I ', table_name), format(' ON rebuild.%I ', table_name))
        FROM pg_indexes AS live
        WHERE
            live.schemaname = 'public' AND live.tablename = table_name
            AND NOT EXISTS (
                SELECT FROM pg_indexes AS built
                WHERE built.schemaname = 'rebuild' AND built.tablename = table_name AND built.indexname = live.indexname
            )
        ORDER BY live.indexname
    LOOP
        EXECUTE statement;
    END LOOP;
    EXECUTE format('ANALYZE rebuild.%I', table_name);
END
$$;

-- What differs between public.<table_name> and rebuild.<table_name>, matched by primary key. Returns one JSON object:
--   missing: how many rows only the live table has; added: only the new one; different: both, with other values;
--   columns: {name: in how many of the different rows it differs};
--   kinds: {"missing", "added", or the names of the columns that differ: in how many rows just these do}, the 10 rarest;
--   examples: up to 3 of each kind, the rarest kind first, as {key, old, new}: of different rows what differs, of others the whole row
--     and null for the one not there.
CREATE FUNCTION rebuild.compare(table_name text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    key_names text [];
    other_names text [];
    result jsonb;
BEGIN
    SELECT
        array_agg(att.attname::text ORDER BY att.attnum) FILTER (WHERE att.attnum = ANY(con.conkey)),
        coalesce(array_agg(att.attname::text ORDER BY att.attnum) FILTER (WHERE att.attnum <> ALL(con.conkey)), '{}')
    INTO STRICT key_names, other_names
    FROM pg_attribute AS att
    INNER JOIN pg_constraint AS con ON con.conrelid = att.attrelid AND con.contype = 'p'
    WHERE att.attrelid = format('public.%I', table_name)::regclass AND att.attnum > 0 AND NOT att.attisdropped;

    EXECUTE format(
        $statement$
        WITH differing AS MATERIALIZED (
            SELECT
                %2$s,
                live,
                built,
                CASE WHEN built IS NULL THEN 'missing' WHEN live IS NULL THEN 'added' ELSE concat_ws(', ', %4$s) END AS kind
            FROM public.%1$I AS live
            FULL JOIN rebuild.%1$I AS built USING (%2$s)
            WHERE ROW(live.*) IS DISTINCT FROM ROW(built.*)
        ),
        totals AS (
            SELECT
                count(*) FILTER (WHERE built IS NULL) AS missing,
                count(*) FILTER (WHERE live IS NULL) AS added,
                count(*) FILTER (WHERE NOT live IS NULL AND NOT built IS NULL) AS different
                %3$s
            FROM differing
        ),
        kinds AS MATERIALIZED (
            SELECT kind, count(*) AS found_rows FROM differing GROUP BY kind ORDER BY found_rows, kind LIMIT 10
        ),
        examples AS (
            SELECT
                (SELECT jsonb_object_agg(name, coalesce(old, new) -> name) FROM unnest($1) AS name) AS key,
                old - same AS old,
                new - same AS new
            FROM kinds
            CROSS JOIN LATERAL (
                SELECT to_jsonb(live) AS old, to_jsonb(built) AS new
                FROM differing
                WHERE differing.kind = kinds.kind
                ORDER BY %2$s LIMIT 3
            ) AS found
            CROSS JOIN LATERAL (
                SELECT $1 || array_remove(array_agg(CASE WHEN new -> field.key = field.value THEN field.key END), NULL) AS same
                FROM jsonb_each(old) AS field
            ) AS unchanged
            ORDER BY kinds.found_rows, kinds.kind
        )
        SELECT
            jsonb_build_object('missing', missing, 'added', added, 'different', different)
            || jsonb_build_object('columns', to_jsonb(totals) - ARRAY['missing', 'added', 'different'])
            || jsonb_build_object('kinds', (SELECT coalesce(jsonb_object_agg(kind, found_rows), '{}') FROM kinds))
            || jsonb_build_object('examples', (SELECT coalesce(jsonb_agg(to_jsonb(examples)), '[]') FROM examples))
        FROM totals
        $statement$,
        table_name,
        (SELECT string_agg(quote_ident(name), ', ') FROM unnest(key_names) AS name),
        (
            SELECT string_agg(
                format(
                    ', count(*) FILTER (WHERE (live).%1$I IS DISTINCT FROM (built).%1$I AND NOT live IS NULL AND NOT built IS NULL) AS %1$I',
                    name
                ), ''
            )
            FROM unnest(other_names) AS name
        ),
        (
            SELECT coalesce(
                string_agg(format('CASE WHEN (live).%1$I IS DISTINCT FROM (built).%1$I THEN %1$L END', name), ', '), ''''''
            )
            FROM unnest(other_names) AS name
        )
    ) INTO STRICT result USING key_names;
    RETURN result;
END
$$;

-- Stops the live projection from writing until the transaction ends; reading goes on. In the order in which the projector writes:
-- first the tables, then the checkpoint.
CREATE FUNCTION rebuild.lock_live(projection text, table_names text []) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY table_names LOOP
        EXECUTE format('LOCK TABLE public.%I IN EXCLUSIVE MODE', table_name);
    END LOOP;
    PERFORM FROM public.projections WHERE projections.name = projection FOR UPDATE;
END
$$;

-- Puts the new tables and their checkpoint in the place of the live ones.
CREATE FUNCTION rebuild.switch(projection text, table_names text []) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY table_names LOOP
        EXECUTE format('DROP TABLE public.%I', table_name);
        EXECUTE format('ALTER TABLE rebuild.%I SET SCHEMA public', table_name);
    END LOOP;
    INSERT INTO public.projections (name, version, position, event_id, rebuilds, rebuilt_at)
    SELECT built.name, built.version, built.position, built.event_id, 1, clock_timestamp()
    FROM rebuild.projections AS built
    WHERE built.name = projection
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version,
        position = excluded.position,
        event_id = excluded.event_id,
        updated_at = excluded.updated_at,
        failed_position = NULL,
        failed_reason = NULL,
        rebuilds = projections.rebuilds + 1,
        rebuilt_at = excluded.rebuilt_at;
    DELETE FROM rebuild.projections WHERE projections.name = projection;
END
$$;

-- Annotations: marks on the dashboards.

-- Notes for people: what happened outside of the tracker, such as a deploy of the application that sends. happened_at: the moment that
-- the mark is at; recorded_at: when the database got it.
CREATE TABLE annotations (
    annotation_id bigint GENERATED ALWAYS AS IDENTITY,
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    text text NOT NULL,
    CONSTRAINT annotations_pkey PRIMARY KEY (annotation_id),
    CONSTRAINT annotations_text_is_one_short_line CHECK (length(text) BETWEEN 1 AND 200 AND text !~ '[[:cntrl:]]')
);

-- Dashboards ask for the marks of a time range.
CREATE INDEX annotations_happened_at_idx ON annotations (happened_at);

-- A mistaken mark is followed by another.
CREATE TRIGGER annotations_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON annotations
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Rights: who may do what.

-- Nobody gets anything by default.
REVOKE ALL ON SCHEMA public FROM public;

-- Functions are executable by everyone unless this is taken away. Their owner still may.
REVOKE ALL ON FUNCTION store_events, append_events, append_quarantined, accept_quarantined, is_in_log FROM public;

-- All three look into the schema.
GRANT USAGE ON SCHEMA public TO tracker_service, tracker_projector, tracker_reader;

-- The receiver reads all of the log.
GRANT SELECT ON events, quarantined_callbacks, log_head TO tracker_service;

-- And writes it through these two functions only.
GRANT EXECUTE ON FUNCTION append_events, append_quarantined TO tracker_service;

-- The projector looks before it goes on, the others show it. Each sees the columns that this needs.
GRANT EXECUTE ON FUNCTION is_in_log TO tracker_service, tracker_projector, tracker_reader;

-- `tracker quarantine accept` takes the role of the service, as all commands that read the log do.
GRANT EXECUTE ON FUNCTION accept_quarantined TO tracker_service;

-- Lists say what has been accepted; rows are written by the function alone.
GRANT SELECT ON quarantine_acceptances TO tracker_service;

-- Answers come from the projections.
GRANT SELECT ON projections, projection_runner, message_state TO tracker_service;

-- The projector reads the log.
GRANT SELECT ON events, log_head TO tracker_projector;

-- And writes what is derived from it.
GRANT SELECT, INSERT, UPDATE, DELETE ON projections, projection_runner, message_state TO tracker_projector;

-- Dashboards see the log and the projections, but not signatures, bodies or tokens.
GRANT SELECT (
    position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, recorded_at, key_id, error_message
) ON events TO tracker_reader;

-- The state and the checkpoints are for everyone who may look.
GRANT SELECT ON log_head, projections, projection_runner, message_state TO tracker_reader;

-- The functions run with the rights of tracker_writer.
GRANT USAGE ON SCHEMA public TO tracker_writer;
ALTER FUNCTION store_events OWNER TO tracker_writer;
ALTER FUNCTION append_events OWNER TO tracker_writer;
ALTER FUNCTION append_quarantined OWNER TO tracker_writer;
ALTER FUNCTION accept_quarantined OWNER TO tracker_writer;

-- What the functions need, and no more: neither bodies nor signatures of events can be read with it.
GRANT INSERT, SELECT (event_id) ON events TO tracker_writer;

-- To find what is there already.
GRANT INSERT, SELECT (quarantine_id) ON quarantined_callbacks TO tracker_writer;

-- Moving the head is part of an append.
GRANT SELECT, UPDATE ON log_head TO tracker_writer;

-- What an acceptance copies into the event: the evidence of quarantined callbacks, never that of events.
GRANT SELECT (received_at, url, body, signature, idempotency_token, key_id) ON quarantined_callbacks TO tracker_writer;

-- To find an earlier acceptance, and to record one.
GRANT INSERT, SELECT (quarantine_id) ON quarantine_acceptances TO tracker_writer;

-- Shown by the web workers, looked at by people and dashboards.
GRANT SELECT ON metric_counters TO tracker_service, tracker_reader;

-- Kept by the projector.
GRANT SELECT, INSERT, UPDATE, DELETE ON metric_counters TO tracker_projector;

-- Shown by the web workers, looked at by people and dashboards.
GRANT SELECT ON delivery_stats, delivery_latency TO tracker_service, tracker_reader;

-- Kept by the projector.
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery_stats, delivery_latency TO tracker_projector;

-- The service adds marks; when each was recorded is the database's to tell.
GRANT SELECT, INSERT (happened_at, text) ON annotations TO tracker_service;

-- Dashboards show them.
GRANT SELECT ON annotations TO tracker_reader;
