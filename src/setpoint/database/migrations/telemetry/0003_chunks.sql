-- Samples: one row per chunk, which holds up to a day of one series in the encoding of `telemetry/codec.py`. A partition
-- is a UTC day (its number since 1970). Chunks of one series may overlap: of equal timestamps the later generation counts.
CREATE TABLE IF NOT EXISTS setpoint.blocks (
    fingerprint UInt64 CODEC(Delta, ZSTD(1)),
    first_ms Int64 CODEC(Delta, ZSTD(1)),
    last_ms Int64 CODEC(Delta, ZSTD(1)),
    samples UInt32 CODEC(ZSTD(1)),
    generation UInt64 CODEC(Delta, ZSTD(1)),
    payload String CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY intDiv(first_ms, 86400000)
PRIMARY KEY fingerprint
ORDER BY (fingerprint, first_ms, generation)
SETTINGS index_granularity = 1024, index_granularity_bytes = 32768,
    min_compress_block_size = 32768, max_compress_block_size = 32768;

-- Which generations are wholly in `blocks`; the journal rows of such a generation are not replayed.
CREATE TABLE IF NOT EXISTS setpoint.flushes (
    generation UInt64,
    flushed_ms Int64
) ENGINE = MergeTree
ORDER BY generation;

-- Exemplars; one that is sent again replaces itself.
CREATE TABLE IF NOT EXISTS setpoint.exemplars (
    fingerprint UInt64 CODEC(ZSTD(1)),
    ts_ms Int64 CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(ts_ms, 86400000)
ORDER BY (fingerprint, ts_ms, value);

-- Native histograms, one row each, in the encoding of `telemetry/native_histogram.py`; one sent again replaces itself.
CREATE TABLE IF NOT EXISTS setpoint.histograms (
    fingerprint UInt64 CODEC(ZSTD(1)),
    ts_ms Int64 CODEC(DoubleDelta, ZSTD(1)),
    payload String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(ts_ms, 86400000)
ORDER BY (fingerprint, ts_ms);

-- What senders say of metric families; the last word counts.
CREATE TABLE IF NOT EXISTS setpoint.metadata (
    metric String,
    type LowCardinality(String),
    unit LowCardinality(String),
    help String
) ENGINE = ReplacingMergeTree
ORDER BY metric;
