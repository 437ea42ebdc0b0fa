-- The audit knows publications too: each is a line of a file beside the repository of releases, and is taken up once.
ALTER TABLE rollout_log ADD COLUMN publication TEXT;
CREATE UNIQUE INDEX rollout_log_publication ON rollout_log (publication) WHERE publication IS NOT NULL;
