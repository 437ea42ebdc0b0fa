-- Rollouts of releases: what is wanted, and how far it is. The fleet's, not a property's: gateways have one name in all.
CREATE TABLE rollout (
    id             text COLLATE "C" PRIMARY KEY, -- r-<number>
    number         bigint  NOT NULL UNIQUE,
    plan           text    NOT NULL,        -- JSON: release, rings, conditions; never changed
    state          text    NOT NULL,        -- draft, running, paused, halted, rolling_back, done, aborted
    reason         text    NOT NULL,
    ring           bigint  NOT NULL,        -- the open one, from 0
    ring_micros    bigint  NOT NULL,        -- since when
    judged_micros  bigint  NOT NULL,        -- failures up to here were looked at by somebody
    created_by     text    NOT NULL,
    created_micros bigint  NOT NULL,
    changed_micros bigint  NOT NULL,
    cohort         text    NOT NULL         -- JSON: whom it means; never changed, and may be long
);

-- Turns: a gateway is told of nothing that has no row here.
CREATE TABLE rollout_gateway (
    rollout         text COLLATE "C" NOT NULL REFERENCES rollout (id),
    gateway         text COLLATE "C" NOT NULL,
    ring            bigint  NOT NULL,
    back            boolean NOT NULL,       -- it is to go back
    version         text    NOT NULL,       -- what is wanted
    number          bigint  NOT NULL,
    manifest        text    NOT NULL,       -- its path among the repository's targets
    from_version    text    NOT NULL,
    from_number     bigint  NOT NULL,
    assigned_micros bigint  NOT NULL,
    told_micros     bigint,                 -- NULL: not told
    step            text    NOT NULL,
    step_micros     bigint  NOT NULL,       -- by the cloud's clock
    reason          text    NOT NULL,
    ended_micros    bigint,
    alerts          bigint  NOT NULL DEFAULT 0, -- raised in the first hour after it was confirmed
    attempt         bigint  NOT NULL DEFAULT 0, -- 0: the first
    PRIMARY KEY (rollout, gateway)
);
CREATE INDEX rollout_gateway_of ON rollout_gateway (gateway);

-- What each gateway has told of its software when it asked last.
CREATE TABLE gateway_software (
    gateway      text COLLATE "C" PRIMARY KEY,
    version      text    NOT NULL,
    number       bigint  NOT NULL,
    slot         text    NOT NULL,
    triple       text    NOT NULL,
    hardware     text    NOT NULL,
    system       text    NOT NULL,          -- the version of the system image
    system_number bigint NOT NULL,
    state        text    NOT NULL,
    floor        bigint  NOT NULL,
    region       text    NOT NULL,
    asked_micros bigint  NOT NULL
);

CREATE TABLE gateway_label (
    gateway text COLLATE "C" NOT NULL,
    label   text COLLATE "C" NOT NULL,
    PRIMARY KEY (gateway, label)
);

-- Versions that are not offered: to one gateway, or ('') to anybody.
CREATE TABLE blocked_version (
    gateway   text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL,    -- application, system
    version   text COLLATE "C" NOT NULL,
    why       text   NOT NULL,
    by        text   NOT NULL,
    at_micros bigint NOT NULL,
    PRIMARY KEY (gateway, kind, version)
);

-- The newest version of the repository of releases that any replica has seen: a copy that is behind concludes nothing.
CREATE TABLE rollout_catalogue (
    one         bigint PRIMARY KEY CHECK (one = 1),
    version     bigint NOT NULL,            -- of its timestamp
    seen_micros bigint NOT NULL
);

-- Who released what to whom, when, and why it was stopped. Nothing is changed here, and nothing goes.
CREATE TABLE rollout_log (
    number    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_micros bigint NOT NULL,
    rollout   text COLLATE "C" NOT NULL,
    gateway   text COLLATE "C" NOT NULL,
    who       text   NOT NULL,
    what      text   NOT NULL,
    detail    text   NOT NULL
);
CREATE INDEX rollout_log_of ON rollout_log (rollout, number);
CREATE FUNCTION rollout_log_kept() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit is not changed'; END $$;
CREATE TRIGGER rollout_log_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON rollout_log
    FOR EACH STATEMENT EXECUTE FUNCTION rollout_log_kept();

-- For the service alone: a rollout is of many properties.
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['rollout', 'rollout_gateway', 'gateway_software', 'gateway_label', 'blocked_version',
        'rollout_catalogue', 'rollout_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY service ON %I TO %I USING (true) WITH CHECK (true)', name, current_user);
    END LOOP;
END $$
