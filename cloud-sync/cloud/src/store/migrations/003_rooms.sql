-- Projections of the journal, written in the same transaction as its rows.
CREATE TABLE room_state (
    gateway          TEXT NOT NULL REFERENCES gateway (id),
    room             TEXT NOT NULL,
    stays            INTEGER NOT NULL DEFAULT 0,   -- how many are in the room now
    do_not_disturb   INTEGER,
    message_light    INTEGER,
    class_of_service TEXT,
    minibar_right    TEXT,
    tv_right         TEXT,
    housekeeping     TEXT,                         -- dirty-vacant, ...
    sign             TEXT,                         -- do-not-disturb, make-up, off
    setpoint         REAL,                         -- °C
    temperature      REAL,                         -- °C
    changed_micros   INTEGER NOT NULL,
    PRIMARY KEY (gateway, room)
) STRICT, WITHOUT ROWID;

CREATE TABLE stay (
    gateway    TEXT NOT NULL REFERENCES gateway (id),
    stay       TEXT NOT NULL,                      -- the PMS's reservation number
    room       TEXT NOT NULL,
    language   TEXT,
    arrival    TEXT,                               -- the booked days
    departure  TEXT,
    arrived_at INTEGER NOT NULL,                   -- when the house learnt of it
    left_at    INTEGER,
    PRIMARY KEY (gateway, stay)
) STRICT, WITHOUT ROWID;
CREATE INDEX stay_in_room ON stay (gateway, room) WHERE left_at IS NULL;

-- Posting numbers begin anew with a journal's life, so the epoch is part of their name.
CREATE TABLE posting (
    gateway        TEXT NOT NULL REFERENCES gateway (id),
    epoch          INTEGER NOT NULL,
    number         INTEGER NOT NULL,
    key            TEXT NOT NULL,
    room           TEXT NOT NULL,
    stay           TEXT,
    minor          INTEGER NOT NULL,
    currency       TEXT NOT NULL,
    text           TEXT NOT NULL,
    outlet         TEXT,
    state          TEXT NOT NULL,                  -- pending, in_flight, posted, refused, doubtful
    answer         TEXT,
    changed_micros INTEGER NOT NULL,
    PRIMARY KEY (gateway, epoch, number)
) STRICT, WITHOUT ROWID;
