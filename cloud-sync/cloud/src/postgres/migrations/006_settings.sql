-- Settings that a house and the cloud may both change, and what guests in the house prefer. A guest's go with the stay.
CREATE TABLE gateway_setting (
    property       text COLLATE "C" NOT NULL,
    gateway        text COLLATE "C" NOT NULL,
    stay           text COLLATE "C" NOT NULL, -- '': the house's
    name           text COLLATE "C" NOT NULL,
    register       text   NOT NULL,           -- JSON: the newest write of each end, how far each was seen, conflicts
    value          text,                      -- JSON: what counts; NULL: the gateway's configuration
    changed_micros bigint NOT NULL,
    PRIMARY KEY (property, gateway, stay, name)
);

-- What was changed by whom at which end, and conflicts with both values; the newest 10,000 of each gateway.
CREATE TABLE gateway_setting_log (
    property  text COLLATE "C" NOT NULL,
    gateway   text COLLATE "C" NOT NULL,
    number    bigint NOT NULL,
    at_micros bigint NOT NULL,
    stay      text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    note      text   NOT NULL,                -- JSON
    PRIMARY KEY (property, gateway, number)
);
CREATE INDEX gateway_setting_log_stay ON gateway_setting_log (property, gateway, stay) WHERE stay <> '';

-- The hybrid clock under which the cloud writes a gateway's settings.
CREATE TABLE gateway_setting_clock (
    property text COLLATE "C" NOT NULL,
    gateway  text COLLATE "C" NOT NULL,
    clock    text NOT NULL,
    PRIMARY KEY (property, gateway)
);

DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['gateway_setting', 'gateway_setting_log', 'gateway_setting_clock'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY service ON %I TO %I USING (true) WITH CHECK (true)', name, current_user);
        EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO engawa_tenant
            USING (property = current_setting(''engawa.property'', true))', name);
        EXECUTE format('GRANT SELECT ON %I TO engawa_tenant', name);
    END LOOP;
END $$
