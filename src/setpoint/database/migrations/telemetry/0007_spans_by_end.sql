-- Objectives count spans by when they ended: parts written from now on are searched by that, too.
ALTER TABLE setpoint.spans ADD INDEX IF NOT EXISTS by_end (start_ns + duration_ns) TYPE minmax GRANULARITY 1;
