-- name: adjusted_ledgers
-- What each adjusted ledger was derived with.
SELECT ledger, state, items FROM adjusted_ledgers;

-- name: put_adjusted_ledger
-- A ledger is derived with other adjustments.
INSERT INTO adjusted_ledgers (ledger, state, items) VALUES (:ledger, :state, :items)
ON CONFLICT (ledger) DO UPDATE SET state = excluded.state, items = excluded.items;

-- name: drop_adjusted_ledger
-- A ledger is not adjusted any more.
DELETE FROM adjusted_ledgers WHERE ledger = :ledger;

-- name: told_adjustments
-- What the timeline knows of each adjustment, and until when.
SELECT name, content, until_ms FROM told_adjustments;

-- name: put_told_adjustment
-- The timeline was told of an adjustment.
INSERT INTO told_adjustments (name, content, until_ms) VALUES (:name, :content, :until_ms)
ON CONFLICT (name) DO UPDATE SET content = excluded.content, until_ms = excluded.until_ms;

-- name: drop_told_adjustment
-- The timeline was told that an adjustment was removed.
DELETE FROM told_adjustments WHERE name = :name;
