-- Marks on the dashboards: what happened outside of the tracker, such as a deploy of the application that sends.

-- Notes for people, from the command `tracker annotate` and the API. happened_at: the moment that the mark is at; recorded_at: when
-- the database got it. The text is one line, bounded, for every dashboard reads it.
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

-- A mark that moved or vanished would explain a step on a chart wrongly. A mistaken one is followed by another.
CREATE TRIGGER annotations_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON annotations
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The service adds marks; when each was recorded is the database's to tell.
GRANT SELECT, INSERT (happened_at, text) ON annotations TO tracker_service;

-- Dashboards show them.
GRANT SELECT ON annotations TO tracker_reader;
