//! Devices that misbehave: each is shown as unwell with its reason, and its neighbours go on.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod field;

use engawa_model::{CommandOutcome, Fact, PointId, Quality, Value};
use field::{PATIENCE, last, site};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Ten holding registers in one block, read four times a second.
const BLOCK: &str = r#"
[profile]
name = "block"
make = "Test"
model = "Block"
kind = "sensors"
protocol = "modbus"
sources = ["this test"]
[modbus]
interval_ms = 250
points = [
  { name = "r0", table = "holding", address = 0, type = "u16", write = { } },
  { name = "r1", table = "holding", address = 1, type = "u16" },
  { name = "r2", table = "holding", address = 2, type = "u16" },
]
"#;

/// How a unit answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Well,
    Garbage,
    Exception(u8),
    HalfAFrame,
    Silent,
    WrongUnit,
    WrongTransaction,
    TooFew,
    /// Answers each request with the answer to the one before.
    OneLate,
    HangsUp,
    /// Takes writes and keeps its own value.
    Stubborn,
    /// Takes a write, and hangs up before it says so.
    TakesAndHangsUp,
}

/// A gateway: unit 1 answers in `manner`, unit 2 well. `counter` is unit 2's first register and grows with each read.
async fn gateway(manner: Manner) -> (SocketAddr, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, counter) = (listener.local_addr().unwrap(), Arc::new(AtomicU16::new(0)));
    let of_task = Arc::clone(&counter);
    let held = Arc::new(AtomicU16::new(7));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, manner, Arc::clone(&of_task), Arc::clone(&held)));
        }
    });
    (address, counter)
}

