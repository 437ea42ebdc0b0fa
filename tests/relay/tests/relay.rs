//! The relay on real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use engawa_relay::Relay;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// Sends until one arrives: a datagram may meet the weather of before.
fn arrives(from: &UdpSocket, relay: &Relay, at: &UdpSocket, text: &[u8]) -> SocketAddr {
    from.send_to(text, relay.address()).unwrap();
    let mut buffer = [0; 64];
    loop {
        let (length, from) = at.recv_from(&mut buffer).unwrap();
        if &buffer[..length] == text {
            return from;
        }
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn datagrams_go_both_ways_until_the_line_is_cut_and_from_new_ports_once_they_are_forgotten() {
    let (cloud, agent) = (socket(), socket());
    let relay = Relay::open(cloud.local_addr().unwrap()).unwrap();
    let first = arrives(&agent, &relay, &cloud, b"up");
    cloud.send_to(b"down", first).unwrap();
    assert_eq!(agent.recv_from(&mut [0; 64]).unwrap().0, 4);
    relay.cut(true);
    agent.send_to(b"lost", relay.address()).unwrap();
    until("the datagram to be lost", || relay.dropped() > 0);
    relay.cut(false);
    assert_eq!(arrives(&agent, &relay, &cloud, b"again"), first);
    relay.rebind();
    until("the port to be forgotten", || relay.rebound() > 0);
    assert_ne!(arrives(&agent, &relay, &cloud, b"moved"), first);
    relay.set(|weather| weather.udp_blocked = true);
    let lost = relay.dropped();
    agent.send_to(b"no", relay.address()).unwrap();
    until("the datagram to be lost", || relay.dropped() > lost);
}

#[test]
fn a_connection_is_slow_where_the_line_is_and_stands_while_it_is_cut() {
    let cloud = TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::open(cloud.local_addr().unwrap()).unwrap();
    relay.set(|weather| {
        weather.udp_blocked = true;
        weather.bits_per_second = Some(8_000_000);
        weather.delay = Duration::from_millis(20);
    });
    let mut agent = TcpStream::connect(relay.address()).unwrap();
    let (mut there, _) = cloud.accept().unwrap();
    there.set_read_timeout(Some(SOON)).unwrap();
    let began = Instant::now();
    // 200 ms at 8 Mbit/s, and the delay.
    agent.write_all(&vec![7; 200_000]).unwrap();
    let mut bytes = vec![0; 200_000];
    there.read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(3), "{took:?}");
    relay.cut(true);
    agent.write_all(b"later").unwrap();
    there.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(there.read(&mut [0; 8]).is_err(), "it stands");
    relay.cut(false);
    there.set_read_timeout(Some(SOON)).unwrap();
    there.read_exact(&mut [0; 5]).unwrap();
    // A NAT that forgets resets what it carried.
    relay.rebind();
    assert!(matches!(there.read(&mut [0; 8]), Ok(0) | Err(_)));
}
