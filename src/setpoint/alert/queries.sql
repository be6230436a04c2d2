-- name: open_event_id
-- The event by which an open alert fired.
SELECT event_id FROM open_alerts WHERE objective = :objective AND policy = :policy;

-- name: open_alert
-- An alert fired.
INSERT INTO open_alerts (objective, policy, event_id) VALUES (:objective, :policy, :event_id)
ON CONFLICT (objective, policy) DO UPDATE SET event_id = excluded.event_id;

-- name: close_alert
-- An alert resolved.
DELETE FROM open_alerts WHERE objective = :objective AND policy = :policy;

-- name: open_alerts
-- The events by which all open alerts fired.
SELECT events.id, events.at_ms, events.service, events.summary, events.data
FROM open_alerts JOIN events ON events.id = open_alerts.event_id ORDER BY events.id;

-- name: newest_alert_event
-- The id of the newest event of an alert; 0 before the first.
SELECT COALESCE(MAX(id), 0) AS event_id FROM events
WHERE kind IN ('alert.fired', 'alert.resolved', 'policy.notified', 'policy.lifted');

-- name: alert_events_after
-- The next events of alerts, oldest first.
SELECT id, at_ms, kind, service, summary, data FROM events
WHERE id > :event_id AND kind IN ('alert.fired', 'alert.resolved', 'policy.notified', 'policy.lifted')
ORDER BY id LIMIT :limit;

-- name: cursors
-- How far the alert book has the events; before it, how far each webhook was told.
SELECT target, name, event_id FROM webhook_cursors;

-- name: add_cursor
-- Events up to here are not handed over.
INSERT INTO webhook_cursors (target, name, event_id) VALUES (:target, :name, :event_id)
ON CONFLICT (target) DO NOTHING;

-- name: move_cursor
-- The alert book has the events up to one.
UPDATE webhook_cursors SET event_id = :event_id WHERE target = :target AND event_id < :event_id;
