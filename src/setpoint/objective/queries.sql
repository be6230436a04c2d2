-- name: ledger_minutes
-- The newest computation of each minute of one objective, from a minute on; a total of NaN is a minute without data.
SELECT minute, good, total FROM ledger FINAL
WHERE objective = {objective:String} AND minute >= {first:UInt32}
ORDER BY minute;

