-- A new version of a projection may change a column of every row, and another one of a few rows only. The comparison therefore counts
-- rows by which columns differ, and shows examples of each kind, the rarest first.

-- What differs between public.<table_name> and rebuild.<table_name>, matched by primary key. Returns one JSON object:
--   missing: how many rows only the live table has; added: only the new one; different: both, with other values;
--   columns: {name: in how many of the different rows it differs};
--   kinds: {"missing", "added", or the names of the columns that differ: in how many rows just these do}, the 10 rarest;
--   examples: up to 3 of each kind, the rarest kind first, as {key, old, new}: of different rows what differs, of others the whole row
--     and null for the one not there.
CREATE OR REPLACE FUNCTION rebuild.compare(table_name text) RETURNS jsonb LANGUAGE plpgsql AS $$
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
