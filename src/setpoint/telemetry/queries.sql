-- name: read_samples
-- Samples of the series that satisfy the matchers; FINAL keeps the last written of equal timestamps.
SELECT fingerprint, ts_ms, value
FROM samples FINAL
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND ts_ms > {start_ms:Int64} AND ts_ms <= {end_ms:Int64}
ORDER BY fingerprint, ts_ms
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: read_labels
-- Labels of the series that satisfy the matchers.
SELECT fingerprint, labels
FROM series
WHERE /* matchers */
LIMIT 1 BY fingerprint;

-- name: count_recent
-- How many samples `read_recent` will return at most (resent ones counted twice).
SELECT count() AS samples FROM samples WHERE ts_ms > {since_ms:Int64};

-- name: read_recent
-- The next samples after a time in the order of the table, from a series and a timestamp on.
SELECT fingerprint, ts_ms, value
FROM samples FINAL
WHERE ts_ms > {since_ms:Int64}
  AND (fingerprint > {after:UInt64} OR (fingerprint = {after:UInt64} AND ts_ms > {after_ms:Int64}))
ORDER BY fingerprint, ts_ms
LIMIT {chunk:UInt64}
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- name: read_recent_series
-- The series whose identities lie in a range and that have samples after a time.
SELECT fingerprint, labels, service, resource, scope, type, unit, help
FROM series FINAL
WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
  AND fingerprint IN (
    SELECT fingerprint FROM samples
    WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64} AND ts_ms > {since_ms:Int64}
  );

-- name: oldest_sample
-- The first timestamp stored; answered from the metadata of the parts.
SELECT count() AS samples, min(ts_ms) AS oldest_ms FROM samples;

-- name: count_rows
-- Rows of each signal's table; a resent row counts twice until the engine has merged it away.
SELECT
    (SELECT count() FROM series) AS series,
    (SELECT count() FROM samples) AS samples,
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
        SELECT fingerprint, max(ts_ms) AS last_ms FROM samples WHERE ts_ms > {since_ms:Int64} GROUP BY fingerprint
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
