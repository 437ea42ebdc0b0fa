-- What can be set without a restart; a key that is absent has its default.
CREATE TABLE setting (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- Every certificate that was signed or, of older releases, seen. Not for a property's readers.
CREATE TABLE certificate (
    property    text COLLATE "C" NOT NULL,
    gateway     text COLLATE "C" NOT NULL,
    serial      text COLLATE "C" NOT NULL,  -- hexadecimal
    key_hash    bytea  NOT NULL,            -- SHA-256 of its SubjectPublicKeyInfo
    authority   text,                       -- hexadecimal SHA-256 of its signer's key; NULL: signed before it was recorded
    issued_at   bigint,
    expires     bigint NOT NULL,
    seen_at     bigint,                     -- last used for a session or a proof; NULL: never
    revoked_at  bigint,
    revoked_why text,
    PRIMARY KEY (property, gateway, serial),
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
) WITH (fillfactor = 70);

-- Two boxes with one identity were seen: nobody talks under it until somebody has looked.
ALTER TABLE gateway ADD COLUMN fenced_at bigint;
ALTER TABLE gateway ADD COLUMN fenced_why text;
-- A certificate that is not on record and was signed before this is not taken: another machine has its place.
ALTER TABLE gateway ADD COLUMN certificates_since bigint;

-- The newest turn: tells a box from its copy. The secret is NULL after a fence was lifted: whoever comes first is believed.
-- Not in `gateway`, which a property's readers see.
CREATE TABLE turn (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    number   bigint NOT NULL,
    secret   bigint,
    PRIMARY KEY (property, gateway),
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
) WITH (fillfactor = 70);

-- Where the clouds of other regions are.
CREATE TABLE region (
    region  text COLLATE "C" PRIMARY KEY,
    address text NOT NULL                   -- host:port
);

-- The authority that signs gateways' certificates, and which of them each replica has in its folder (hexadecimal SHA-256 of
-- their keys): the next one signs once all have it.
CREATE TABLE authority (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    signing text NOT NULL
);
ALTER TABLE replica ADD COLUMN authorities text[] NOT NULL DEFAULT '{}';

-- Tombstones of guests' data, and what became of it here.
CREATE TABLE erasure (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    record          text COLLATE "C" NOT NULL, -- the vault's name of the record, hexadecimal
    stay            text    NOT NULL,
    at_micros       bigint  NOT NULL,       -- when it was erased on the gateway
    reason          text    NOT NULL,       -- asked, retention
    signer          text    NOT NULL,
    signature       text    NOT NULL,
    verified        boolean NOT NULL,       -- false: the signature does not fit; nothing was done
    received_micros bigint  NOT NULL,
    upto_micros     bigint  NOT NULL,       -- rows of the stay up to here are cleared; a later guest may have its number
    applied_micros  bigint,                 -- NULL: the journal and the commands are not gone through yet
    stays           bigint  NOT NULL DEFAULT 0,
    postings        bigint  NOT NULL DEFAULT 0,
    commands        bigint  NOT NULL DEFAULT 0,
    journal         bigint  NOT NULL DEFAULT 0,
    told            bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (property, gateway, record),
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
);
CREATE INDEX erasure_of_stay ON erasure (property, gateway, stay);
CREATE INDEX erasure_pending ON erasure (property, gateway) WHERE applied_micros IS NULL AND verified;

-- Cleared rows that NATS may have been told as they were: whoever tells it takes them out there.
CREATE TABLE erasure_told (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    epoch           bigint   NOT NULL,
    lane            smallint NOT NULL,
    seq             bigint   NOT NULL,
    record          text     NOT NULL,
    received_micros bigint   NOT NULL,
    PRIMARY KEY (property, gateway, epoch, lane, seq)
);

-- False: a day's rows that are no values name no stay, and need not be looked through.
ALTER TABLE telemetry_other ADD COLUMN named boolean NOT NULL DEFAULT true;

-- The life of the transaction ids that the marks are of: after a dump was put back they begin anew, and what it brought has
-- ids up to `floor_id` with transactions from `base_tx` on. It is told by id, as far as `restored_id`.
ALTER TABLE outbox ADD COLUMN base_tx bigint NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE outbox ADD COLUMN floor_id bigint NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN restored_id bigint NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN told_micros bigint NOT NULL DEFAULT 0;

DO $$ BEGIN
    ALTER TABLE erasure ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    EXECUTE format('CREATE POLICY service ON erasure TO %I USING (true) WITH CHECK (true)', current_user);
    CREATE POLICY tenant ON erasure FOR SELECT TO engawa_tenant
        USING (property = current_setting('engawa.property', true));
    GRANT SELECT ON erasure TO engawa_tenant;
END $$
