-- name: read_fine_rollups
-- Five-minute buckets of the series that satisfy the matchers, of a range of days.
SELECT fingerprint, day, version, fine
FROM rollups
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND day BETWEEN {first_day:UInt32} AND {last_day:UInt32};

-- name: read_coarse_rollups
-- Hour buckets of the series that satisfy the matchers, of a range of days.
SELECT fingerprint, day, version, coarse
FROM rollups
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND day BETWEEN {first_day:UInt32} AND {last_day:UInt32};

-- name: oldest_rollup
-- The first day that is rolled up.
SELECT count() AS chunks, min(day) AS day FROM rollups;
