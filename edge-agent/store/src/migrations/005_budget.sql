-- The highest number of a lane that may have been handed out (to the cloud): rows up to it are never changed; and what
-- its rows take on the disk. An older release may have handed out everything.
ALTER TABLE lane ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE lane SET sent = head, bytes = (SELECT ifnull(sum(length(body) + length(kind) + 72), 0) FROM journal
                                      WHERE journal.lane = lane.lane);
