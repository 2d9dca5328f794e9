-- Append a mark for the dashboards.
-- Parameters: happened_at timestamptz, null for now; text: one line of 1 to 200 characters. Returns annotation_id, happened_at and text.
INSERT INTO annotations (happened_at, text)
VALUES (coalesce(%(happened_at)s::timestamptz, clock_timestamp()), %(text)s::text)
RETURNING annotation_id, happened_at, text
