-- How far the cloud had a lane at some moments, an hour apart: rows are kept for a day after they were acknowledged, however
-- old they are. What an older release has acknowledged counts from now on.
CREATE TABLE acknowledged (
    lane  INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (lane, seq)
) WITHOUT ROWID, STRICT;
