-- name: read_labels
-- Labels of the series that satisfy the matchers.
SELECT fingerprint, labels
FROM series
WHERE /* matchers */
LIMIT 1 BY fingerprint;

-- name: read_recent_series
-- The series of a range of fingerprints that have chunks with samples after a time.
SELECT fingerprint, labels, service, resource, scope, type, unit, help
FROM series
WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND fingerprint IN (
    SELECT fingerprint FROM blocks
    WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
      AND first_ms >= {day_ms:Int64} AND last_ms > {since_ms:Int64}
  )
LIMIT 1 BY fingerprint;

-- name: read_named_series
-- The series with these fingerprints.
SELECT fingerprint, labels, service, resource, scope, type, unit, help
FROM series
WHERE fingerprint IN {wanted:Array(UInt64)}
LIMIT 1 BY fingerprint;

-- name: oldest_sample
-- The first timestamp in a chunk; answered from the metadata of the parts.
SELECT count() AS chunks, min(first_ms) AS oldest_ms FROM blocks;

-- name: count_rows
-- Rows of each signal's table, samples in chunks, and which generations these are of; a resent row counts twice until
-- the engine has merged it away.
WITH (SELECT max(generation) FROM flushes) AS newest
SELECT
    newest AS marked,
    (SELECT count() FROM series) AS series,
    (SELECT sum(samples) FROM blocks WHERE generation <= newest) AS samples,
    (SELECT count() FROM spans) AS spans,
    (SELECT count() FROM logs) AS logs;

-- name: count_by_service
-- What each service has sent, and when its last signal was.
SELECT service, sum(series) AS series, sum(spans) AS spans, sum(logs) AS logs, max(last_ms) AS last_seen_ms
FROM (
    SELECT service, uniqExact(fingerprint) AS series, toUInt64(0) AS spans, toUInt64(0) AS logs, toInt64(0) AS last_ms
    FROM series GROUP BY service
    UNION ALL
    SELECT service, 0, 0, 0, max(recent.last_ms)
    FROM (
        SELECT fingerprint, max(blocks.last_ms) AS last_ms
        FROM blocks
        WHERE first_ms >= {day_ms:Int64} AND blocks.last_ms > {since_ms:Int64}
        GROUP BY fingerprint
    ) AS recent
    INNER JOIN (SELECT fingerprint, any(service) AS service FROM series GROUP BY fingerprint) AS known
        ON recent.fingerprint = known.fingerprint
    GROUP BY service
    UNION ALL
    SELECT service, 0, count(), 0, intDiv(max(start_ns + duration_ns), 1000000) FROM spans GROUP BY service
    UNION ALL
    SELECT service, 0, 0, count(), intDiv(max(ts_ns), 1000000) FROM logs GROUP BY service
)
GROUP BY service
ORDER BY service;
