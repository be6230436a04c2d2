-- name: partitions
-- Partitions of the telemetry tables with their sizes on disk.
SELECT table, partition, sum(bytes_on_disk) AS bytes, sum(rows) AS rows
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table, partition
ORDER BY table, partition;

-- name: count_expired_blocks
-- Chunks of a day whose series are kept for less.
SELECT count() AS rows
FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
  AND fingerprint IN (SELECT fingerprint FROM series WHERE /* expired */);

-- name: count_expired_histograms
-- Native histograms of a day whose series are kept for less.
SELECT count() AS rows
FROM histograms
WHERE ts_ms >= {day:Int64} * 86400000 AND ts_ms < ({day:Int64} + 1) * 86400000
  AND fingerprint IN (SELECT fingerprint FROM series WHERE /* expired */);

-- name: count_expired_exemplars
-- Exemplars of a day whose series are kept for less.
SELECT count() AS rows
FROM exemplars
WHERE ts_ms >= {day:Int64} * 86400000 AND ts_ms < ({day:Int64} + 1) * 86400000
  AND fingerprint IN (SELECT fingerprint FROM series WHERE /* expired */);

-- name: count_series
-- How many series rows there are.
SELECT count() AS rows FROM series;

-- name: unused_series
-- Series of a range of fingerprints of which nothing is stored; samples in the journal are in memory as well.
SELECT DISTINCT fingerprint
FROM series
WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND fingerprint NOT IN (SELECT fingerprint FROM blocks WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64})
  AND fingerprint NOT IN (SELECT fingerprint FROM rollups WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64})
  AND fingerprint NOT IN (
    SELECT fingerprint FROM histograms WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  )
  AND fingerprint NOT IN (
    SELECT fingerprint FROM exemplars WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  );

-- name: delete_unused_series
-- Delete the series that are listed as unused.
ALTER TABLE series DELETE WHERE fingerprint IN (SELECT fingerprint FROM series_unused) SETTINGS mutations_sync = 2;
