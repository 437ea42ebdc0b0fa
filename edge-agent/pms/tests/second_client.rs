//! What becomes of a second client at the PMS's port: IFC8 takes the newcomer and drops the old one; Protel's server refuses
//! the newcomer as long as it has another.
#![allow(clippy::unwrap_used, reason = "tests")]

mod site;

use engawa_pms::{Dialect, PmsConfig};
use site::{DEADLINE, Pms, Site};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pms_that_takes_the_newcomer_is_not_fought_over_at_full_speed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let site = Site::start(PmsConfig::new(&address));
    let mut accepted = vec![];
    // Another program takes the port as soon as the gateway is alive.
    for _ in 0..4 {
        let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        accepted.push(Instant::now());
        let mut pms = Pms::new(stream);
        pms.start().await;
        let alive = |n: usize| {
            site.until("alive", move |facts| {
                let up =
                    facts.iter().filter(|fact| matches!(fact, engawa_model::Fact::Link { up: true, .. }));
                (up.count() >= n).then_some(())
            })
        };
        alive(accepted.len()).await;
        let newcomer = TcpStream::connect(&address).await.unwrap();
        let (taken, _) = listener.accept().await.unwrap();
        drop((pms, newcomer, taken));
    }
    site.link(false, "does another program use this PMS's port?").await;
    let pauses: Vec<Duration> = accepted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[2] > pauses[0] && pauses[2] >= Duration::from_millis(400), "the pauses grow: {pauses:?}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pms_that_refuses_the_newcomer_is_tried_until_the_other_has_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The one that holds the port.
    let holder = TcpStream::connect(&address).await.unwrap();
    let (held, _) = listener.accept().await.unwrap();
    let site = Site::start(PmsConfig { dialect: Dialect::Protel, ..PmsConfig::new(&address) });
    for _ in 0..3 {
        let (refused, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        drop(refused);
    }
    site.link(false, "it may have another client").await;
    drop((holder, held));
    let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    let mut pms = Pms::new(stream);
    let description = pms.start().await;
    assert!(description.contains("|RT4|"), "Protel's dialect: {description}");
    site.link(true, "alive").await;
    // The gateway goes as it should, and leaves no connection behind that would keep it out the next time.
    let stopping = tokio::spawn(site.stop());
    pms.hear("LE").await;
    pms.say("LE|DA260715|TI101600|").await;
    pms.gone().await;
    stopping.await.unwrap();
}
