-- name: newest_generation
-- The newest generation of chunks or of markers.
SELECT max(generation) AS generation
FROM (SELECT max(generation) AS generation FROM blocks UNION ALL SELECT max(generation) FROM flushes);

-- name: journal_columns
-- What a table of the journal holds, one row per group; blocks are compressed already.
(generation UInt64, seq UInt64, samples UInt32, block String CODEC(NONE));

-- name: list_journals
-- The tables of the journal.
SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'journal_');

-- name: count_journal
-- How many samples each generation holds.
SELECT generation, sum(samples) AS samples
FROM merge(currentDatabase(), '^journal_[0-9]+$')
GROUP BY generation;

-- name: list_journal
-- The groups of a generation in the order in which they were written.
SELECT seq, samples FROM /* journal */ ORDER BY seq;

-- name: read_journal
-- A range of the groups of a generation.
SELECT seq, block FROM /* journal */ WHERE seq BETWEEN {first:UInt64} AND {last:UInt64} ORDER BY seq;
