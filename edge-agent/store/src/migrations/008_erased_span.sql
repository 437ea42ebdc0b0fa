-- When an erased guest was in the house: which rooms the guest had is not known any more, so what names a room alone may be
-- that guest's. A tombstone of an older release has neither; one of a guest who is in the house still has no end.
ALTER TABLE vault_tombstone ADD COLUMN since_us INTEGER;
ALTER TABLE vault_tombstone ADD COLUMN left_us INTEGER;
