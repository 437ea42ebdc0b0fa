-- What the cloud asks of gateways, and what became of it.
CREATE TABLE command (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,  -- order over all gateways: `serve` looks for new ones by it
    gateway         TEXT NOT NULL REFERENCES gateway (id),
    seq             INTEGER NOT NULL,       -- dense per gateway
    key             TEXT NOT NULL,          -- the idempotency key
    at_micros       INTEGER NOT NULL,
    kind            TEXT NOT NULL,          -- the action's name
    body            TEXT NOT NULL,          -- JSON: the command as the gateway gets it
    expires         INTEGER,
    state           TEXT NOT NULL DEFAULT 'sent' CHECK (state IN ('sent', 'acknowledged', 'ended')),
    acknowledged_at INTEGER,
    outcome         TEXT,                   -- done, refused, doubtful, superseded, expired
    reason          TEXT,
    ended_at        INTEGER,
    UNIQUE (gateway, seq),
    UNIQUE (gateway, key)
) STRICT;

-- The highest command number that the gateway has ever named or been given. It can be above the newest row of
-- `command` after this file was restored from a backup; numbering goes on above it.
ALTER TABLE gateway ADD COLUMN command_head INTEGER NOT NULL DEFAULT 0;
