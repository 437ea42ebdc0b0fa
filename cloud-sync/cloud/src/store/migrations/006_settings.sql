-- Settings that a house and the cloud may both change, and what guests in the house prefer. A guest's go with the stay.
CREATE TABLE gateway_setting (
    gateway        TEXT NOT NULL REFERENCES gateway (id),
    stay           TEXT NOT NULL,          -- '': the house's
    name           TEXT NOT NULL,
    register       TEXT NOT NULL,          -- JSON: the newest write of each end, how far each was seen, conflicts
    value          TEXT,                   -- JSON: what counts; NULL: the gateway's configuration
    changed_micros INTEGER NOT NULL,
    PRIMARY KEY (gateway, stay, name)
) STRICT, WITHOUT ROWID;

-- What was changed by whom at which end, and conflicts with both values; the newest 10,000 of each gateway.
CREATE TABLE gateway_setting_log (
    gateway   TEXT NOT NULL REFERENCES gateway (id),
    number    INTEGER NOT NULL,
    at_micros INTEGER NOT NULL,            -- when it was noted here
    stay      TEXT NOT NULL,
    name      TEXT NOT NULL,
    note      TEXT NOT NULL,               -- JSON
    PRIMARY KEY (gateway, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX gateway_setting_log_stay ON gateway_setting_log (gateway, stay) WHERE stay <> '';

-- The hybrid clock under which the cloud writes a gateway's settings.
CREATE TABLE gateway_setting_clock (
    gateway TEXT PRIMARY KEY REFERENCES gateway (id),
    clock   TEXT NOT NULL                  -- JSON
) STRICT, WITHOUT ROWID;
