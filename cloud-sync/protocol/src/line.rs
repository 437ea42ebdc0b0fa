//! The frames with which the two ends of a TCP connection keep it, on a stream of their own: QUIC brings all of this
//! with it. Tags 30 to 39 are the line's, so that a frame which strays onto another stream is passed over there.

use prost::Message;

/// The most bytes that a reason may have; what is longer is cut.
pub const MOST_WORDS: usize = 512;
/// The longest frame of the line, bytes without its length.
pub const MOST_LINE_FRAME: usize = 1024;

/// What travels on the line's own stream.
#[derive(Clone, PartialEq, Message)]
pub struct LineFrame {
    /// The frame; `None` for one that a newer release sent.
    #[prost(oneof = "LineBody", tags = "30, 31, 32")]
    pub body: Option<LineBody>,
}

/// The frames.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum LineBody {
    /// Either end: are you there?
    #[prost(message, tag = "30")]
    Ping(Beat),
    /// The answer, with the same number.
    #[prost(message, tag = "31")]
    Pong(Beat),
    /// Either end: this is the last frame, and why.
    #[prost(message, tag = "32")]
    Closing(Closing),
}

/// A beat of the heart.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Beat {
    /// Its number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// Why the connection ends: what QUIC's CONNECTION_CLOSE says (RFC 9000, section 19.19).
#[derive(Clone, PartialEq, Message)]
pub struct Closing {
    /// The application's code.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// In plain words.
    #[prost(string, tag = "2")]
    pub words: String,
}

/// A reason of at most [`MOST_WORDS`] bytes, cut between characters.
pub fn closing(code: u32, words: &str) -> LineBody {
    LineBody::Closing(Closing { code, words: words[..words.floor_char_boundary(MOST_WORDS)].to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters_and_fits_a_frame() {
        let LineBody::Closing(cut) = closing(1, &"ä".repeat(600)) else { unreachable!() };
        assert_eq!(cut.words.chars().count(), MOST_WORDS / 2);
        let frame = LineFrame { body: Some(LineBody::Closing(cut)) };
        assert!(frame.encoded_len() <= MOST_LINE_FRAME);
        // On another stream it is a frame that nobody knows, and is passed over.
        assert_eq!(crate::frame::decode(&frame.encode_to_vec()).unwrap(), None);
    }
}
