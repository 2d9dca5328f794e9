-- A checkpoint that names its event as well as its position. Where the log was put back to an earlier state (a restore of this table
-- alone, a failover to a server that was behind), the positions after that are given out again, to other events. A projection that went
-- on from its position would skip them, and one that stood beyond the end would wait for ever.

-- The last event that was taken in; NULL at position 0.
ALTER TABLE projections ADD COLUMN event_id uuid;

-- The same for what is being rebuilt, whose table was made like the other one.
ALTER TABLE rebuild.projections ADD COLUMN event_id uuid;

-- Checkpoints that are there stand for the event that the log has there now.
UPDATE projections SET event_id = (SELECT events.event_id FROM events WHERE events.position = projections.position);

-- A rebuild that is under way goes on from its position likewise.
UPDATE rebuild.projections SET event_id = (SELECT events.event_id FROM events WHERE events.position = projections.position);

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

-- Not for everyone, like all functions.
REVOKE ALL ON FUNCTION is_in_log FROM public;

-- The projector looks before it goes on, the others show it. Each sees the columns that this needs.
GRANT EXECUTE ON FUNCTION is_in_log TO tracker_service, tracker_projector, tracker_reader;

-- Begins a rebuild of a projection, or goes on with one of the same version that was interrupted. One that was begun before the log was
-- put back is thrown away. Returns its checkpoint.
CREATE OR REPLACE FUNCTION rebuild.begin(
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

-- Puts the new tables and their checkpoint in the place of the live ones.
CREATE OR REPLACE FUNCTION rebuild.switch(projection text, table_names text []) RETURNS void LANGUAGE plpgsql AS $$
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
