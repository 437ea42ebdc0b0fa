-- Diagnostics bundles: the newest few of each gateway, in pieces as they came.
CREATE TABLE bundle (
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    key             TEXT NOT NULL,          -- of the command that asked for it
    at_micros       INTEGER NOT NULL,
    received_micros INTEGER NOT NULL,
    pieces          INTEGER NOT NULL,
    bytes           INTEGER NOT NULL,       -- as it travels: zstd of JSON
    sha256          TEXT NOT NULL,
    PRIMARY KEY (gateway, key)
) STRICT;

CREATE TABLE bundle_piece (
    gateway TEXT NOT NULL,
    key     TEXT NOT NULL,
    number  INTEGER NOT NULL,
    sound   INTEGER NOT NULL,               -- 0: its digest does not fit
    data    BLOB NOT NULL,
    PRIMARY KEY (gateway, key, number),
    FOREIGN KEY (gateway, key) REFERENCES bundle (gateway, key) ON DELETE CASCADE
) STRICT;
