-- name: dirty_days
-- The UTC days before one that hold chunks which no compaction has written (those have generation 0).
SELECT intDiv(first_ms, 86400000) AS day
FROM blocks
WHERE first_ms < {before:Int64} * 86400000 AND generation BETWEEN 1 AND {upto:UInt64}
GROUP BY day
ORDER BY day;

-- name: compaction_size
-- How much of a day is to be compacted: samples and chunks of the series that have new chunks, and the rest.
SELECT
    sumIf(samples, is_new) AS samples,
    countIf(is_new) AS chunks,
    countIf(NOT is_new) AS other_chunks
FROM (
    SELECT samples, fingerprint IN (
        SELECT fingerprint FROM blocks
        WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
          AND generation BETWEEN 1 AND {upto:UInt64}
    ) AS is_new
    FROM blocks
    WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
      AND generation <= {upto:UInt64}
);

-- name: read_compaction
-- The chunks of a day, of a range of fingerprints, of the series that have new ones.
SELECT fingerprint, first_ms, last_ms, samples, generation, payload
FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
  AND fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND generation <= {upto:UInt64}
  AND fingerprint IN (
    SELECT fingerprint FROM blocks
    WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
      AND fingerprint BETWEEN {first:UInt64} AND {last:UInt64} AND generation BETWEEN 1 AND {upto:UInt64}
  )
  AND NOT fingerprint IN (SELECT fingerprint FROM series WHERE /* expired */);

-- name: stage_compacted
-- Take over the chunks of a day whose series have no new ones.
INSERT INTO blocks_staged
SELECT * FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
  AND generation = 0
  AND fingerprint NOT IN (
    SELECT fingerprint FROM blocks
    WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
      AND generation BETWEEN 1 AND {upto:UInt64}
  )
  AND NOT fingerprint IN (SELECT fingerprint FROM series WHERE /* expired */);

-- name: count_added
-- How many chunks of a day were written since.
SELECT count() AS chunks
FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
  AND generation > {upto:UInt64};

-- name: stage_added
-- Take over the chunks of a day that were written since.
INSERT INTO blocks_staged
SELECT * FROM blocks
WHERE first_ms >= {day:Int64} * 86400000 AND first_ms < ({day:Int64} + 1) * 86400000
  AND generation > {upto:UInt64};

-- name: count_staged
-- How many chunks are staged.
SELECT count() AS chunks FROM blocks_staged;

-- name: rolled_samples
-- How many samples the stored rollups of a day were made of, for a range of fingerprints.
SELECT fingerprint, max(samples) AS samples
FROM rollups
WHERE day = {day:UInt32} AND fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
GROUP BY fingerprint;
