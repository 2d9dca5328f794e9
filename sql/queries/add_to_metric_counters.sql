-- Add to the series of metric_counters.
-- Parameters: arrays of equal length, each series once: metrics text; labels text, JSON objects; amounts text, decimal numbers;
-- created_ats timestamptz, of a series that is new; positions bigint, last_amounts text and received_ats timestamptz, of the last event
-- that counts. Returns nothing. Uses metric_counters_pkey.
INSERT INTO metric_counters (metric, labels, value, created_at, exemplar_position, exemplar_value, exemplar_at)
SELECT
    incoming.metric, incoming.labels::jsonb, incoming.amount::numeric, incoming.created_at, incoming.position,
    incoming.last_amount::numeric, incoming.received_at
FROM unnest(
    %(metrics)b::text [], %(labels)b::text [], %(amounts)b::text [], %(created_ats)b::timestamptz [], %(positions)b::bigint [],
    %(last_amounts)b::text [], %(received_ats)b::timestamptz []
) AS incoming (metric, labels, amount, created_at, position, last_amount, received_at)
ON CONFLICT (metric, labels) DO UPDATE SET
    value = metric_counters.value + excluded.value,
    exemplar_position = excluded.exemplar_position,
    exemplar_value = excluded.exemplar_value,
    exemplar_at = excluded.exemplar_at
