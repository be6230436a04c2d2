-- name: heartbeats
-- When each was heard, and when it must be heard again.
SELECT name, state, since_ms, last_ms, due_ms FROM heartbeats;

-- name: add_heartbeat
-- One that is new.
INSERT INTO heartbeats (name, state, since_ms, last_ms, due_ms) VALUES (:name, 'waiting', :at_ms, NULL, :due_ms)
ON CONFLICT (name) DO NOTHING;

-- name: ping_heartbeat
-- It was heard.
UPDATE heartbeats SET state = 'up', since_ms = CASE WHEN state = 'up' THEN since_ms ELSE :at_ms END, last_ms = :at_ms,
    due_ms = :due_ms
WHERE name = :name;

-- name: move_heartbeat
-- It has more time, or less.
UPDATE heartbeats SET due_ms = :due_ms WHERE name = :name AND due_ms = :before_ms;

-- name: miss_heartbeat
-- It was not heard in time.
UPDATE heartbeats SET state = 'missed', since_ms = :at_ms
WHERE name = :name AND state <> 'missed' AND due_ms = :due_ms;

-- name: drop_heartbeat
-- It is no longer expected.
DELETE FROM heartbeats WHERE name = :name;
