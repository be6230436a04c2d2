-- name: ledger_hours
-- Hours of the ledgers in a range of numbers, without their minutes. One may come several times: the newest counts.
SELECT ledger, hour, good, total, present, counted, computed_ms FROM ledger_hours
WHERE ledger BETWEEN {low:UInt64} AND {high:UInt64}
    AND (empty({ids:Array(UInt64)}) OR ledger IN {ids:Array(UInt64)}) AND hour >= {first:UInt32} AND hour < {end:UInt32}
    AND intDiv(hour, 24) BETWEEN intDiv({first:UInt32}, 24) AND intDiv({end:UInt32}, 24);

-- name: ledger_blocks
-- The same with their minutes.
SELECT ledger, hour, good, total, present, counted, computed_ms, minutes FROM ledger_hours
WHERE ledger BETWEEN {low:UInt64} AND {high:UInt64}
    AND (empty({ids:Array(UInt64)}) OR ledger IN {ids:Array(UInt64)}) AND hour >= {first:UInt32} AND hour < {end:UInt32}
    AND intDiv(hour, 24) BETWEEN intDiv({first:UInt32}, 24) AND intDiv({end:UInt32}, 24);

-- name: ledger_minutes
-- Minutes of the ledgers in a range of numbers whose hours may not be finished. The newest of each counts.
SELECT ledger, minute, good, total, computed_ms FROM ledger_minutes
WHERE ledger BETWEEN {low:UInt64} AND {high:UInt64}
    AND (empty({ids:Array(UInt64)}) OR ledger IN {ids:Array(UInt64)}) AND minute >= {first:UInt32} AND minute < {end:UInt32};

-- name: ledger_minute_keys
-- The numbers of the ledgers that have minutes in a stretch of time, ascending.
SELECT DISTINCT ledger FROM ledger_minutes WHERE minute >= {first:UInt32} AND minute < {end:UInt32} ORDER BY ledger;

-- name: ledger_minute_days
-- The days (UTC, since 1970) of which minutes are kept.
SELECT DISTINCT toUInt32(partition) AS day FROM system.parts
WHERE active AND database = currentDatabase() AND table = 'ledger_minutes' ORDER BY day;

-- name: ledger_newest
-- When the newest row of the ledgers was computed, and the last finished hour.
SELECT
    greatest((SELECT max(computed_ms) FROM ledger_hours), (SELECT max(computed_ms) FROM ledger_minutes)) AS computed_ms,
    (SELECT max(hour) FROM ledger_hours) AS hour;

-- name: ledger_known
-- Which of some ledgers have their key stored.
SELECT id FROM ledger_keys WHERE id IN {ids:Array(UInt64)};

-- name: ledger_months_with_minutes
-- The months (partitions) of finished hours of which the minutes are still there.
SELECT DISTINCT partition FROM system.parts_columns
WHERE active AND database = currentDatabase() AND table = 'ledger_hours' AND column = 'minutes' ORDER BY partition;
