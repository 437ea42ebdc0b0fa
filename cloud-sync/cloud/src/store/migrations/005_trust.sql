-- What can be set without a restart; a key that is absent has its default.
CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every certificate that was signed or, of older releases, seen.
CREATE TABLE certificate (
    gateway     TEXT NOT NULL REFERENCES gateway (id),
    serial      TEXT NOT NULL,             -- hexadecimal
    key_hash    BLOB NOT NULL,             -- SHA-256 of its SubjectPublicKeyInfo
    authority   TEXT,                      -- hexadecimal SHA-256 of its signer's key; NULL: signed before it was recorded
    issued_at   INTEGER,
    expires     INTEGER NOT NULL,
    seen_at     INTEGER,                   -- last used for a session or a proof; NULL: never
    revoked_at  INTEGER,
    revoked_why TEXT,
    PRIMARY KEY (gateway, serial)
) STRICT, WITHOUT ROWID;

-- Two boxes with one identity were seen: nobody talks under it until somebody has looked.
ALTER TABLE gateway ADD COLUMN fenced_at INTEGER;
ALTER TABLE gateway ADD COLUMN fenced_why TEXT;
-- The newest turn: tells a box from its copy. The secret is NULL after a fence was lifted: whoever comes first is believed.
ALTER TABLE gateway ADD COLUMN turn_number INTEGER;
ALTER TABLE gateway ADD COLUMN turn_secret INTEGER;
-- A certificate that is not on record and was signed before this is not taken: another machine has its place.
ALTER TABLE gateway ADD COLUMN certificates_since INTEGER;

-- Where the clouds of other regions are.
CREATE TABLE region (
    region  TEXT PRIMARY KEY,
    address TEXT NOT NULL                  -- host:port
) STRICT, WITHOUT ROWID;

-- Tombstones of guests' data, and what became of it here.
CREATE TABLE erasure (
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    record          TEXT NOT NULL,         -- the vault's name of the record, hexadecimal
    stay            TEXT NOT NULL,
    at_micros       INTEGER NOT NULL,      -- when it was erased on the gateway
    reason          TEXT NOT NULL,         -- asked, retention
    signer          TEXT NOT NULL,
    signature       TEXT NOT NULL,
    verified        INTEGER NOT NULL,      -- 0: the signature does not fit; nothing was done
    received_micros INTEGER NOT NULL,
    upto_micros     INTEGER NOT NULL,      -- rows of the stay up to here are cleared; a later guest may have its number
    applied_micros  INTEGER,               -- NULL: the journal and the commands are not gone through yet
    stays           INTEGER NOT NULL DEFAULT 0,
    postings        INTEGER NOT NULL DEFAULT 0,
    commands        INTEGER NOT NULL DEFAULT 0,
    journal         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (gateway, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_of_stay ON erasure (gateway, stay);
CREATE INDEX erasure_pending ON erasure (gateway) WHERE applied_micros IS NULL AND verified = 1;
