-- name: add_notification
-- Keep a notification that was decided.
INSERT INTO notifications (stream, receiver, integration, key, content, state, created_ms, due_ms, attempts, refusals,
    error, reached, bundle, lease_owner, lease_until_ms)
VALUES (:stream, :receiver, :integration, :key, :content, 'pending', :created_ms, :due_ms, 0, 0,
    '', '[]', '', :lease_owner, :lease_until_ms)
RETURNING id;

-- name: pending_of_stream
-- What waits of one group for one integration, the oldest first.
SELECT * FROM notifications WHERE stream = :stream AND state = 'pending' ORDER BY id;

-- name: newer_of_stream
-- What waits behind a row, and was not tried yet.
SELECT * FROM notifications WHERE stream = :stream AND state = 'pending' AND id > :id ORDER BY id LIMIT 1;

-- name: dead_of_stream
-- What was given up of one group for one integration.
SELECT id, content FROM notifications WHERE stream = :stream AND state = 'dead';

-- name: drop_notification
-- A newer one tells all of it.
DELETE FROM notifications WHERE id = :id;

-- name: drop_bundle
-- What a bundle holds has changed, so it must not go out under its name again.
UPDATE notifications SET bundle = '' WHERE bundle = :bundle AND state = 'pending';

-- name: set_bundle
-- These go out as one message.
UPDATE notifications SET bundle = :bundle WHERE id = :id;

-- name: take_notifications
-- Lease what is due for an integration; of a group only the oldest. `skip_locked` is what PostgreSQL needs.
WITH due AS MATERIALIZED (
    SELECT n.id FROM notifications n
    WHERE n.state = 'pending' AND n.receiver = :receiver AND n.integration = :integration
        AND (n.due_ms <= :now_ms OR n.due_ms > :absurd_ms)
        AND (n.lease_until_ms <= :now_ms OR n.lease_until_ms > :absurd_lease_ms)
        AND NOT EXISTS (
            SELECT 1 FROM notifications o WHERE o.stream = n.stream AND o.state = 'pending' AND o.id < n.id
        )
    ORDER BY n.due_ms, n.id LIMIT :limit /* skip_locked */
)
UPDATE notifications SET lease_owner = :owner, lease_until_ms = :until_ms
WHERE id IN (SELECT id FROM due) RETURNING *;

-- name: take_bundle
-- Lease the rest of a bundle.
UPDATE notifications SET lease_owner = :owner, lease_until_ms = :until_ms
WHERE bundle = :bundle AND state = 'pending' AND (lease_until_ms <= :now_ms OR lease_owner = :owner)
RETURNING *;

-- name: waiting_lanes
-- For which integrations something waits that nobody holds, and when the first of it is due.
SELECT receiver, integration, MIN(due_ms) AS due_ms, COUNT(*) AS waiting FROM notifications
WHERE state = 'pending' AND (lease_until_ms <= :now_ms OR lease_until_ms > :absurd_lease_ms)
GROUP BY receiver, integration;

-- name: complete_notification
-- The receiver has it.
UPDATE notifications SET state = 'sent', settled_ms = :at_ms, attempts = attempts + 1, error = '', bundle = '',
    lease_owner = '', lease_until_ms = 0
WHERE id = :id AND state = 'pending';

-- name: postpone_notification
-- The receiver does not have it; it is tried again.
UPDATE notifications SET due_ms = :due_ms, attempts = attempts + 1, refusals = refusals + :refused, error = :error,
    reached = :reached, bundle = :bundle, lease_owner = '', lease_until_ms = 0
WHERE id = :id AND state = 'pending';

-- name: bury_notification
-- It is given up; a person may send it again.
UPDATE notifications SET state = 'dead', settled_ms = :at_ms, attempts = attempts + :tried, error = :error, bundle = '',
    lease_owner = '', lease_until_ms = 0
WHERE id = :id AND state = 'pending';

-- name: replace_content
-- It tells now of what an older one held that nobody heard of.
UPDATE notifications SET content = :content, created_ms = :created_ms WHERE id = :id;

-- name: release_notification
-- Nobody holds it any more.
UPDATE notifications SET lease_owner = '', lease_until_ms = 0 WHERE id = :id AND lease_owner = :owner;

-- name: release_all
-- What a server held that is starting again.
UPDATE notifications SET lease_owner = '', lease_until_ms = 0 WHERE lease_owner = :owner AND state = 'pending';

-- name: renew_leases
-- A server still holds its rows.
UPDATE notifications SET lease_until_ms = :until_ms WHERE lease_owner = :owner AND state = 'pending';

-- name: pending_of_lane
-- What waits for one integration.
SELECT * FROM notifications WHERE state = 'pending' AND receiver = :receiver AND integration = :integration ORDER BY id;

-- name: move_notification
-- The receiver has another name now.
UPDATE notifications SET receiver = :receiver, stream = :stream, content = :content, due_ms = :due_ms WHERE id = :id;

-- name: notifications_of_state
-- The newest of a state.
SELECT * FROM notifications WHERE state = :state ORDER BY id DESC LIMIT :limit;

-- name: pending_notifications
-- What waits, the oldest first.
SELECT * FROM notifications WHERE state = 'pending' ORDER BY id LIMIT :limit;

-- name: notification_of_id
-- One.
SELECT * FROM notifications WHERE id = :id;

-- name: pending_counts
-- How many wait for each integration.
SELECT receiver, integration, COUNT(*) AS waiting FROM notifications WHERE state = 'pending'
GROUP BY receiver, integration;

-- name: oldest_pending
-- Since when the oldest waits.
SELECT MIN(created_ms) AS created_ms FROM notifications WHERE state = 'pending';

-- name: drop_settled
-- What ended long ago.
DELETE FROM notifications WHERE state = :state AND settled_ms < :before_ms;

-- name: settled_beyond
-- The newest of those that are too many.
SELECT id FROM notifications WHERE state = :state ORDER BY id DESC LIMIT 1 OFFSET :kept;

-- name: drop_settled_up_to
-- Those that are too many.
DELETE FROM notifications WHERE state = :state AND id <= :id;

-- name: hasten_lane
-- The receiver is well again: what only waited for that is due.
UPDATE notifications SET due_ms = :now_ms
WHERE state = 'pending' AND receiver = :receiver AND integration = :integration AND refusals = 0 AND due_ms > :now_ms;
