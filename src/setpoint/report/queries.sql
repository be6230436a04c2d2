-- name: put_report
-- A report of a period that is over; made again it takes the place of the one before.
INSERT INTO reports (scope_kind, scope_name, period, time_zone, start_ms, made_ms, body)
VALUES (:scope_kind, :scope_name, :period, :time_zone, :start_ms, :made_ms, :body)
ON CONFLICT (scope_kind, scope_name, period, time_zone) DO UPDATE SET
    made_ms = excluded.made_ms, body = excluded.body;

-- name: get_report
-- One report.
SELECT body FROM reports
WHERE scope_kind = :scope_kind AND scope_name = :scope_name AND period = :period AND time_zone = :time_zone;

-- name: list_reports
-- What is stored, newest first.
SELECT scope_kind, scope_name, period, time_zone, start_ms, made_ms FROM reports
ORDER BY start_ms DESC, scope_kind, scope_name, period, time_zone LIMIT :limit OFFSET :offset;

-- name: drop_reports
-- Reports of long ago.
DELETE FROM reports WHERE start_ms < :before_ms;
