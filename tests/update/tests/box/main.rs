//! Releases on a whole box: good ones stay, bad ones come back by themselves with their reason, and what is not to be trusted is
//! never started. Real cloud, supervisor and agent; the releases' programs are the agent, or a script in its place.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod attacks;
mod misled;
mod pms;
mod stand;
mod standstill;
mod thief;

use stand::{Box, Kind};
use std::time::{Duration, Instant};

/// How long a deployment to a healthy gateway may take, from the rollout's start to its confirmation.
const DEPLOYMENT: Duration = Duration::from_secs(60);
#[test]
fn a_good_release_is_rolled_out_and_one_that_panics_comes_back() {
    let mut gateway = Box::open();
    misled::prepare(&gateway);
    gateway.shop.release_as("1.1.0", Kind::Good, &["--floor", "101"]);
    let began = Instant::now();
    let id = gateway.roll_out("1.1.0");
    let (took, standstill) = standstill::during(&mut gateway, |gateway| {
        gateway.ended("1.1.0", "confirmed");
        began.elapsed()
    });
    println!("deployed in {took:.1?}");
    standstill.check("a switch");
    assert!(took < DEPLOYMENT, "{took:?}");
    assert_eq!(gateway.runs(), "1.1.0");
    let steps: Vec<String> =
        gateway.steps().into_iter().filter(|(of, ..)| of == "1.1.0").map(|(_, step, _)| step).collect();
    assert_eq!(steps, ["offered", "downloading", "ready", "switching", "trial", "confirmed"], "each once");
    assert!(gateway.is_up("pms"));
    let shown = gateway.cloud(&["rollout", "show", &id]);
    assert!(shown.status.success(), "{shown:?}");

    misled::gets_nowhere(&mut gateway, &id);

    // The next one ends right after its start: the supervisor knows.
    gateway.shop.release("1.2.0", Kind::Panics);
    gateway.roll_out("1.2.0");
    let reason = gateway.ended("1.2.0", "rolled_back");
    assert!(reason.contains("101"), "{reason}\n{}", gateway.log());
    assert_eq!(gateway.runs(), "1.1.0");
    gateway.until("the PMS's link", |it| it.is_up("pms").then_some(()));
    assert_eq!(gateway.table()["bad"][0]["version"], "1.2.0", "this rollout does not bring it again");
}

#[test]
fn a_release_that_loses_the_pms_or_eats_memory_comes_back_with_its_reason() {
    let mut gateway = Box::open();
    gateway.shop.release("1.1.0", Kind::LosesThePms);
    let (done, said) = gateway.send("1.1.0");
    assert!(
        !done && said.contains("it was tried and is back") && said.contains("the link pms was up before"),
        "{said}"
    );
    let reason = gateway.ended("1.1.0", "rolled_back");
    assert!(reason.contains("the link pms was up before and is not"), "{reason}");
    assert_eq!(gateway.runs(), "1.0.0");
    gateway.until("the PMS's link", |it| it.is_up("pms").then_some(()));

    gateway.shop.release("1.2.0", Kind::EatsMemory);
    let (done, said) = gateway.send("1.2.0");
    assert!(!done && said.contains("memory"), "{said}");
    let reason = gateway.ended("1.2.0", "rolled_back");
    assert!(reason.contains("MB of memory") || reason.contains("MiB of memory"), "{reason}");
    assert_eq!(gateway.runs(), "1.0.0");
}

#[test]
fn a_release_that_never_gets_ready_comes_back_and_a_stick_brings_one_that_does() {
    let mut gateway = Box::open();
    gateway.shop.release("1.1.0", Kind::Mute);
    gateway.roll_out("1.1.0");
    let reason = gateway.ended("1.1.0", "rolled_back");
    assert!(reason.contains("10 s"), "{reason}");
    assert_eq!(gateway.runs(), "1.0.0");
    gateway.until("the PMS's link", |it| it.is_up("pms").then_some(()));

    // The cloud's repository stays as it is: the new release comes on a stick.
    let before = gateway.shop.copy("before");
    gateway.shop.release("1.2.0", Kind::Good);
    let stick = gateway.shop.copy("stick");
    gateway.shop.put_back(&before);
    let (done, said) = gateway.engawa(&["update", "check", "--from", stick.to_str().unwrap()]);
    assert!(done && said.contains("1.2.0, number 102") && !said.contains("MISSING"), "{said}");
    let (done, said) =
        gateway.engawa(&["update", "install", "--from", before.to_str().unwrap(), "--release", "1.2.0"]);
    assert!(!done && said.contains("no signed metadata names"), "{said}");
    gateway.pms.keep_connections();
    let ((done, said), standstill) = standstill::during(&mut gateway, |gateway| {
        gateway.engawa(&["update", "install", "--from", stick.to_str().unwrap()])
    });
    standstill.check("a switch beside a PMS that keeps its connection");
    assert!(done && said.contains("1.2.0 runs, and is confirmed"), "{said}");
    assert_eq!(gateway.runs(), "1.2.0");
    let (_, said) = gateway.engawa(&["update", "status"]);
    assert!(
        said.contains("confirmed  1.2.0, number 102") && said.contains("last: 1.2.0 confirmed"),
        "{said}"
    );
    let (_, said) = gateway.engawa(&["update", "history"]);
    assert!(
        said.lines().next().is_some_and(|line| line.contains("1.2.0") && line.contains("confirmed")),
        "{said}"
    );
}
