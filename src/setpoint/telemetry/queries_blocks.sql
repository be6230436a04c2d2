-- name: read_chunks
-- Chunks of the series that satisfy the matchers with samples in a range; a chunk never leaves its day. `low_ms` to
-- `high_ms` and the fingerprints from `first` to `last` cut the answer into pieces.
SELECT fingerprint, first_ms, last_ms, samples, generation, payload
FROM blocks
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND first_ms >= {low_ms:Int64} AND first_ms <= {high_ms:Int64} AND last_ms > {start_ms:Int64};

-- name: estimate_chunks
-- How many chunks of a range `read_chunks` finds, when the first and last of them begin, and about how many samples
-- that is: chunks count by how far they lie within.
SELECT count() AS chunks, min(first_ms) AS oldest_ms, max(first_ms) AS newest_ms, sum(
    samples * (toFloat64(least(blocks.last_ms, {end_ms:Int64})) - greatest(first_ms - 1, {start_ms:Int64}))
    / (blocks.last_ms - first_ms + 1)
) AS samples
FROM blocks
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND first_ms >= {day_ms:Int64} AND first_ms <= {end_ms:Int64} AND last_ms > {start_ms:Int64};

-- name: count_chunks_since
-- How many chunks `read_chunks_since` returns over all fingerprints, and their samples.
SELECT count() AS chunks, sum(samples) AS samples
FROM blocks
WHERE first_ms >= {day_ms:Int64} AND last_ms > {since_ms:Int64};

-- name: read_chunks_since
-- Chunks with samples after a time, of a range of fingerprints.
SELECT fingerprint, first_ms, last_ms, samples, generation, payload
FROM blocks
WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND first_ms >= {day_ms:Int64} AND last_ms > {since_ms:Int64};

-- name: newest_marked
-- The newest generation that is wholly in `blocks`.
SELECT max(generation) AS generation FROM flushes;

-- name: count_unmarked
-- Chunks of flushes that never ended.
SELECT count() AS chunks FROM blocks WHERE generation > {marked:UInt64};

-- name: delete_unmarked
-- Delete the chunks of flushes that never ended.
ALTER TABLE blocks DELETE WHERE generation > {marked:UInt64} SETTINGS mutations_sync = 2;

-- name: read_day
-- All chunks of a UTC day.
SELECT fingerprint, first_ms, last_ms, samples, generation, payload
FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000;

-- name: day_state
-- How many chunks a UTC day has, and the newest generation that wrote some.
SELECT count() AS chunks, max(generation) AS generation
FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000;
