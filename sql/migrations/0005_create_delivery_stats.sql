-- Statistics by the minute of the events' own time, for questions that counters cannot answer ("last Tuesday, by country").

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

-- Shown by the web workers, looked at by people and dashboards.
GRANT SELECT ON delivery_stats, delivery_latency TO tracker_service, tracker_reader;

-- Kept by the projector.
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery_stats, delivery_latency TO tracker_projector;
