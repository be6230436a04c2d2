-- name: table_sizes
-- What each table takes on disk; only the active parts, as merged ones are about to be deleted.
SELECT table, sum(bytes_on_disk) AS bytes, count() AS parts, sum(rows) AS rows
FROM system.parts
WHERE active AND database = currentDatabase()
GROUP BY table
ORDER BY table;

-- name: stored_samples
-- How many samples the stored chunks hold; reads one small column.
SELECT sum(samples) AS samples FROM blocks;
