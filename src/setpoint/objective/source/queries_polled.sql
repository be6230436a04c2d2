-- name: count_spans
-- Spans of a day at most by the minute in which they ended; a minute holds what ended after its begin, up to its end.
SELECT intDiv(start_ns + duration_ns - 1, 60000000000) AS minute, /* counts */
FROM spans FINAL
WHERE start_ns + duration_ns > {from_ns:Int64} AND start_ns + duration_ns <= {to_ns:Int64}
  AND start_ns > {from_ns:Int64} - 86400000000000 AND start_ns <= {to_ns:Int64} AND duration_ns <= 86400000000000
  AND (/* services */)
GROUP BY minute;

-- name: oldest_span
-- When the oldest span began; answered from the metadata of the parts.
SELECT count() AS spans, min(start_ns) AS oldest_ns FROM spans;

-- name: functions
-- What each function of the engine is for, by its names in lower case.
SELECT lower(name) AS name, lower(alias_to) AS alias_to, categories, is_aggregate FROM system.functions;

-- name: columns_of
-- The columns that a user's SELECT returns, and their types.
DESCRIBE TABLE (
/* query */
);

-- name: tree_of
-- How the engine reads a user's SELECT; nothing of it runs.
EXPLAIN AST SELECT * FROM (
/* query */
);

-- name: numbers_of
-- A user's SELECT as Unix milliseconds (-1 for null) and numbers (NaN for null).
SELECT ifNull(toUnixTimestamp64Milli(toDateTime64(/* time */, 3)), -1) AS at_ms, ifNull(toFloat64(value), nan) AS number
FROM (
/* query */
);
