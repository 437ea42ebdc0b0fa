//! Commands: once per key, in order, settled once, and never done twice after a lost disk.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use common::{Cloud, EPOCH, GATEWAY, at, ended};
use engawa_cloud::store::{StoreError, Watch, commands, gateways, listing, write};
use engawa_model::{Action, Command, CommandOutcome, Currency, Money, Role, Timestamp, Value};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

fn setpoint(celsius: f64) -> Action {
    Action::SetRole { room: "101".into(), role: Role::ClimateSetpoint, value: Value::Float(celsius) }
}

fn charge(text: &str) -> Action {
    let amount = Money { minor: 1250, currency: Currency::new("EUR").unwrap() };
    Action::Post { room: "101".into(), stay: None, amount, text: text.into(), outlet: None }
}

fn acknowledge(cloud: &mut Cloud, mark: u64) {
    write(&mut cloud.connection, |connection| commands::acknowledged(connection, GATEWAY, mark, 8)).unwrap();
}

fn states(cloud: &Cloud) -> Vec<String> {
    cloud.query("SELECT key, state, outcome FROM command ORDER BY seq")
}

#[test]
fn a_key_is_good_for_one_command() {
    let mut cloud = Cloud::new();
    let first = cloud.send("k1", &setpoint(21.0)).unwrap();
    assert_eq!(first, commands::Sent { seq: 1, fresh: true });
    assert_eq!(cloud.send("k1", &setpoint(21.0)).unwrap(), commands::Sent { seq: 1, fresh: false });
    assert!(matches!(cloud.send("k1", &setpoint(22.0)), Err(StoreError::KeyTaken { seq: 1, .. })));
    assert_eq!(cloud.send("k2", &Action::Resync).unwrap().seq, 2, "no number was lost by the refusal");
    let rows = commands::after(&cloud.connection, GATEWAY, 0, 10).unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.seq, row.kind.as_str())).collect::<Vec<_>>(),
        [(1, "set-role"), (2, "resync")]
    );
    let command: Command = serde_json::from_slice(&rows[0].body).unwrap();
    assert_eq!(
        (command.key.as_str(), &command.action, command.expires),
        ("k1", &setpoint(21.0), Some(at(3_600)))
    );
    assert_eq!(commands::after(&cloud.connection, GATEWAY, 1, 10).unwrap().len(), 1);
    assert_eq!(commands::after(&cloud.connection, GATEWAY, u64::MAX, 10).unwrap().len(), 0);
    assert!(commands::after(&cloud.connection, "other", 0, 10).unwrap().is_empty());
}

#[test]
fn what_can_not_be_sent_is_refused_in_words() {
    let mut cloud = Cloud::new();
    let too_long = charge(&"x".repeat(commands::MOST_BODY));
    assert!(matches!(cloud.send("k", &too_long), Err(StoreError::TooLarge { .. })));
    let nobody = write(&mut cloud.connection, |connection| {
        commands::send(connection, "nobody", &"k".into(), &Action::Resync, at(1), at(2))
    });
    assert!(nobody.unwrap_err().to_string().contains("no gateway `nobody`"));
    write(&mut cloud.connection, |connection| gateways::revoke(connection, GATEWAY, 1)).unwrap();
    assert!(matches!(cloud.send("k", &Action::Resync), Err(StoreError::Revoked(_))));
    assert!(states(&cloud).is_empty());
}

#[test]
fn as_many_wait_as_the_bound_says() {
    let mut cloud = Cloud::new();
    cloud.send("k0", &Action::Resync).unwrap();
    let copies = format!(
        "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n WHERE i < {most})
         INSERT INTO command (gateway, seq, key, at_micros, kind, body, expires)
         SELECT gateway, i, 'copy' || i, at_micros, kind, body, expires FROM command, n WHERE seq = 1;
         UPDATE gateway SET command_head = {most};",
        most = commands::MOST_WAITING
    );
    cloud.connection.execute_batch(&copies).unwrap();
    assert!(matches!(
        cloud.send("more", &Action::Resync),
        Err(StoreError::QueueFull(commands::MOST_WAITING, _))
    ));
    assert!(!cloud.send("k0", &Action::Resync).unwrap().fresh, "a known key is still known");
    acknowledge(&mut cloud, 1);
    assert_eq!(cloud.send("more", &Action::Resync).unwrap().seq, commands::MOST_WAITING + 1);
}

