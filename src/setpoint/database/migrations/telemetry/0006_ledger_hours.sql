-- Which ledger a number stands for: the first eight bytes (little endian) of the SHA-256 of its key.
CREATE TABLE IF NOT EXISTS setpoint.ledger_keys (
    id UInt64,
    key String
) ENGINE = ReplacingMergeTree
ORDER BY id;

-- The ledger: good and total events of an objective per hour, and its minutes in the encoding of `objective/ledger_codec.py`.
-- Bit i of `present` is set where minute i of the hour had data, of `counted` where it was counted at all.
-- An hour that is written again replaces itself. Sorted by day first, so that one hour of all objectives is one stretch.
CREATE TABLE IF NOT EXISTS setpoint.ledger_hours (
    ledger UInt64 CODEC(ZSTD(1)),
    hour UInt32 CODEC(Delta, ZSTD(1)),
    good Float64 CODEC(ZSTD(1)),
    total Float64 CODEC(ZSTD(1)),
    present UInt64 CODEC(ZSTD(1)),
    counted UInt64 CODEC(ZSTD(1)),
    computed_ms Int64 CODEC(Delta, ZSTD(1)),
    minutes String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(computed_ms)
PARTITION BY toYYYYMM(toDateTime(hour * 3600, 'UTC'))
ORDER BY (intDiv(hour, 24), ledger, hour)
SETTINGS index_granularity = 512, fsync_after_insert = 1, fsync_part_directory = 1;

-- Minutes of hours that are not finished yet; a total of NaN is a minute that was counted and has no data. A partition is
-- a UTC day (its number since 1970), dropped once its hours are in `ledger_hours`.
CREATE TABLE IF NOT EXISTS setpoint.ledger_minutes (
    ledger UInt64 CODEC(ZSTD(1)),
    minute UInt32 CODEC(Delta, ZSTD(1)),
    good Float64 CODEC(ZSTD(1)),
    total Float64 CODEC(ZSTD(1)),
    computed_ms Int64 CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree(computed_ms)
PARTITION BY intDiv(minute, 1440)
ORDER BY (ledger, minute);

-- What an older Setpoint kept minute by minute. A start that ended in between does all this again.
CREATE TABLE IF NOT EXISTS setpoint.ledger (
    objective String,
    minute UInt32,
    good Float64,
    total Float64,
    computed_ms Int64
) ENGINE = ReplacingMergeTree(computed_ms)
ORDER BY (objective, minute);

INSERT INTO setpoint.ledger_keys
SELECT DISTINCT reinterpretAsUInt64(substring(SHA256(objective), 1, 8)), objective FROM setpoint.ledger;

INSERT INTO setpoint.ledger_minutes
SELECT reinterpretAsUInt64(substring(SHA256(objective), 1, 8)), minute, good, total, computed_ms FROM setpoint.ledger
SETTINGS max_partitions_per_insert_block = 0;

DROP TABLE setpoint.ledger
