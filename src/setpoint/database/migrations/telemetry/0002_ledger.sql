-- The ledger: good and total events of an objective per minute; a minute that is computed again replaces itself.
CREATE TABLE IF NOT EXISTS setpoint.ledger (
    objective String,
    minute UInt32 CODEC(DoubleDelta, ZSTD(1)),
    good Float64 CODEC(Gorilla, ZSTD(1)),
    total Float64 CODEC(Gorilla, ZSTD(1)),
    computed_ms Int64 CODEC(Delta, ZSTD(1))
) ENGINE = ReplacingMergeTree(computed_ms)
ORDER BY (objective, minute);
