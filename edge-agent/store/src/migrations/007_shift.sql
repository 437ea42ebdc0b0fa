-- A row's number as it is stored, less its number as the cloud is told it: a new life of the journal moves this, and no row.
ALTER TABLE lane ADD COLUMN shift INTEGER NOT NULL DEFAULT 0;

-- What this life of the journal has from the one before (whose epoch is the single value `previous`): its old row acked + n
-- is now row first - 1 + n, up to the old number head. The first `same` of them are certainly as they were.
CREATE TABLE carried (
    lane  INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    acked INTEGER NOT NULL,
    head  INTEGER NOT NULL,
    same  INTEGER NOT NULL
) STRICT;
