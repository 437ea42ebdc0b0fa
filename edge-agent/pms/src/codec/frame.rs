//! Cuts a byte stream into frames: STX, body, ETX (FIAS 2.20, data transmission on TCP).

const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// The longest body that is taken. The specification's longest record has 2,000 characters, of up to four bytes.
pub const MAX_RECORD_BYTES: usize = 8_192;

/// What the framer found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEvent {
    /// The bytes between STX and ETX.
    Body(Vec<u8>),
    /// A frame that was never closed, or is longer than [`MAX_RECORD_BYTES`]; dropped.
    Torn,
}

/// Finds frames in a stream that comes in pieces of any size. What stands between frames is noise and dropped.
#[derive(Debug, Default)]
pub struct Framer {
    /// The body so far; bounded by [`MAX_RECORD_BYTES`].
    body: Vec<u8>,
    inside: bool,
}

impl Framer {
    /// A framer that waits for its first STX.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `bytes` and hands every event to `found`, in order.
    pub fn push(&mut self, bytes: &[u8], mut found: impl FnMut(FrameEvent)) {
        for &byte in bytes {
            match (byte, self.inside) {
                (STX, torn) => {
                    if torn {
                        found(FrameEvent::Torn);
                    }
                    self.body.clear();
                    self.inside = true;
                }
                (ETX, true) => {
                    self.inside = false;
                    found(FrameEvent::Body(std::mem::take(&mut self.body)));
                }
                (_, true) if self.body.len() >= MAX_RECORD_BYTES => {
                    self.inside = false;
                    self.body.clear();
                    found(FrameEvent::Torn);
                }
                (byte, true) => self.body.push(byte),
                (_, false) => {}
            }
        }
    }
}

/// Puts a body between STX and ETX.
pub(crate) fn enclose(body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(body.len() + 2);
    frame.push(STX);
    frame.extend_from_slice(body);
    frame.push(ETX);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(pieces: &[&[u8]]) -> Vec<FrameEvent> {
        let (mut framer, mut found) = (Framer::new(), vec![]);
        for piece in pieces {
            framer.push(piece, |event| found.push(event));
        }
        found
    }

    fn body(text: &str) -> FrameEvent {
        FrameEvent::Body(text.as_bytes().to_vec())
    }

    #[test]
    fn frames_table() {
        let torn = FrameEvent::Torn;
        for (name, pieces, want) in [
            ("two in one read", vec![&b"\x02LS|\x03\x02LA|\x03"[..]], vec![body("LS|"), body("LA|")]),
            ("one in three reads", vec![&b"\x02L"[..], b"S", b"|\x03"], vec![body("LS|")]),
            ("line ends between", vec![&b"\x02LS|\x03\r\n\x02LA|\x03"[..]], vec![body("LS|"), body("LA|")]),
            ("never closed", vec![&b"\x02GI|RN1\x02LA|\x03"[..]], vec![torn, body("LA|")]),
            ("closed twice", vec![&b"\x02LS|\x03\x03"[..]], vec![body("LS|")]),
        ] {
            assert_eq!(events(&pieces), want, "{name}");
        }
    }

    #[test]
    fn an_endless_record_is_dropped_and_the_next_one_taken() {
        let long = vec![b'x'; 3 * MAX_RECORD_BYTES];
        assert_eq!(events(&[b"\x02", &long, b"\x02LA|\x03"]), [FrameEvent::Torn, body("LA|")]);
    }

    #[test]
    fn the_longest_body_is_taken_and_one_byte_more_is_torn_at_once() {
        let longest = vec![b'x'; MAX_RECORD_BYTES];
        assert_eq!(events(&[b"\x02", &longest, b"\x03"]), [FrameEvent::Body(longest.clone())]);
        assert_eq!(
            events(&[b"\x02", &longest, b"x"]),
            [FrameEvent::Torn],
            "it is not kept until something ends it"
        );
        assert_eq!(events(&[b"\x02", &longest, b"xxx\x03\x02LA|\x03"]), [FrameEvent::Torn, body("LA|")]);
    }

    proptest! {
        #[test]
        fn a_good_frame_is_found_after_any_noise(noise in proptest::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
            let mut stream = noise.clone();
            stream.extend(enclose(b"GI|RN101|"));
            let cut = cut.min(stream.len());
            let found = events(&[&stream[..cut], &stream[cut..]]);
            prop_assert_eq!(found.last(), Some(&body("GI|RN101|")));
        }
    }
}
