-- name: read_exemplars
-- Exemplars of the series that satisfy the matchers, in a range.
SELECT fingerprint, ts_ms, value, labels
FROM exemplars FINAL
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND ts_ms >= {start_ms:Int64} AND ts_ms <= {end_ms:Int64}
ORDER BY fingerprint, ts_ms, value;

-- name: read_histograms
-- Native histograms of the series that satisfy the matchers, in a range; in hexadecimal, as bytes are no text.
SELECT fingerprint, ts_ms, hex(payload) AS payload
FROM histograms FINAL
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND ts_ms > {start_ms:Int64} AND ts_ms <= {end_ms:Int64}
ORDER BY fingerprint, ts_ms;

-- name: histogram_series
-- The series that have native histograms, some of them where they are many.
SELECT fingerprint, labels
FROM series
WHERE fingerprint IN (SELECT fingerprint FROM histograms)
LIMIT 1 BY fingerprint
LIMIT {most:UInt32};

-- name: newest_histogram
-- When the newest native histogram is of; a time before all others where there is none.
SELECT if(count() = 0, -4611686018427387904, max(ts_ms)) AS ts_ms FROM histograms;

-- name: count_histograms
-- How many native histograms are to be read, those that replace each other among them.
SELECT count() AS rows
FROM histograms
WHERE fingerprint IN (SELECT fingerprint FROM series WHERE /* matchers */)
  AND ts_ms > {start_ms:Int64} AND ts_ms <= {end_ms:Int64};

-- name: read_metadata
-- What senders said of metric families.
SELECT metric, type, unit, help FROM metadata FINAL ORDER BY metric;

-- name: read_metadata_of
-- What senders said of a metric family.
SELECT metric, type, unit, help FROM metadata FINAL WHERE metric = {metric:String};
