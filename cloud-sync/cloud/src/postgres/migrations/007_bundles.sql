-- Diagnostics bundles: the newest few of each gateway, in pieces as they came.
CREATE TABLE bundle (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    key             text    NOT NULL,       -- of the command that asked for it
    at_micros       bigint  NOT NULL,
    received_micros bigint  NOT NULL,
    pieces          integer NOT NULL,
    bytes           bigint  NOT NULL,       -- as it travels: zstd of JSON
    sha256          text    NOT NULL,
    PRIMARY KEY (property, gateway, key)
);

CREATE TABLE bundle_piece (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    key      text    NOT NULL,
    number   integer NOT NULL,
    sound    boolean NOT NULL,              -- false: its digest does not fit
    data     bytea   NOT NULL,
    PRIMARY KEY (property, gateway, key, number),
    FOREIGN KEY (property, gateway, key) REFERENCES bundle (property, gateway, key) ON DELETE CASCADE
);

-- Who watches live values, and on which channel: whoever knows a channel hears it.
CREATE TABLE live_watcher (
    channel text    PRIMARY KEY,
    gateway text COLLATE "C" NOT NULL,
    pid     integer NOT NULL                -- of the session that listens
);

-- For the service alone: a bundle tells of the machine, a channel of any property.
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['bundle', 'bundle_piece', 'live_watcher'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY service ON %I TO %I USING (true) WITH CHECK (true)', name, current_user);
    END LOOP;
END $$
