-- Personal data, sealed under a key for each stay. The keys are in another file (vault-keys.db), which no backup takes.
CREATE TABLE vault_subject (
    subject  BLOB PRIMARY KEY,
    stay     TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    left_us  INTEGER
) WITHOUT ROWID, STRICT;
CREATE UNIQUE INDEX vault_subject_present ON vault_subject (stay) WHERE left_us IS NULL;
CREATE INDEX vault_subject_by_stay ON vault_subject (stay);
CREATE INDEX vault_subject_left ON vault_subject (left_us) WHERE left_us IS NOT NULL;

CREATE TABLE vault_field (
    subject BLOB NOT NULL,
    kind    TEXT NOT NULL,
    key     TEXT NOT NULL,
    field   TEXT NOT NULL,
    version INTEGER NOT NULL,
    sealed  BLOB NOT NULL,
    PRIMARY KEY (subject, kind, key, field)
) WITHOUT ROWID, STRICT;

-- Documents that belong to a stay, such as messages, end before it.
CREATE INDEX vault_field_by_document ON vault_field (kind, key) WHERE kind NOT IN ('stay', 'about');

-- What was erased; `done` once its key is gone from the disk, too.
CREATE TABLE vault_tombstone (
    subject   BLOB PRIMARY KEY,
    stay      TEXT NOT NULL,
    at_us     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    signature BLOB NOT NULL,
    done      INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- The newest row of the audit trail that was told to the cloud: a trail that was cut is noticed.
CREATE TABLE audit_head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    rows INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
