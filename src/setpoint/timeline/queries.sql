-- name: append_event
-- Adds an event and returns its id; returns nothing when its key was told before.
INSERT INTO events (at_ms, kind, service, actor, summary, data, key)
VALUES (:at_ms, :kind, :service, :actor, :summary, :data, :key)
ON CONFLICT (key) DO NOTHING
RETURNING id;

-- name: event_of_key
-- The event that was told first under a key.
SELECT id, at_ms, kind, service, actor, summary, data, key FROM events WHERE key = :key;

-- name: event_of_id
-- One event.
SELECT id, at_ms, kind, service, actor, summary, data, key FROM events WHERE id = :id;

-- name: list_events
-- The start of every list; the filters below are added as asked, then the order.
SELECT id, at_ms, kind, service, actor, summary, data, key FROM events WHERE TRUE

-- name: of_service
-- Filter: one service.
AND service = :service

-- name: of_kinds
-- Filter: some kinds; the placeholder is replaced by one parameter for each.
AND kind IN (:kinds)

-- name: of_actor
-- Filter: what one person, token or part did.
AND actor = :actor

-- name: changes
-- Filter: what somebody changed, apart from what Setpoint found out, decided and did itself.
AND actor NOT IN ('setpoint', 'supervisor') AND kind NOT IN ('gate.decided', 'alert.fired', 'alert.resolved', 'alert.seen')

-- name: after
-- Filter: the open left end of a range of time.
AND at_ms > :since_ms

-- name: up_to
-- Filter: the closed right end of a range of time.
AND at_ms <= :until_ms

-- name: before_event
-- Filter: what stands below an event in the list, for the next page.
AND (at_ms, id) < (SELECT at_ms, id FROM events WHERE id = :before_id)

-- name: newest_first
-- The order of every list.
ORDER BY at_ms DESC, id DESC LIMIT :limit
