-- The counters that /metrics shows of messages, as rows. Each batch adds to them in the transaction that moves the checkpoint, so they
-- are exact: no restart, repetition, replay or rebuild moves them.

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

-- Shown by the web workers, looked at by people and dashboards.
GRANT SELECT ON metric_counters TO tracker_service, tracker_reader;

-- Kept by the projector.
GRANT SELECT, INSERT, UPDATE, DELETE ON metric_counters TO tracker_projector;
