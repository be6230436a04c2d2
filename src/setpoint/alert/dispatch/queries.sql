-- name: take_sequence
-- Numbers for rows that change; whoever takes them holds the counter, so that numbers are committed in their order.
UPDATE counters SET value = value + :count WHERE name = 'alerts' RETURNING value;

-- name: all_alerts
-- Every alert, at the start.
SELECT fingerprint, seq, starts_ms, ends_ms, updated_ms, is_timeout, source, episode_ms, told, data FROM alerts;

-- name: alerts_after
-- What other replicas wrote since.
SELECT fingerprint, seq, starts_ms, ends_ms, updated_ms, is_timeout, source, episode_ms, told, data FROM alerts
WHERE seq > :seq ORDER BY seq;

-- name: put_alert
-- An alert as it is known now.
INSERT INTO alerts (fingerprint, seq, starts_ms, ends_ms, updated_ms, is_timeout, source, episode_ms, told, data)
VALUES (:fingerprint, :seq, :starts_ms, :ends_ms, :updated_ms, :is_timeout, :source, :episode_ms, :told, :data)
ON CONFLICT (fingerprint) DO UPDATE SET
  seq = excluded.seq, starts_ms = excluded.starts_ms, ends_ms = excluded.ends_ms, updated_ms = excluded.updated_ms,
  is_timeout = excluded.is_timeout, source = excluded.source, episode_ms = excluded.episode_ms, told = excluded.told,
  data = excluded.data;

-- name: move_alert
-- An alert whose times alone have changed.
UPDATE alerts SET seq = :seq, starts_ms = :starts_ms, ends_ms = :ends_ms, updated_ms = :updated_ms,
  is_timeout = :is_timeout WHERE fingerprint = :fingerprint;

-- name: tell_alert
-- The timeline was told of an episode of an alert.
UPDATE alerts SET told = :told WHERE fingerprint = :fingerprint AND episode_ms = :episode_ms;

-- name: drop_alert
-- An alert that ended, and that everybody was told of, unless it was told again meanwhile.
DELETE FROM alerts WHERE fingerprint = :fingerprint AND seq = :seq;

-- name: fingerprints
-- Which alerts there still are.
SELECT fingerprint FROM alerts;

-- name: log_entries
-- What every integration was told last.
SELECT key, receiver, integration, group_key, firing, resolved, at_ms, delivered_ms, expires_ms FROM notification_log;

-- name: log_entry
-- What one integration was told last of a group.
SELECT key, receiver, integration, group_key, firing, resolved, at_ms, delivered_ms, expires_ms FROM notification_log
WHERE key = :key;

-- name: put_log_entry
-- An integration was told.
INSERT INTO notification_log
  (key, receiver, integration, group_key, firing, resolved, at_ms, delivered_ms, expires_ms)
VALUES (:key, :receiver, :integration, :group_key, :firing, :resolved, :at_ms, :delivered_ms, :expires_ms)
ON CONFLICT (key) DO UPDATE SET firing = excluded.firing, resolved = excluded.resolved, at_ms = excluded.at_ms,
  delivered_ms = excluded.delivered_ms, expires_ms = excluded.expires_ms;

-- name: drop_log_entry
-- An entry that has expired, or whose group is over, unless it was written again meanwhile.
DELETE FROM notification_log WHERE key = :key AND delivered_ms = :delivered_ms;

-- name: lease
-- Who holds a lease.
SELECT holder, beat, until_ms FROM leases WHERE name = :name;

-- name: first_lease
-- A lease that nobody has held yet.
INSERT INTO leases (name, holder, beat, until_ms) VALUES (:name, :holder, 1, :until_ms) ON CONFLICT (name) DO NOTHING;

-- name: take_lease
-- A lease changes hands, unless somebody else took it or its holder moved first.
UPDATE leases SET holder = :holder, beat = beat + 1, until_ms = :until_ms WHERE name = :name AND beat = :beat;

-- name: renew_lease
-- Its holder keeps a lease.
UPDATE leases SET beat = beat + 1, until_ms = :until_ms WHERE name = :name AND holder = :holder;

-- name: hold_lease
-- Locks the row of a lease until the transaction ends; touches none when somebody else has it.
UPDATE leases SET holder = holder WHERE name = :name AND holder = :holder;

-- name: free_lease
-- Its holder gives a lease back.
UPDATE leases SET holder = '', beat = beat + 1, until_ms = 0 WHERE name = :name AND holder = :holder;
