-- Metric series: one row per set of labels; a row that is written again replaces itself.
CREATE TABLE IF NOT EXISTS setpoint.series (
    fingerprint UInt64,
    metric LowCardinality(String),
    labels Map(LowCardinality(String), String),
    service LowCardinality(String),
    resource Map(LowCardinality(String), String),
    scope LowCardinality(String),
    type LowCardinality(String),
    unit LowCardinality(String),
    help LowCardinality(String)
) ENGINE = ReplacingMergeTree ORDER BY (metric, fingerprint);

-- Samples: one row each; a sample that is sent again replaces itself, so retries do not count twice.
CREATE TABLE IF NOT EXISTS setpoint.samples (
    fingerprint UInt64,
    ts_ms Int64 CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Gorilla, ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(ts_ms))
ORDER BY (fingerprint, ts_ms)
TTL toDateTime(intDiv(ts_ms, 1000)) + INTERVAL 35 DAY;

CREATE TABLE IF NOT EXISTS setpoint.spans (
    service LowCardinality(String),
    name LowCardinality(String),
    kind LowCardinality(String),
    start_ns Int64 CODEC(Delta, ZSTD(1)),
    duration_ns Int64 CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    trace_state String,
    status LowCardinality(String),
    status_message String,
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope LowCardinality(String),
    events Array(Tuple(ts_ns Int64, name String, attributes Map(String, String))) CODEC(ZSTD(1)),
    links Array(Tuple(trace_id FixedString(16), span_id FixedString(8), attributes Map(String, String))) CODEC(ZSTD(1)),
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(intDiv(start_ns, 1000000000)))
ORDER BY (service, start_ns, trace_id, span_id)
TTL toDateTime(intDiv(start_ns, 1000000000)) + INTERVAL 15 DAY;

-- Log records: `id` is a hash of the record's bytes and its place in the request, so a retried request replaces itself.
CREATE TABLE IF NOT EXISTS setpoint.logs (
    service LowCardinality(String),
    ts_ns Int64 CODEC(Delta, ZSTD(1)),
    observed_ns Int64 CODEC(Delta, ZSTD(1)),
    id UInt64,
    severity_number UInt8,
    severity LowCardinality(String),
    body String CODEC(ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    resource Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    scope LowCardinality(String),
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(toDateTime(intDiv(ts_ns, 1000000000)))
ORDER BY (service, ts_ns, id)
TTL toDateTime(intDiv(ts_ns, 1000000000)) + INTERVAL 15 DAY;
