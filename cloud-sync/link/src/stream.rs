//! Frames on QUIC streams.

use crate::LinkError;
use engawa_protocol::frame::{self, Body, LENGTH};
use quinn::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};

/// Sends one frame.
pub(crate) async fn send(stream: &mut SendStream, body: Body) -> Result<(), LinkError> {
    stream.write_all(&frame::encode(body)).await.map_err(unsent)
}

/// Receives one frame. `None` once the other end has finished the stream; an unknown frame of a newer release is
/// passed over.
pub(crate) async fn receive(stream: &mut RecvStream) -> Result<Option<Body>, LinkError> {
    loop {
        let mut head = [0; LENGTH];
        match stream.read_exact(&mut head).await {
            Ok(()) => {}
            Err(ReadExactError::FinishedEarly(0)) => return Ok(None),
            Err(error) => return Err(unread(error)),
        }
        // At most 1 MiB: see the protocol.
        let mut bytes = vec![0; frame::length(head).map_err(LinkError::Frame)?];
        stream.read_exact(&mut bytes).await.map_err(unread)?;
        if let Some(body) = frame::decode(&bytes).map_err(LinkError::Frame)? {
            return Ok(Some(body));
        }
    }
}

/// A stream that ends with its connection ends for the connection's reason: the other end may have given one.
fn unsent(error: WriteError) -> LinkError {
    match error {
        WriteError::ConnectionLost(reason) => LinkError::Broken(reason),
        error => LinkError::Stream(error.to_string()),
    }
}

fn unread(error: ReadExactError) -> LinkError {
    match error {
        ReadExactError::ReadError(ReadError::ConnectionLost(reason)) => LinkError::Broken(reason),
        error => LinkError::Stream(error.to_string()),
    }
}
