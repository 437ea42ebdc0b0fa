-- How far the commands of the cloud have been taken: moved in the transaction that takes them.
INSERT OR IGNORE INTO single (name, value) VALUES ('inbox', 0);

-- Acknowledged rows are kept for a day, then removed by lane and time.
CREATE INDEX journal_by_time ON journal (lane, at_us);
