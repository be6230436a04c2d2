-- name: alerts
-- The alerts of all rules.
SELECT rule, alert, body FROM rule_alerts;

-- name: put_alert
-- An alert is new or has another state.
INSERT INTO rule_alerts (rule, alert, body) VALUES (:rule, :alert, :body)
ON CONFLICT (rule, alert) DO UPDATE SET body = excluded.body;

-- name: drop_alert
-- An alert has ended.
DELETE FROM rule_alerts WHERE rule = :rule AND alert = :alert;

-- name: groups
-- When each group was evaluated last, as far as that was worth noting.
SELECT name, evaluated_ms FROM rule_groups;

-- name: put_group
-- A group was evaluated.
INSERT INTO rule_groups (name, evaluated_ms) VALUES (:name, :evaluated_ms)
ON CONFLICT (name) DO UPDATE SET evaluated_ms = excluded.evaluated_ms;

-- name: drop_group
-- A group is gone.
DELETE FROM rule_groups WHERE name = :name;

-- name: files
-- Rule files as they were read last without a fault.
SELECT file, text FROM rule_files;

-- name: put_file
-- A rule file was read.
INSERT INTO rule_files (file, text) VALUES (:file, :text)
ON CONFLICT (file) DO UPDATE SET text = excluded.text;

-- name: drop_file
-- A rule file is gone.
DELETE FROM rule_files WHERE file = :file;
