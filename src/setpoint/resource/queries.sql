-- name: current
-- Every live resource, in a fixed order.
SELECT api_version, kind, name, revision, document, updated_ms, author FROM resources ORDER BY kind, name;

-- name: current_of_kind
-- The live resources of one kind.
SELECT api_version, kind, name, revision, document, updated_ms, author FROM resources
WHERE kind = :kind ORDER BY name;

-- name: current_one
-- One live resource.
SELECT api_version, kind, name, revision, document, updated_ms, author FROM resources
WHERE kind = :kind AND name = :name;

-- name: put
-- Stores a resource's new revision as the live one.
INSERT INTO resources (api_version, kind, name, revision, document, updated_ms, author)
VALUES (:api_version, :kind, :name, :revision, :document, :at_ms, :author)
ON CONFLICT (kind, name) DO UPDATE SET api_version = excluded.api_version, revision = excluded.revision,
    document = excluded.document, updated_ms = excluded.updated_ms, author = excluded.author;

-- name: remove
-- Ends a resource; its revisions stay.
DELETE FROM resources WHERE kind = :kind AND name = :name;

-- name: add_revision
-- Keeps a revision for ever; a deletion has no document.
INSERT INTO revisions (kind, name, revision, api_version, document, at_ms, author)
VALUES (:kind, :name, :revision, :api_version, :document, :at_ms, :author);

-- name: last_revisions
-- The highest revision of everything that ever lived, so that a name that comes back goes on counting.
SELECT kind, name, MAX(revision) AS revision FROM revisions GROUP BY kind, name;

-- name: revisions_of
-- The life of one resource, oldest first.
SELECT kind, name, revision, api_version, document, at_ms, author FROM revisions
WHERE kind = :kind AND name = :name ORDER BY revision;
