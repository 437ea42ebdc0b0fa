-- Rollouts of releases: what is wanted, and how far it is.
CREATE TABLE rollout (
    id             TEXT PRIMARY KEY,        -- r-<number>
    number         INTEGER NOT NULL UNIQUE,
    plan           TEXT NOT NULL,           -- JSON: release, rings, conditions; never changed
    state          TEXT NOT NULL,           -- draft, running, paused, halted, rolling_back, done, aborted
    reason         TEXT NOT NULL,
    ring           INTEGER NOT NULL,        -- the open one, from 0
    ring_micros    INTEGER NOT NULL,        -- since when
    judged_micros  INTEGER NOT NULL,        -- failures up to here were looked at by somebody
    created_by     TEXT NOT NULL,
    created_micros INTEGER NOT NULL,
    changed_micros INTEGER NOT NULL,
    cohort         TEXT NOT NULL            -- JSON: whom it means; never changed, and may be long
) STRICT, WITHOUT ROWID;

-- Turns: a gateway is told of nothing that has no row here.
CREATE TABLE rollout_gateway (
    rollout         TEXT NOT NULL REFERENCES rollout (id),
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    ring            INTEGER NOT NULL,
    back            INTEGER NOT NULL,       -- 1: it is to go back
    version         TEXT NOT NULL,          -- what is wanted
    number          INTEGER NOT NULL,
    manifest        TEXT NOT NULL,          -- its path among the repository's targets
    from_version    TEXT NOT NULL,
    from_number     INTEGER NOT NULL,
    assigned_micros INTEGER NOT NULL,
    told_micros     INTEGER,                -- NULL: not told
    step            TEXT NOT NULL,
    step_micros     INTEGER NOT NULL,       -- by the cloud's clock
    reason          TEXT NOT NULL,
    ended_micros    INTEGER,
    alerts          INTEGER NOT NULL DEFAULT 0, -- raised in the first hour after it was confirmed
    attempt         INTEGER NOT NULL DEFAULT 0, -- 0: the first
    PRIMARY KEY (rollout, gateway)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_gateway_of ON rollout_gateway (gateway);

-- What each gateway has told of its software when it asked last.
CREATE TABLE gateway_software (
    gateway      TEXT PRIMARY KEY REFERENCES gateway (id),
    version      TEXT NOT NULL,
    number       INTEGER NOT NULL,
    slot         TEXT NOT NULL,
    triple       TEXT NOT NULL,
    hardware     TEXT NOT NULL,
    system       TEXT NOT NULL,             -- the version of the system image
    system_number INTEGER NOT NULL,
    state        TEXT NOT NULL,
    floor        INTEGER NOT NULL,
    region       TEXT NOT NULL,
    asked_micros INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE gateway_label (
    gateway TEXT NOT NULL REFERENCES gateway (id),
    label   TEXT NOT NULL,
    PRIMARY KEY (gateway, label)
) STRICT, WITHOUT ROWID;

-- Versions that are not offered: to one gateway, or ('') to anybody.
CREATE TABLE blocked_version (
    gateway   TEXT NOT NULL,
    kind      TEXT NOT NULL,                -- application, system
    version   TEXT NOT NULL,
    why       TEXT NOT NULL,
    by        TEXT NOT NULL,
    at_micros INTEGER NOT NULL,
    PRIMARY KEY (gateway, kind, version)
) STRICT, WITHOUT ROWID;

-- The newest version of the repository of releases that was seen: a copy that is behind concludes nothing.
CREATE TABLE rollout_catalogue (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    version     INTEGER NOT NULL,           -- of its timestamp
    seen_micros INTEGER NOT NULL
) STRICT;

-- Who released what to whom, when, and why it was stopped. Nothing is changed here, and nothing goes.
CREATE TABLE rollout_log (
    number    INTEGER PRIMARY KEY,
    at_micros INTEGER NOT NULL,
    rollout   TEXT NOT NULL,
    gateway   TEXT NOT NULL,
    who       TEXT NOT NULL,
    what      TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
CREATE INDEX rollout_log_of ON rollout_log (rollout, number);
CREATE TRIGGER rollout_log_kept BEFORE UPDATE ON rollout_log BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
CREATE TRIGGER rollout_log_stays BEFORE DELETE ON rollout_log BEGIN SELECT RAISE(ABORT, 'the audit is not changed'); END;
