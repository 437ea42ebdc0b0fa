//! How a stop ends the connection: the good-bye, then the end of the stream. A PMS that reads to the end is not waited for, one
//! that keeps its connection sees no reset, and what it still had to say is taken.
#![allow(clippy::unwrap_used, reason = "tests")]

mod site;

use engawa_model::Fact;
use engawa_pms::PmsConfig;
use site::{DEADLINE, Pms, Site};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A gateway whose link is alive, and the PMS's end of it.
async fn alive() -> (Site, Pms<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let site = Site::start(PmsConfig::new(listener.local_addr().unwrap().to_string()));
    let (stream, _) = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    let mut pms = Pms::new(stream);
    pms.start().await;
    site.link(true, "alive").await;
    (site, pms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pms_that_reads_to_the_end_and_closes_is_not_waited_for() {
    let (site, mut pms) = alive().await;
    let began = Instant::now();
    let stopping = tokio::spawn(site.stop());
    pms.hear("LE").await;
    // It says no LE: it closes, as a program does whose read gives nothing any more.
    pms.gone().await;
    drop(pms);
    stopping.await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(450), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pms_that_keeps_its_connection_holds_nobody_up_and_sees_no_reset() {
    let (site, mut pms) = alive().await;
    let began = Instant::now();
    let stopping = tokio::spawn(site.stop());
    pms.hear("LE").await;
    stopping.await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    // After that: the end of the stream, and no error.
    let mut rest = [0; 64];
    assert_eq!(pms.stream.read(&mut rest).await.unwrap(), 0);
    assert!(pms.stream.take_error().unwrap().is_none());
    // A record that nobody takes is not swallowed: the PMS is told, and keeps it for the next connection.
    let told = async {
        while pms.stream.write_all(b"\x02GO|RN101|G#1|\x03").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pms_goes_on_sending_is_taken_until_it_has_said_good_bye() {
    let (site, mut pms) = alive().await;
    let stopping = site.begin_to_stop();
    pms.hear("LE").await;
    for n in 0..40 {
        pms.say(&format!("GI|RN101|G#{n}|GNGuest {n}|GSN|")).await;
    }
    pms.say("LE|DA260715|TI101600|").await;
    pms.gone().await;
    let facts = stopping.await;
    let seen = facts.iter().filter(|fact| matches!(fact, Fact::GuestSeen { .. })).count();
    assert_eq!(seen, 40, "each record that the PMS could send is with the house");
    assert!(pms.stream.take_error().unwrap().is_none(), "no reset");
}
