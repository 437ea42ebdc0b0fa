-- What is now: one small document for each entity of the property.
CREATE TABLE state (
    kind       TEXT NOT NULL,
    key        TEXT NOT NULL,
    body       BLOB NOT NULL,
    changed_us INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;

-- What happened: the outbox, dense within a lane, bodies frozen.
CREATE TABLE journal (
    lane  INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    kind  TEXT NOT NULL,
    body  BLOB NOT NULL,
    PRIMARY KEY (lane, seq)
) WITHOUT ROWID;

-- How far each lane has been written, and how far the cloud has it.
CREATE TABLE lane (
    lane     INTEGER PRIMARY KEY,
    head     INTEGER NOT NULL DEFAULT 0,
    acked    INTEGER NOT NULL DEFAULT 0,
    acked_us INTEGER NOT NULL DEFAULT 0
);

-- Single values: epoch, clean.
CREATE TABLE single (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
