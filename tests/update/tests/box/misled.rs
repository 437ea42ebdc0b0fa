//! A cloud in a stranger's hand signs nothing and can say anything: whoever has its machine writes the rows by which gateways are
//! told what to run. Each lie is refused by the signed manifest, and the spare slot is not touched.

use crate::stand::{Box, Kind, triple};

/// A board's triple that is not this one's.
const OTHER: &str = "armv7-unknown-linux-gnueabihf";

/// Releases to mislead with, signed as all are. They are there before the one that is confirmed.
pub(crate) fn prepare(gateway: &Box) {
    gateway.shop.release("1.0.5", Kind::Panics);
    gateway.shop.release_for(OTHER, "1.1.5", Kind::Panics, &[]);
}

/// The box runs 1.1.0, number 101, and so much is its floor.
pub(crate) fn gets_nowhere(gateway: &mut Box, rollout: &str) {
    let own = triple();
    let path = |triple: &str, version: &str, file: &str| format!("engawa/{triple}/{version}/{file}");
    let before = gateway.table();
    for (lie, version, number, target, why) in [
        (
            "an older release under a new name",
            "1.4.1",
            104,
            path(&own, "1.0.5", "manifest.json"),
            "is version 1.0.5, 1.4.1 is wanted",
        ),
        (
            "an older release under a new number",
            "1.0.5",
            104,
            path(&own, "1.0.5", "manifest.json"),
            "its release counter is 100, and 104 was announced",
        ),
        (
            "another triple's release",
            "1.1.5",
            101,
            path(OTHER, "1.1.5", "manifest.json"),
            "it is for armv7-unknown-linux-gnueabihf",
        ),
        ("a target that is no manifest", "1.4.2", 104, path(&own, "1.1.0", "pack"), ".pack has"),
        (
            "a target that nobody has signed",
            "1.4.3",
            104,
            path(&own, "1.4.3", "manifest.json"),
            "no signed metadata names",
        ),
    ] {
        gateway.tamper(&format!(
            "UPDATE rollout SET state = 'running', reason = '' WHERE id = '{rollout}';
             UPDATE rollout_gateway SET version = '{version}', number = {number}, manifest = '{target}', step = 'told',
                 reason = '', ended_micros = NULL, told_micros = assigned_micros WHERE rollout = '{rollout}';"
        ));
        let said = gateway.until(lie, |it| {
            let steps = it.steps();
            let (_, _, reason) =
                steps.iter().rev().find(|(of, step, _)| of == version && step == "refused")?;
            Some(reason.clone())
        });
        assert!(said.contains(why), "{lie}: expected {why:?} in: {said}");
        assert_eq!(gateway.table()["slots"], before["slots"], "{lie}");
        println!("{lie}: {said}");
    }
    gateway.tamper(&format!("UPDATE rollout SET state = 'aborted' WHERE id = '{rollout}'"));

    // A downgrade that is true in all it says: a release of before, signed, as the gateway's own desk could want it.
    let (done, said) = gateway.send("1.0.5");
    assert!(!done && said.contains("its release counter 100 is below 101"), "{said}");
    assert_eq!(gateway.table()["slots"], before["slots"], "{said}");
    println!("below the floor: {}", said.trim());
}
