-- Whoever reads for one property (a console, a warehouse, a partner) does so as the role engawa_tenant, with
-- `SET LOCAL engawa.property`; without it, it sees nothing. Partitions are granted to nobody: the policy is their parent's.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'engawa_tenant') THEN
        CREATE ROLE engawa_tenant NOLOGIN NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'engawa_tenant', 'MEMBER') THEN
        EXECUTE format('GRANT engawa_tenant TO %I', current_user);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO engawa_tenant', current_schema());
END $$;
DO $$ DECLARE name text; BEGIN
    FOREACH name IN ARRAY ARRAY['gateway', 'mark', 'journal', 'telemetry', 'room_state', 'stay', 'posting', 'command',
        'presence', 'telemetry_chunk', 'telemetry_hour', 'telemetry_other', 'telemetry_done'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY service ON %I TO %I USING (true) WITH CHECK (true)', name, current_user);
        EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO engawa_tenant
            USING (property = current_setting(''engawa.property'', true))', name);
        EXECUTE format('GRANT SELECT ON %I TO engawa_tenant', name);
    END LOOP;
END $$
