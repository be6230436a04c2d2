-- What the journal is dropped for must survive a power cut: these are synced to the disk before they are acknowledged.
-- Costs some 5 ms an insert, of which there are few (docs/decisions/0014).
ALTER TABLE setpoint.series MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE setpoint.blocks MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE setpoint.blocks_staged MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE setpoint.flushes MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE setpoint.rollups MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
