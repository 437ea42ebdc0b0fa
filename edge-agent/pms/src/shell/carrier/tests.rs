//! A carrier on a socket pair, and the port's settings. What a port does with them is in `tests/serial.rs`.

use super::*;
use crate::config::PmsConfig;
use crate::link::Out;
use engawa_model::Fact;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use tokio::net::UnixStream;

fn start() -> Timestamp {
    "2026-07-15T10:15:00Z".parse().unwrap()
}

fn link() -> Link {
    let mut link = Link::new(PmsConfig::new("pms:5010"), TimeZone::UTC);
    link.on_connected(start());
    while link.poll().is_some() {}
    link
}

#[test]
fn the_port_is_opened_as_the_settings_say() {
    use tokio_serial::{DataBits, Parity as Port, StopBits};
    for (data_bits, parity, bits, port_parity) in [
        (8, Parity::None, DataBits::Eight, Port::None),
        (7, Parity::Even, DataBits::Seven, Port::Even),
        (7, Parity::Odd, DataBits::Seven, Port::Odd),
    ] {
        let config = SerialConfig { data_bits, parity, baud: 19_200, ..SerialConfig::new("/dev/ttyUSB0") };
        let want = tokio_serial::new("/dev/ttyUSB0", 19_200)
            .data_bits(bits)
            .parity(port_parity)
            .stop_bits(StopBits::One);
        assert_eq!(port(&config), want, "{config:?}");
    }
}

#[tokio::test]
async fn a_line_wakes_when_its_record_has_settled_and_the_link_hears_of_it() {
    let (ours, mut pms) = UnixStream::pair().unwrap();
    let mut carrier = Carrier { line: Some(Line::new(9_600)), ..Carrier::stream(Box::new(ours)) };
    let mut link = link();
    assert_eq!(carrier.wake_at(), None);
    assert_eq!(carrier.work(start(), &mut link).await, Ok(false), "nothing has come");
    // STX, LS|, ETX, and the XOR behind STX.
    pms.write_all(b"\x02LS|\x03\x60").await.unwrap();
    assert!(matches!(carrier.read().await, Heard::Bytes));
    carrier.hand_over(start(), &mut link);
    let settled = start().checked_add(SignedDuration::from_millis(20)).unwrap();
    assert_eq!(carrier.wake_at(), Some(settled));
    carrier.on_wake(settled.checked_sub(SignedDuration::from_millis(1)).unwrap());
    assert_eq!(carrier.work(start(), &mut link).await, Ok(false));
    assert!(link.poll().is_none());
    carrier.on_wake(settled);
    assert_eq!(carrier.work(settled, &mut link).await, Ok(true), "the link has something to do");
    let sent = std::iter::from_fn(|| link.poll()).filter(|out| matches!(out, Out::Send(_))).count();
    assert!(sent > 2, "the link describes itself");
    let mut ack = [0];
    pms.read_exact(&mut ack).await.unwrap();
    assert_eq!((ack, carrier.wake_at()), ([0x06], None));
    // A line on which nobody answers is given up, and says why.
    carrier.send(settled, b"\x02LA|\x03").await.unwrap();
    let mut end = Ok(false);
    for _ in 0..4 {
        let due = carrier.wake_at().unwrap();
        carrier.on_wake(due);
        end = carrier.work(due, &mut link).await;
    }
    assert_eq!(end, Err("the PMS does not answer on the serial line".to_owned()));
}

#[tokio::test]
async fn a_stream_carries_records_as_they_are() {
    let (ours, mut pms) = UnixStream::pair().unwrap();
    let mut carrier = Carrier::stream(Box::new(ours));
    let mut link = link();
    carrier.send(start(), b"\x02LA|\x03").await.unwrap();
    let mut sent = [0; 5];
    pms.read_exact(&mut sent).await.unwrap();
    assert_eq!(&sent, b"\x02LA|\x03");
    pms.write_all(b"\x02GI|RN101|\x03").await.unwrap();
    assert!(matches!(carrier.read().await, Heard::Bytes));
    carrier.hand_over(start(), &mut link);
    assert_eq!((carrier.wake_at(), carrier.work(start(), &mut link).await), (None, Ok(false)));
    assert!(matches!(link.poll(), Some(Out::Observe(Fact::PmsRefused { why })) if why == "before-alive"));
    drop(pms);
    assert!(matches!(carrier.read().await, Heard::Closed));
    let gone = carrier.send(start(), b"\x02LA|\x03").await.unwrap_err();
    assert!(gone.starts_with("writing to the PMS: "), "{gone}");
}