async fn serve(mut stream: TcpStream, manner: Manner, counter: Arc<AtomicU16>, held: Arc<AtomicU16>) {
    let mut late: Option<Vec<u8>> = None;
    loop {
        let mut head = [0_u8; 7];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::from(u16::from_be_bytes([head[4], head[5]])) - 1;
        let mut body = vec![0_u8; length];
        stream.read_exact(&mut body).await.unwrap();
        let (unit, function) = (head[6], body[0]);
        let count = u16::from_be_bytes([body[3], body[4]]);
        let answer = |pdu: &[u8]| {
            let mut frame = head[..4].to_vec();
            frame.extend((u16::try_from(pdu.len() + 1).unwrap()).to_be_bytes());
            frame.push(unit);
            frame.extend(pdu);
            frame
        };
        let first =
            if unit == 2 { counter.fetch_add(1, Ordering::SeqCst) } else { held.load(Ordering::SeqCst) };
        let good = if function == 3 {
            let mut pdu = vec![3, u8::try_from(count * 2).unwrap()];
            pdu.extend((0..count).flat_map(|n| if n == 0 { first } else { n }.to_be_bytes()));
            answer(&pdu)
        } else {
            if manner != Manner::Stubborn {
                held.store(count, Ordering::SeqCst);
            }
            answer(&body)
        };
        let manner = if unit == 2 { Manner::Well } else { manner };
        let out = match manner {
            Manner::Well | Manner::Stubborn => good,
            Manner::Garbage => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Manner::Exception(code) => answer(&[function | 0x80, code]),
            Manner::HalfAFrame => good[..good.len() / 2].to_vec(),
            Manner::Silent => continue,
            Manner::WrongUnit => {
                let mut frame = good;
                frame[6] = 9;
                frame
            }
            Manner::WrongTransaction => {
                let mut frame = good;
                frame[0] ^= 0x55;
                frame
            }
            Manner::TooFew => answer(&[3, 2, 0, 1]),
            Manner::OneLate => match late.replace(good) {
                Some(frame) => frame,
                None => continue,
            },
            Manner::HangsUp => return,
            Manner::TakesAndHangsUp if function == 6 => return,
            Manner::TakesAndHangsUp => good,
        };
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sick_device_is_named_and_its_neighbours_go_on() {
    let story = |manner: Manner, words: &'static str| async move {
        let (address, _) = gateway(manner).await;
        let mut site = site(address, 200, &[("sick", 1, BLOCK), ("neighbour", 2, BLOCK)]);
        let reason = site.until_unwell("sick", words).await;
        // The neighbour's first register grows with each read: it is still being read.
        let before = site.reports("neighbour", "r0");
        site.until(&format!("{manner:?}: the neighbour goes on"), |facts| {
            let id = PointId::new("neighbour", "r0");
            let reports =
                facts.iter().filter(|fact| matches!(fact, Fact::Reported { point, .. } if *point == id));
            (reports.count() >= before + 4).then_some(())
        })
        .await;
        let facts = site.facts.borrow().clone();
        assert!(
            !facts.iter().any(|fact| matches!(fact, Fact::Health { device, reason: Some(_), .. } if device.as_str() == "neighbour")),
            "{manner:?}: the neighbour was called unwell"
        );
        // No value of a sick device was ever believed.
        if manner != Manner::OneLate {
            assert_eq!(site.reports("sick", "r0"), 0, "{manner:?} ({reason})");
        }
        site.cancel.cancel();
    };
    // All at once: the test takes as long as the slowest.
    let stories = [
        (Manner::Garbage, "this is not Modbus TCP"),
        (Manner::Exception(1), "exception 1 (illegal function)"),
        (Manner::Exception(4), "exception 4 (device failure)"),
        (Manner::Exception(11), "the gateway's device does not answer"),
        (Manner::HalfAFrame, "7 bytes that are no whole answer"),
        (Manner::Silent, "no answer within 200 ms"),
        (Manner::WrongUnit, "garbage"),
        (Manner::WrongTransaction, "garbage"),
        (Manner::TooFew, "1 values where 3 were asked for"),
        (Manner::HangsUp, "the connection broke"),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (manner, words) in stories {
        running.spawn(story(manner, words));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_not_there_harms_no_other() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut absent = site(gone, 200, &[("absent", 1, BLOCK)]);
    let (address, _) = gateway(Manner::Well).await;
    let mut present = site(address, 200, &[("present", 1, BLOCK)]);
    absent.until_unwell("absent", "no connection").await;
    present.until_value("present", "r1", &Value::Int(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_goes_away_leaves_stale_values_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut site = site(address, 200, &[("t", 1, BLOCK)]);
    let (stream, _) = listener.accept().await.unwrap();
    let (counter, held) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicU16::new(7)));
    let serving = tokio::spawn(serve(stream, Manner::Well, Arc::clone(&counter), Arc::clone(&held)));
    site.until_value("t", "r0", &Value::Int(7)).await;
    serving.abort();
    drop(listener);
    site.until_unwell("t", "").await;
    let id = PointId::new("t", "r0");
    let stale = |facts: &[Fact]| last(facts, &id).filter(|(_, quality)| *quality == Quality::Stale);
    assert_eq!(site.until("a stale value", stale).await.0, Some(Value::Int(7)), "the last known");
    let listener = TcpListener::bind(address).await.unwrap();
    let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("it is asked again");
    tokio::spawn(serve(accepted.unwrap().0, Manner::Well, counter, held));
    site.until("a good value again", |facts| {
        last(facts, &id).filter(|(_, quality)| *quality == Quality::Good)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_stick_is_given_up_with_what_is_there() {
    let (address, _) = gateway(Manner::Stubborn).await;
    let mut site = site(address, 500, &[("t", 1, BLOCK)]);
    site.order("k", "t", "r0", Value::Int(22)).await;
    let outcome = site.until_ended("k").await;
    assert!(
        matches!(&outcome, CommandOutcome::Refused { reason } if reason.contains("has 7")),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_read_before_it_is_written_again() {
    let (address, _) = gateway(Manner::TakesAndHangsUp).await;
    let mut site = site(address, 500, &[("t", 1, BLOCK)]);
    site.order("k", "t", "r0", Value::Int(22)).await;
    assert_eq!(
        site.until_ended("k").await,
        CommandOutcome::Done,
        "the device has it, and says so when it is read"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_is_never_taken_for_the_next_one() {
    let (address, _) = gateway(Manner::OneLate).await;
    let mut site = site(address, 100, &[("late", 1, BLOCK), ("neighbour", 2, BLOCK)]);
    site.until_unwell("late", "no answer").await;
    site.until_value("neighbour", "r1", &Value::Int(1)).await;
    // What the late one would have said to another's question was never believed.
    let facts = site.facts.borrow().clone();
    assert_eq!(last(&facts, &PointId::new("late", "r0")), None);
    site.cancel.cancel();
}
