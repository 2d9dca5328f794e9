-- Where projections are rebuilt, beside the live ones.
--
-- Tables of the same names are filled in the schema "rebuild", by the statements that fill the live ones, which find them through
-- the search path. Then the two are compared, and one transaction drops the old tables and puts the new ones in their place: a reader
-- sees the one or the other, whole. Checkpoints are in rebuild.projections meanwhile, so an interrupted rebuild goes on where it
-- stopped. Tables are created and dropped here, so all of it is done by whoever owns them; our roles have no rights in this schema.

-- How often a projection has been rebuilt, and when last.
ALTER TABLE projections ADD COLUMN rebuilds integer NOT NULL DEFAULT 0;
ALTER TABLE projections ADD COLUMN rebuilt_at timestamptz;

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

-- Begins a rebuild of a projection, or goes on with one of the same version that was interrupted. Returns its checkpoint.
CREATE FUNCTION rebuild.begin(projection text, program_version integer, table_names text []) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    checkpoint bigint;
BEGIN
    SELECT projections.position INTO checkpoint
    FROM rebuild.projections
    WHERE projections.name = projection AND projections.version = program_version;

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
--   examples: up to 10 of {key, old, new}: of different rows what differs, of others the whole row and null for the one not there.
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
            SELECT %2$s, live, built
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
        examples AS (
            SELECT
                (SELECT jsonb_object_agg(name, coalesce(old, new) -> name) FROM unnest($1) AS name) AS key,
                old - same AS old,
                new - same AS new
            FROM (SELECT to_jsonb(live) AS old, to_jsonb(built) AS new FROM differing ORDER BY %2$s LIMIT 10) AS found
            CROSS JOIN LATERAL (
                SELECT $1 || array_remove(array_agg(CASE WHEN new -> field.key = field.value THEN field.key END), NULL) AS same
                FROM jsonb_each(old) AS field
            ) AS unchanged
        )
        SELECT
            jsonb_build_object('missing', missing, 'added', added, 'different', different)
            || jsonb_build_object('columns', to_jsonb(totals) - ARRAY['missing', 'added', 'different'])
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
    INSERT INTO public.projections (name, version, position, rebuilds, rebuilt_at)
    SELECT built.name, built.version, built.position, 1, clock_timestamp()
    FROM rebuild.projections AS built
    WHERE built.name = projection
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version,
        position = excluded.position,
        updated_at = excluded.updated_at,
        failed_position = NULL,
        failed_reason = NULL,
        rebuilds = projections.rebuilds + 1,
        rebuilt_at = excluded.rebuilt_at;
    DELETE FROM rebuild.projections WHERE projections.name = projection;
END
$$;
