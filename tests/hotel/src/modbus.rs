//! Modbus TCP servers: requests in, answers out, as the Modbus messaging guide for TCP 1.0b and the application
//! protocol 1.1b3 say it.
//!
//! Why a server of its own: the answers to wrong requests must be those of the devices, to the exception code; that
//! is what a gateway must live with.

use crate::device::{Exception, Read, Registers, Write};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Transaction, protocol, length and unit.
const HEADER: usize = 7;
/// Unit and the longest PDU of 253 bytes.
const LONGEST: u16 = 254;
/// Connections that one listener serves at a time; more wait in the system's queue, as with real gateways.
const MOST_CONNECTIONS: usize = 8;
/// A client that says nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(300);

/// What stands behind one listener.
pub(crate) trait Line: Send + Sync + 'static {
    /// The answer to `pdu` for `unit`.
    fn answer(&self, unit: u8, pdu: &[u8]) -> Vec<u8>;
}

/// The answer of one device to a PDU.
pub(crate) fn answer(device: &mut dyn Registers, pdu: &[u8]) -> Vec<u8> {
    let function = pdu.first().copied().unwrap_or(0);
    match carry_out(device, pdu) {
        Ok(answer) => answer,
        Err(exception) => refuse(function, exception),
    }
}

/// The answer that refuses a function.
pub(crate) fn refuse(function: u8, exception: Exception) -> Vec<u8> {
    vec![function | 0x80, exception as u8]
}

fn carry_out(device: &mut dyn Registers, pdu: &[u8]) -> Result<Vec<u8>, Exception> {
    match *pdu {
        [function @ (3 | 4), a, b, c, d] => {
            let how = if function == 3 { Read::Holding } else { Read::Input };
            let (address, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            if !(1..=125).contains(&count) {
                return Err(Exception::Value);
            }
            let end = address.checked_add(count - 1).ok_or(Exception::Address)?;
            // At most 125 registers, so the number of bytes fits.
            let mut answer = vec![function, u8::try_from(count * 2).unwrap_or(u8::MAX)];
            for at in address..=end {
                answer.extend(device.read(how, at)?.to_be_bytes());
            }
            Ok(answer)
        }
        [6, a, b, c, d] => {
            device.write(Write::Single, u16::from_be_bytes([a, b]), &[u16::from_be_bytes([c, d])])?;
            Ok(pdu.to_vec())
        }
        [16, a, b, c, d, bytes, ref data @ ..] => {
            let (address, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let sizes_agree = usize::from(bytes) == data.len() && usize::from(count) * 2 == data.len();
            if !(1..=123).contains(&count) || !sizes_agree {
                return Err(Exception::Value);
            }
            address.checked_add(count - 1).ok_or(Exception::Address)?;
            let values: Vec<u16> =
                data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            device.write(Write::Multiple, address, &values)?;
            Ok(pdu[..5].to_vec())
        }
        [3 | 4 | 6 | 16, ..] => Err(Exception::Value),
        _ => Err(Exception::Function),
    }
}

/// Serves `line` on `listener` until `stop`.
pub(crate) async fn serve(listener: TcpListener, line: Arc<dyn Line>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (line, stop) = (Arc::clone(&line), stop.clone());
                tokio::spawn(async move {
                    let served = stop.run_until_cancelled(converse(stream, &*line)).await;
                    if let Some(Err(error)) = served {
                        tracing::debug!(%error, "a Modbus connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, or a client that was gone at once: neither is for ever.
                tracing::warn!(%error, "accepting a Modbus connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, line: &dyn Line) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut header = [0_u8; HEADER];
    // The longest PDU; the length field is checked against it before it is used.
    let mut pdu = [0_u8; LONGEST as usize - 1];
    loop {
        match tokio::time::timeout(IDLE, stream.read_exact(&mut header)).await {
            Err(_) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(read) => drop(read?),
        }
        let [t0, t1, p0, p1, l0, l1, unit] = header;
        let length = u16::from_be_bytes([l0, l1]);
        if [p0, p1] != [0, 0] || !(2..=LONGEST).contains(&length) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a Modbus TCP header"));
        }
        let pdu = &mut pdu[..usize::from(length) - 1];
        tokio::time::timeout(IDLE, stream.read_exact(pdu)).await.map_err(io::Error::from)??;
        let answer = line.answer(unit, pdu);
        // A PDU has at most 253 bytes, so unit and PDU fit.
        let [l0, l1] = u16::try_from(answer.len() + 1).unwrap_or(LONGEST).to_be_bytes();
        let frame = [&[t0, t1, 0, 0, l0, l1, unit], answer.as_slice()].concat();
        stream.write_all(&frame).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;

    #[test]
    fn good_and_bad_requests() {
        let mut device = Block::new(20);
        for (request, want) in [
            (&[3, 0, 18, 0, 2][..], &[3, 4, 0, 218, 0, 219][..]),
            (&[3, 0, 19, 0, 2], &[0x83, 2]),
            (&[3, 0, 0, 0, 0], &[0x83, 3]),
            (&[3, 0, 0, 0, 126], &[0x83, 3]),
            (&[3, 0xFF, 0xFF, 0, 2], &[0x83, 2]),
            (&[3, 0, 0, 0], &[0x83, 3]),
            (&[4, 0, 0, 0, 1], &[0x84, 2]),
            (&[6, 0, 1, 1, 0], &[6, 0, 1, 1, 0]),
            (&[6, 0, 1], &[0x86, 3]),
            (&[16, 0, 0, 0, 2, 4, 0, 1, 0, 2], &[16, 0, 0, 0, 2]),
            (&[16, 0, 0, 0, 2, 4, 0, 1], &[0x90, 3]),
            (&[16, 0, 0, 0, 0, 0], &[0x90, 3]),
            (&[16, 0xFF, 0xFF, 0, 2, 4, 0, 1, 0, 2], &[0x90, 2]),
            (&[1, 0, 0, 0, 1], &[0x81, 1]),
            (&[], &[0x80, 1]),
        ] {
            assert_eq!(answer(&mut device, request), want, "{request:?}");
        }
        assert_eq!(answer(&mut device, &[3, 0, 0, 0, 2]), [3, 4, 0, 1, 0, 2]);
    }

    proptest::proptest! {
        #[test]
        fn no_request_makes_it_panic(pdu in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..253)) {
            proptest::prop_assert!(answer(&mut Block::new(20), &pdu).len() <= 253);
        }
    }
}
