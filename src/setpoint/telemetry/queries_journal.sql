-- name: newest_generation
-- The newest generation that was ever written to, of the journal, of chunks or of markers.
SELECT max(generation) AS generation
FROM (
    SELECT max(generation) AS generation FROM journal
    UNION ALL SELECT max(generation) FROM blocks
    UNION ALL SELECT max(generation) FROM flushes
);

-- name: journal_generations
-- The generations in the journal and how many samples each holds.
SELECT generation, sum(samples) AS samples FROM journal GROUP BY generation ORDER BY generation;

-- name: list_journal
-- The groups of a generation in the order in which they were written.
SELECT seq, samples FROM journal WHERE generation = {generation:UInt64} ORDER BY seq;

-- name: read_journal
-- A range of the groups of a generation.
SELECT seq, block
FROM journal
WHERE generation = {generation:UInt64} AND seq BETWEEN {first:UInt64} AND {last:UInt64}
ORDER BY seq;
