-- Least privilege. The roles cannot log in: a process connects as the user of DATABASE_URL, who is a member of them, and takes one
-- of them for the whole session. Roles belong to the cluster, so another database of it may have made them already.

-- tracker_service: takes callbacks and answers questions. tracker_projector: keeps projections. tracker_reader: looks (Grafana).
DO $$
DECLARE
    wanted text;
    -- From PostgreSQL 16 on, who creates a role may administer it, but not yet take it.
    may_take CONSTANT text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['tracker_service', 'tracker_projector', 'tracker_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                -- Two databases of one cluster may be migrated at the same moment.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        IF NOT pg_has_role(current_user, wanted, may_take) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

-- Nobody gets anything by default.
REVOKE ALL ON SCHEMA public FROM public;

-- Functions are executable by everyone unless this is taken away.
REVOKE ALL ON FUNCTION append_events FROM public;

-- All three look into the schema.
GRANT USAGE ON SCHEMA public TO tracker_service, tracker_projector, tracker_reader;

-- The receiver adds events and cannot touch those that are there.
GRANT SELECT, INSERT ON events, quarantined_callbacks TO tracker_service;

-- Moving the head is part of an append.
GRANT SELECT, UPDATE ON log_head TO tracker_service;

-- The one way to write.
GRANT EXECUTE ON FUNCTION append_events TO tracker_service;

-- Answers come from the projections.
GRANT SELECT ON projections, projection_runner, message_state TO tracker_service;

-- The projector reads the log.
GRANT SELECT ON events, log_head TO tracker_projector;

-- And writes what is derived from it.
GRANT SELECT, INSERT, UPDATE, DELETE ON projections, projection_runner, message_state TO tracker_projector;

-- Dashboards see the log and the projections, but not signatures, bodies or tokens.
GRANT SELECT (
    position, event_id, source, account_sid, message_sid, status, error_code, raw_dlr_done_date, channel, from_address, to_address,
    messaging_service_sid, received_at, recorded_at, key_id
) ON events TO tracker_reader;

-- The state and the checkpoints are for everyone who may look.
GRANT SELECT ON log_head, projections, projection_runner, message_state TO tracker_reader;
