-- The life of its journal that the gateway spoke of last; NULL: not known. Another one means a new disk, and with it a
-- lost inbox.
ALTER TABLE gateway ADD COLUMN epoch INTEGER;

-- The life of the journal that named the stay last: what ended while a gateway had no disk is found by it.
ALTER TABLE stay ADD COLUMN epoch INTEGER;

-- What waits for a gateway is counted at every `send`; the commands of years would make that slow.
CREATE INDEX command_waiting ON command (gateway, seq) WHERE state = 'sent';
