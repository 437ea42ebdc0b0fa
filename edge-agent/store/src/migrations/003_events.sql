-- Events that wait for a broker, each until that broker has acknowledged it. Numbers are never used again, so that an
-- acknowledgement that comes late can't remove another event.
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    broker TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_broker ON event (broker, number);
