-- name: events_of_kind
-- The next events of a kind that happened after an instant, in the order of telling.
SELECT id, at_ms, kind, service, actor, summary, data, key FROM events
WHERE kind = :kind AND id > :after_id AND at_ms > :since_ms ORDER BY id LIMIT :limit
