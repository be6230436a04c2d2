-- name: silences_after
-- Silences that were added or changed after a version, in the order of changes.
SELECT id, version, matchers, starts_ms, ends_ms, created_by, comment, updated_ms, recurrence FROM silences
WHERE version > :version ORDER BY version;

-- name: newest_version
-- The version of the newest change; 0 before the first.
SELECT COALESCE(MAX(version), 0) AS version FROM silences;

-- name: put_silence
-- A silence that is new or changed.
INSERT INTO silences (id, version, matchers, starts_ms, ends_ms, created_by, comment, updated_ms, recurrence)
VALUES (:id, :version, :matchers, :starts_ms, :ends_ms, :created_by, :comment, :updated_ms, :recurrence)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, matchers = excluded.matchers,
    starts_ms = excluded.starts_ms, ends_ms = excluded.ends_ms, created_by = excluded.created_by,
    comment = excluded.comment, updated_ms = excluded.updated_ms, recurrence = excluded.recurrence;

-- name: drop_silences_before
-- Silences that ended long ago; the newest version stays, so that versions never begin again.
DELETE FROM silences WHERE ends_ms < :ends_ms AND version < (SELECT MAX(version) FROM silences);

