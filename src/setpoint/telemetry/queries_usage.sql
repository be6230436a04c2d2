-- name: table_sizes
-- What each table takes on disk; the tables of a journal on a server, one per generation, together.
SELECT
    if(startsWith(name, 'journal_'), 'journal', name) AS table,
    sum(ifNull(total_bytes, 0)) AS bytes,
    sum(ifNull(active_parts, 0)) AS parts,
    sum(ifNull(total_rows, 0)) AS rows
FROM system.tables
WHERE database = currentDatabase()
GROUP BY table
ORDER BY table;

-- name: stored_samples
-- How many samples the stored chunks hold; reads one small column.
SELECT sum(samples) AS samples FROM blocks;
