//! A release to a small fleet of real links at a real cloud that is killed meanwhile, and one that fails on a tenth.
//! `make bench-rollout` does it with 500 gateways and slower clocks.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use engawa_line::fleet::{self, Fleet, Options};
use engawa_line::gateways::Cloud;
use std::time::Duration;

#[test]
fn all_get_a_good_release_in_their_windows_and_a_bad_one_halts_in_its_first_ring() {
    let count = std::env::var("GATEWAYS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let folder = tempfile::Builder::new().prefix("engawa-rollout-").tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut cloud = Cloud::start(folder.path()).unwrap();
    fleet::publish(cloud.dir(), &[("0.2.0", 20), ("0.3.0", 30), ("0.4.0", 40)]).unwrap();
    // A day in 1.5 seconds: a window of three hours is 0.2 s long. Of a tenth of forty boxes none may be among the four of the
    // first ring; of these, number 37 is.
    let asks = Duration::from_millis(600);
    let options = Options { count, factor: 57_600, asks, rings: vec![10, 100], soak_s: 0, weak: 7 };
    let fleet = Fleet::start(&runtime, &cloud, options).unwrap();
    let healthy = fleet.healthy(&mut cloud, folder.path()).unwrap();
    assert_eq!((healthy.updated, healthy.in_window, healthy.too_many), (count, count, 0), "{healthy:?}");
    let sick = fleet.sick(&cloud).unwrap();
    assert_eq!((sick.ring, sick.told_late), (0, 0), "{sick:?}");
    assert!(sick.failed > 0 && sick.turns <= count.div_ceil(10), "{sick:?}");
    fleet.stop(&runtime);
}
