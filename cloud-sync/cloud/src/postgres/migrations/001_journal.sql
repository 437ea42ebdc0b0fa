-- Who may talk. On an engine that spreads tables by property, this one and `claim` are copied to every node.
CREATE TABLE gateway (
    property     text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL, -- as in the certificate's SAN URI
    name         text   NOT NULL,           -- for people
    enrolled_at  bigint,                    -- µs since 1970, UTC; NULL: claimed, never came
    revoked_at   bigint,                    -- NULL: may talk
    epoch        bigint,                    -- the life of its journal that it spoke of last
    command_head bigint NOT NULL DEFAULT 0, -- the highest number of a command that it was given or has named
    PRIMARY KEY (property, id)
);
CREATE UNIQUE INDEX gateway_id ON gateway (id);

-- One-time claims, by the SHA-256 of their secret.
CREATE TABLE claim (
    secret_hash  bytea  PRIMARY KEY,
    property     text COLLATE "C" NOT NULL,
    gateway      text COLLATE "C" NOT NULL,
    expires      bigint NOT NULL,
    used_at      bigint,
    request_hash bytea,
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
);

-- The high-water marks. Half of a page stays free, so that moving one never touches an index.
CREATE TABLE mark (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    epoch    bigint   NOT NULL,
    lane     smallint NOT NULL,
    seq      bigint   NOT NULL,
    PRIMARY KEY (property, gateway, epoch, lane),
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
) WITH (fillfactor = 50);

-- The order of arrival, over both tables of rows.
CREATE SEQUENCE arrival;

-- Every row but telemetry, as it came, never changed. No foreign key: `mark`, moved in the same transaction, has one.
CREATE TABLE journal (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    epoch           bigint   NOT NULL,
    lane            smallint NOT NULL,
    seq             bigint   NOT NULL,
    at_micros       bigint   NOT NULL,
    received_micros bigint   NOT NULL,
    id              bigint   NOT NULL DEFAULT nextval('arrival'),
    tx              bigint   NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    kind            text     NOT NULL,
    body            text,                   -- JSON; NULL where the bytes are no text
    raw             bytea,                  -- the bytes, where they are no text
    PRIMARY KEY (property, gateway, epoch, lane, seq)
);
CREATE INDEX journal_arrival ON journal USING brin (id, tx) WITH (pages_per_range = 16, autosummarize = on);

-- Telemetry (lane 5), a partition for each day of receipt. The mark, not this key, keeps a row from coming twice.
CREATE TABLE telemetry (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    epoch           bigint NOT NULL,
    seq             bigint NOT NULL,
    at_micros       bigint NOT NULL,
    received_micros bigint NOT NULL,
    id              bigint NOT NULL DEFAULT nextval('arrival'),
    kind            text   NOT NULL,
    body            text,
    raw             bytea,
    PRIMARY KEY (property, gateway, epoch, seq, received_micros)
) PARTITION BY RANGE (received_micros);
CREATE INDEX telemetry_arrival ON telemetry USING brin (id) WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE room_state (
    property         text COLLATE "C" NOT NULL,
    gateway          text COLLATE "C" NOT NULL,
    room             text    NOT NULL,
    stays            bigint  NOT NULL DEFAULT 0,
    do_not_disturb   boolean,
    message_light    boolean,
    class_of_service text,
    minibar_right    text,
    tv_right         text,
    housekeeping     text,
    sign             text,
    setpoint         double precision,
    temperature      double precision,
    changed_micros   bigint  NOT NULL,
    PRIMARY KEY (property, gateway, room)
) WITH (fillfactor = 70);

CREATE TABLE stay (
    property   text COLLATE "C" NOT NULL,
    gateway    text COLLATE "C" NOT NULL,
    stay       text   NOT NULL,
    room       text   NOT NULL,
    language   text,
    arrival    text,
    departure  text,
    arrived_at bigint NOT NULL,
    left_at    bigint,
    epoch      bigint,
    PRIMARY KEY (property, gateway, stay)
);
CREATE INDEX stay_in_room ON stay (property, gateway, room) WHERE left_at IS NULL;

CREATE TABLE posting (
    property       text COLLATE "C" NOT NULL,
    gateway        text COLLATE "C" NOT NULL,
    epoch          bigint NOT NULL,
    number         bigint NOT NULL,
    key            text   NOT NULL,
    room           text   NOT NULL,
    stay           text,
    minor          bigint NOT NULL,
    currency       text   NOT NULL,
    text           text   NOT NULL,
    outlet         text,
    state          text   NOT NULL,
    answer         text,
    changed_micros bigint NOT NULL,
    PRIMARY KEY (property, gateway, epoch, number)
);

CREATE TABLE command (
    property        text COLLATE "C" NOT NULL,
    gateway         text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    key             text   NOT NULL,
    at_micros       bigint NOT NULL,
    kind            text   NOT NULL,
    body            text   NOT NULL,
    expires         bigint,
    state           text   NOT NULL DEFAULT 'sent' CHECK (state IN ('sent', 'acknowledged', 'ended')),
    acknowledged_at bigint,
    outcome         text,
    reason          text,
    ended_at        bigint,
    PRIMARY KEY (property, gateway, seq),
    UNIQUE (property, gateway, key),
    FOREIGN KEY (property, gateway) REFERENCES gateway (property, id)
);
CREATE INDEX command_waiting ON command (property, gateway, seq) WHERE state = 'sent';

-- The processes that serve this database; one whose `beat` is old is gone.
CREATE TABLE replica (
    id      text        PRIMARY KEY,
    address text        NOT NULL,
    started timestamptz NOT NULL DEFAULT now(),
    beat    timestamptz NOT NULL DEFAULT now()
);

-- Which gateway is connected where. Not in `gateway`: a row that is locked by every batch.
CREATE TABLE presence (
    property  text COLLATE "C" NOT NULL,
    gateway   text COLLATE "C" NOT NULL,
    replica   text    NOT NULL,
    address   text    NOT NULL,
    connected boolean NOT NULL,
    last_seen bigint  NOT NULL,
    PRIMARY KEY (property, gateway)
) WITH (fillfactor = 70)
