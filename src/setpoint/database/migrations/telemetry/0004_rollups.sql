-- Down-sampled history: per series and UTC day (its number since 1970) the buckets of five minutes and of an hour, in
-- the encoding of `telemetry/rollup_codec.py`. A day that is rolled up again replaces itself: the later version counts.
CREATE TABLE IF NOT EXISTS setpoint.rollups (
    fingerprint UInt64 CODEC(Delta, LZ4),
    day UInt32 CODEC(Delta, LZ4),
    version UInt64 CODEC(Delta, LZ4),
    samples UInt32 CODEC(LZ4),
    fine String CODEC(NONE),
    coarse String CODEC(NONE)
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(toDate(day))
ORDER BY (fingerprint, day)
SETTINGS index_granularity = 1024, index_granularity_bytes = 65536;

-- A day of `blocks` while compaction rewrites it; REPLACE PARTITION wants the same structure.
CREATE TABLE IF NOT EXISTS setpoint.blocks_staged AS setpoint.blocks;

-- Series that are about to be deleted from `series`, because nothing of them is left.
CREATE TABLE IF NOT EXISTS setpoint.series_unused (
    fingerprint UInt64
) ENGINE = MergeTree
ORDER BY fingerprint;
