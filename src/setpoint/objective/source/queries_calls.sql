-- name: spans_since
-- How many spans began since an instant.
SELECT count() AS spans FROM spans WHERE start_ns > {from_ns:Int64};

-- name: calls_since
-- Which service called which, of one in so many traces: spans that answer, and the spans of other services that they
-- are children of. A consumer is called by who produced.
SELECT caller.service AS caller, callee.service AS callee, count() AS calls
FROM (
    SELECT service, trace_id, parent_span_id FROM spans
    WHERE start_ns > {from_ns:Int64} AND kind IN ('server', 'consumer') AND cityHash64(trace_id) % {one_in:UInt64} = 0
) AS callee
INNER JOIN (
    SELECT service, trace_id, span_id FROM spans
    WHERE start_ns > {from_ns:Int64} AND cityHash64(trace_id) % {one_in:UInt64} = 0
) AS caller ON callee.trace_id = caller.trace_id AND callee.parent_span_id = caller.span_id
WHERE caller.service != callee.service AND caller.service != '' AND callee.service != ''
GROUP BY caller, callee
ORDER BY calls DESC
LIMIT 2000;
