-- name: count_spans
-- Spans of a day at most by the minute in which they ended; a minute holds what ended after its begin, up to its end.
SELECT intDiv(start_ns + duration_ns - 1, 60000000000) AS minute, /* counts */
FROM spans FINAL
WHERE start_ns + duration_ns > {from_ns:Int64} AND start_ns + duration_ns <= {to_ns:Int64}
  AND start_ns > {from_ns:Int64} - 86400000000000 AND start_ns <= {to_ns:Int64} AND duration_ns <= 86400000000000
  AND (/* services */)
GROUP BY minute;

-- name: count_span_groups
-- The same of all groups of one declaration: rows of minute, who sent it (0: nobody that is asked for) and the place of
-- the group (0: none).
SELECT intDiv(start_ns + duration_ns - 1, 60000000000) AS minute, /* sender */ AS sender, /* place */ AS place,
    count() AS total, countIf(/* part */) AS part
FROM spans FINAL
WHERE start_ns + duration_ns > {from_ns:Int64} AND start_ns + duration_ns <= {to_ns:Int64}
  AND start_ns > {from_ns:Int64} - 86400000000000 AND start_ns <= {to_ns:Int64} AND duration_ns <= 86400000000000
  AND (/* services */)
GROUP BY minute, sender, place;

-- name: span_groups
-- The values that the spans have which ended in a stretch of time.
SELECT DISTINCT /* values */ FROM spans
WHERE start_ns + duration_ns > {from_ns:Int64} AND start_ns + duration_ns <= {to_ns:Int64}
  AND start_ns > {from_ns:Int64} - 86400000000000 AND start_ns <= {to_ns:Int64} AND duration_ns <= 86400000000000
  AND /* total */
LIMIT {limit:UInt32};

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

-- name: group_numbers_of
-- The same of a SELECT that returns groups, too, of those that are asked for; the place of each among these.
SELECT ifNull(toUnixTimestamp64Milli(toDateTime64(/* time */, 3)), -1) AS __at_ms,
    ifNull(toFloat64(value), nan) AS __number, /* place */ AS __place
FROM (
/* query */
)
WHERE __place > 0;

-- name: groups_of
-- The values that the rows of a user's SELECT have.
SELECT DISTINCT /* values */ FROM (
/* query */
)
LIMIT {limit:UInt32};
