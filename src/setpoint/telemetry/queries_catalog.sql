-- name: stored_in_range
-- The series that have samples in a range of time: stands in the place of /* stored in range */.
SELECT fingerprint FROM blocks
WHERE first_ms >= {day_ms:Int64} AND first_ms <= {end_ms:Int64} AND last_ms >= {start_ms:Int64}
UNION ALL
SELECT fingerprint FROM rollups WHERE day * 86400000 >= {day_ms:Int64} AND day * 86400000 <= {end_ms:Int64}
UNION ALL
SELECT fingerprint FROM histograms WHERE ts_ms >= {start_ms:Int64} AND ts_ms <= {end_ms:Int64};

-- name: stored_series
-- Labels of the series that satisfy the matchers and have samples in a range of time.
SELECT labels
FROM series
WHERE /* matchers */
  AND fingerprint IN (/* stored in range */)
LIMIT 1 BY fingerprint
LIMIT {most:UInt64};

-- name: stored_label_names
-- The label names of those series.
SELECT DISTINCT arrayJoin(mapKeys(labels)) AS name
FROM series
WHERE /* matchers */
  AND fingerprint IN (/* stored in range */);

-- name: stored_label_values
-- The values of one label among those series.
SELECT DISTINCT labels[{label:String}] AS value
FROM series
WHERE /* matchers */
  AND value != ''
  AND fingerprint IN (/* stored in range */);
