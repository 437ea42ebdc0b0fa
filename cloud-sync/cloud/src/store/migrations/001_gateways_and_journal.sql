-- Who may talk, and what they have sent.
CREATE TABLE gateway (
    id           TEXT PRIMARY KEY,          -- as in the certificate's SAN URI
    property     TEXT NOT NULL,             -- the hotel
    name         TEXT NOT NULL,             -- for people
    enrolled_at  INTEGER,                   -- µs since 1970, UTC; NULL: claimed, never came
    revoked_at   INTEGER,                   -- NULL: may talk
    last_seen    INTEGER,
    connected    INTEGER NOT NULL DEFAULT 0,
    address      TEXT
) STRICT, WITHOUT ROWID;

-- One-time claims. Only the hash of the secret is kept: a copy of this file enrols nobody.
CREATE TABLE claim (
    secret_hash  BLOB PRIMARY KEY,          -- SHA-256
    gateway      TEXT NOT NULL REFERENCES gateway (id),
    expires      INTEGER NOT NULL,
    used_at      INTEGER,
    request_hash BLOB                       -- SHA-256 of the CSR that used it: the same may ask again
) STRICT, WITHOUT ROWID;

-- The high-water marks: rows up to `seq` are in `journal`, and are skipped when they come again.
CREATE TABLE mark (
    gateway TEXT NOT NULL REFERENCES gateway (id),
    epoch   INTEGER NOT NULL,
    lane    INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, lane)
) STRICT, WITHOUT ROWID;

-- Every row as it came, never changed. The hidden rowid is the order of arrival.
-- `body` is JSON text; a body that is not UTF-8 is kept as a BLOB, since a row that can't be read must not hold up
-- its lane.
CREATE TABLE journal (
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    epoch           INTEGER NOT NULL,
    lane            INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    at_micros       INTEGER NOT NULL,
    kind            TEXT NOT NULL,
    body            ANY NOT NULL,
    received_micros INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, lane, seq)
) STRICT;
