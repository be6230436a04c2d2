-- name: has_samples
-- Whether the table of an earlier version is there.
SELECT count() AS tables FROM system.tables WHERE database = currentDatabase() AND name = 'samples';

-- name: count_samples
-- Rows of the table of an earlier version.
SELECT count() AS samples FROM samples;

-- name: is_converted
-- Whether all of it is in chunks.
SELECT count() AS marks FROM flushes WHERE generation = 1;

-- name: delete_converted
-- Delete what a conversion left behind that never ended.
ALTER TABLE blocks DELETE WHERE generation = 1 SETTINGS mutations_sync = 2;

-- name: read_old_samples
-- Samples of a range of fingerprints; FINAL keeps the last written of equal timestamps.
SELECT fingerprint, ts_ms, value
FROM samples FINAL
WHERE fingerprint BETWEEN {first:UInt64} AND {last:UInt64}
ORDER BY fingerprint, ts_ms
SETTINGS do_not_merge_across_partitions_select_final = 1;
