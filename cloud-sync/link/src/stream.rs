//! Frames on streams.

use crate::LinkError;
use crate::transport::{ReceiveHalf, SendHalf};
use engawa_protocol::frame::{self, Body, LENGTH};

/// Sends one frame.
pub(crate) async fn send(stream: &mut SendHalf, body: Body) -> Result<(), LinkError> {
    stream.write_all(&frame::encode(body)).await
}

/// Receives one frame. `None` once the other end has finished the stream; an unknown frame of a newer release is
/// passed over.
pub(crate) async fn receive(stream: &mut ReceiveHalf) -> Result<Option<Body>, LinkError> {
    loop {
        let mut head = [0; LENGTH];
        if !stream.read_exact(&mut head).await? {
            return Ok(None);
        }
        // At most 1 MiB: see the protocol.
        let mut bytes = vec![0; frame::length(head).map_err(LinkError::Frame)?];
        if !bytes.is_empty() && !stream.read_exact(&mut bytes).await? {
            return Err(LinkError::Stream("it ended in the middle of a frame".to_owned()));
        }
        if let Some(body) = frame::decode(&bytes).map_err(LinkError::Frame)? {
            return Ok(Some(body));
        }
    }
}