#[test]
fn the_first_outcome_stays() {
    let mut cloud = Cloud::new();
    for key in ["a", "b", "c"] {
        cloud.send(key, &Action::Resync).unwrap();
    }
    acknowledge(&mut cloud, 2);
    let refused = CommandOutcome::Refused { reason: "no room 101".into() };
    cloud.tell(
        EPOCH,
        &[
            ended("a", refused),
            ended("a", CommandOutcome::Done),
            // Its outcome came before the acknowledgement: lanes do not wait for each other.
            ended("c", CommandOutcome::Expired),
            ended("nobody's", CommandOutcome::Done),
        ],
    );
    acknowledge(&mut cloud, 3);
    assert_eq!(states(&cloud), ["a|ended|refused", "b|acknowledged|-", "c|ended|expired"]);
    let listed = listing::commands(&cloud.connection, None, 10).unwrap();
    assert_eq!(listed.last().unwrap().reason.as_deref(), Some("no room 101"));
}

#[test]
fn a_gateway_with_a_new_disk_does_nothing_twice() {
    let mut cloud = Cloud::new();
    for (key, action) in
        [("done", charge("a")), ("under way", charge("b")), ("set", setpoint(20.0)), ("new", charge("c"))]
    {
        cloud.send(key, &action).unwrap();
    }
    acknowledge(&mut cloud, 3);
    cloud.tell(EPOCH, &[ended("done", CommandOutcome::Done)]);
    // The same life again changes nothing; another one does, once.
    for epoch in [EPOCH, 8, 8] {
        write(&mut cloud.connection, |connection| gateways::epoch_seen(connection, GATEWAY, epoch, 9))
            .unwrap();
    }
    assert_eq!(
        states(&cloud),
        ["done|ended|done", "under way|ended|doubtful", "set|acknowledged|-", "new|sent|-"]
    );
    let again = commands::after(&cloud.connection, GATEWAY, 0, 10).unwrap();
    let expires: Vec<Option<Timestamp>> =
        again.iter().map(|row| serde_json::from_slice::<Command>(&row.body).unwrap().expires).collect();
    let over = Some(Timestamp::UNIX_EPOCH);
    assert_eq!(expires, [over, over, Some(at(3_600)), Some(at(3_600))]);
    assert_eq!(again.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2, 3, 4], "numbers stay dense");
    // What the gateway says to the old ones does not undo what is known.
    let key = |key: &str| ended(key, CommandOutcome::Expired);
    cloud.tell(8, &[key("done"), key("under way"), ended("set", CommandOutcome::Done)]);
    assert_eq!(states(&cloud)[..3], ["done|ended|done", "under way|ended|doubtful", "set|ended|done"]);
}

#[test]
fn numbers_go_on_above_what_the_gateway_has_after_a_restored_backup() {
    let mut cloud = Cloud::new();
    cloud.send("a", &Action::Resync).unwrap();
    acknowledge(&mut cloud, 40);
    assert_eq!(cloud.send("b", &Action::Resync).unwrap().seq, 41);
    acknowledge(&mut cloud, u64::MAX);
    assert!(cloud.send("c", &Action::Resync).unwrap().seq > 41);
}

#[test]
fn a_new_command_is_noticed_from_another_process() {
    let mut cloud = Cloud::new();
    cloud.send("before", &Action::Resync).unwrap();
    let (told, woken) = sync_channel(16);
    let watch = Watch::start(&cloud.path(), move |gateway| told.send(gateway.to_owned()).unwrap()).unwrap();
    for key in ["a", "b"] {
        cloud.send(key, &setpoint(20.0)).unwrap();
        assert_eq!(woken.recv_timeout(Duration::from_secs(10)).unwrap(), GATEWAY, "{key}");
    }
    // Rows are no commands.
    cloud.tell(EPOCH, &[ended("a", CommandOutcome::Done)]);
    assert_eq!(woken.recv_timeout(Duration::from_millis(400)), Err(RecvTimeoutError::Timeout));
    drop(watch);
    assert_eq!(woken.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Disconnected));
}
