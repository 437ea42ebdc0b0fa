//! Statements that both engines run as they stand: columns in the order in which rows are read, and what is written. SQLite counts
//! `$1`, `$2` … by where they come first, which here is in their order.

/// A rollout: its columns, its cohort last.
pub const ROLLOUT: &str =
    "SELECT id, number, plan, state, reason, ring, ring_micros, judged_micros, created_by,
    created_micros, changed_micros, cohort FROM rollout";

/// The same, where one gateway is looked at that has its turn: whom else it means may be a long list, and is not read.
pub const ROLLOUT_OF_ONE: &str =
    "SELECT id, number, plan, state, reason, ring, ring_micros, judged_micros, created_by,
    created_micros, changed_micros, '{}' FROM rollout";

/// A turn.
pub const ROW: &str = "SELECT rollout, gateway, ring, back, version, number, manifest, from_version, from_number,
    assigned_micros, told_micros, step, step_micros, reason, ended_micros, alerts, attempt FROM rollout_gateway";

/// What a gateway has told of its software.
pub const SOFTWARE: &str =
    "SELECT gateway, version, number, slot, triple, hardware, system, system_number, state, floor,
    region, asked_micros FROM gateway_software";

/// States of a rollout that has gateways on their way ([`super::state::State::holds`]).
pub const HOLDING: &str = "('running', 'paused', 'rolling_back')";

/// Rollouts in which the gateway `$1` has a turn of which something may still be told or heard: what has ended for good stays out,
/// so that a gateway's question takes no longer in the tenth year.
pub const OPEN_TURNS: &str = "SELECT t.rollout FROM rollout_gateway t JOIN rollout r ON r.id = t.rollout
    WHERE t.gateway = $1 AND t.step NOT IN ('confirmed', 'rolled_back', 'cancelled', 'stays')
    AND (t.step <> 'failed' OR r.state NOT IN ('done', 'aborted'))";

/// Rollouts under way in which the gateway `$1` may have its turn at any time, if they mean it.
pub const MAY_COME: &str = "SELECT id FROM rollout r WHERE state = 'running' AND NOT EXISTS
    (SELECT 1 FROM rollout_gateway t WHERE t.rollout = r.id AND t.gateway = $1)";

/// A row where the gateway `$1` has a turn, whatever came of it, in a rollout that has begun and not ended: by the way back, or by
/// another attempt, it may be told something at any time.
pub const MAY_CHANGE: &str = "SELECT CAST(1 AS BIGINT) WHERE EXISTS (SELECT 1 FROM rollout_gateway t
    JOIN rollout r ON r.id = t.rollout WHERE t.gateway = $1
    AND r.state IN ('running', 'paused', 'halted', 'rolling_back'))";

/// A rollout is new, or has gone on. Its plan never changes.
pub const PUT_ROLLOUT: &str = "INSERT INTO rollout (id, number, plan, state, reason, ring, ring_micros, judged_micros,
    created_by, created_micros, changed_micros, cohort) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason, ring = excluded.ring,
    ring_micros = excluded.ring_micros, judged_micros = excluded.judged_micros, changed_micros = excluded.changed_micros";

/// A turn is new, or has changed; its alerts are counted elsewhere.
pub const PUT_ROW: &str = "INSERT INTO rollout_gateway (rollout, gateway, ring, back, version, number, manifest, from_version,
    from_number, assigned_micros, told_micros, step, step_micros, reason, ended_micros, attempt)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (rollout, gateway) DO UPDATE SET ring = excluded.ring, back = excluded.back, version = excluded.version,
    number = excluded.number, manifest = excluded.manifest, from_version = excluded.from_version,
    from_number = excluded.from_number, assigned_micros = excluded.assigned_micros, told_micros = excluded.told_micros,
    step = excluded.step, step_micros = excluded.step_micros, reason = excluded.reason,
    ended_micros = excluded.ended_micros, attempt = excluded.attempt";

/// A rollout is kept no longer: its turns.
pub const DROP_ROWS: &str = "DELETE FROM rollout_gateway WHERE rollout = $1";

/// And itself.
pub const DROP_ROLLOUT: &str = "DELETE FROM rollout WHERE id = $1";

/// A version is blocked; who has blocked it before stays the one who has.
pub const PUT_BLOCK: &str = "INSERT INTO blocked_version (gateway, kind, version, why, by, at_micros)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

/// Of what the gateway `$1` has told of itself (`$2`) the oldest goes where there is more than `$3`.
pub const TRIM_BLOCKS: &str = "DELETE FROM blocked_version WHERE gateway = $1 AND by = $2 AND (kind, version) IN
    (SELECT kind, version FROM (SELECT kind, version, row_number() OVER (ORDER BY at_micros DESC, version) AS n
    FROM blocked_version WHERE gateway = $1 AND by = $2) AS told WHERE n > $3)";

/// A version may be offered again.
pub const DROP_BLOCK: &str = "DELETE FROM blocked_version WHERE gateway = $1 AND kind = $2 AND version = $3";

/// A gateway has a label.
pub const PUT_LABEL: &str =
    "INSERT INTO gateway_label (gateway, label) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/// A gateway has a label no more.
pub const DROP_LABEL: &str = "DELETE FROM gateway_label WHERE gateway = $1 AND label = $2";

/// A line of the audit.
pub const PUT_LOG: &str = "INSERT INTO rollout_log (at_micros, rollout, gateway, who, what, detail)
    VALUES ($1, $2, $3, $4, $5, $6)";

/// A publication in the audit, once; its own name is last.
pub const PUT_PUBLICATION: &str =
    "INSERT INTO rollout_log (at_micros, rollout, gateway, who, what, detail, publication)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";

/// What a gateway tells of its software.
pub const PUT_SOFTWARE: &str = "INSERT INTO gateway_software (gateway, version, number, slot, triple, hardware, system,
    system_number, state, floor, region, asked_micros) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (gateway) DO UPDATE SET version = excluded.version, number = excluded.number, slot = excluded.slot,
    triple = excluded.triple, hardware = excluded.hardware, system = excluded.system,
    system_number = excluded.system_number, state = excluded.state, floor = excluded.floor, region = excluded.region,
    asked_micros = excluded.asked_micros";

/// True where some rollout has something to do.
pub const MOVES: &str = "SELECT EXISTS (SELECT 1 FROM rollout WHERE state IN ('running', 'rolling_back'))";

/// The newest version of the repository that any replica has seen, and when.
pub const SEEN: &str = "SELECT version, seen_micros FROM rollout_catalogue";

/// It was seen.
pub const PUT_SEEN: &str = "INSERT INTO rollout_catalogue (one, version, seen_micros) VALUES (1, $1, $2)
    ON CONFLICT (one) DO UPDATE SET version = excluded.version, seen_micros = excluded.seen_micros";
