-- The server whose transactions the mark counts (pg_control_system); NULL: an older replica wrote it, or it can't be asked.
ALTER TABLE outbox ADD COLUMN system bigint;

-- Rows that NATS has forgotten by time are taken from the list.
CREATE INDEX erasure_told_received ON erasure_told (received_micros)
