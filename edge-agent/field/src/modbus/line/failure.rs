//! Why there is no answer, in words for the people who have to mend it.
//!
//! Never: what follows from it. Whether a device is sick is judged elsewhere.

use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    NoConnection(String),
    /// Nothing came in time.
    Silent(Duration),
    /// Nothing came in time but answers to requests that had been given up.
    Late(Duration),
    /// Bytes came, and no whole answer in time.
    Half(usize, Duration),
    /// The connection broke before the answer.
    Broken(String),
    /// Something came that is no answer.
    Garbage(String),
    /// An answer whose check sum is wrong.
    Crc,
    /// So long went by between the look at the line and the request that an old answer could be taken for the new one.
    HeldUp(Duration),
    /// The device refused, with this code.
    Exception(u8),
}

impl Failure {
    /// True for what noise or a moment's load does, and that may be over at once.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Late(_) | Self::Half(..) | Self::Garbage(_) | Self::Crc)
            || matches!(self, Self::HeldUp(_) | Self::Exception(6))
    }

    /// In plain words; `what` is what was asked.
    pub(crate) fn in_words(&self, what: &str) -> String {
        match self {
            Self::NoConnection(why) => why.clone(),
            Self::Silent(time) => format!("no answer within {} ms", time.as_millis()),
            Self::Late(time) => format!(
                "no answer within {} ms; what came were answers to earlier requests: it is too slow, or answers \
                 one request behind",
                time.as_millis()
            ),
            Self::Half(bytes, time) => format!(
                "garbage: {bytes} bytes that are no whole answer, then nothing within {} ms",
                time.as_millis()
            ),
            Self::Broken(why) => format!("the connection broke before the answer: {why}"),
            Self::Garbage(why) => format!("garbage: {why}"),
            Self::HeldUp(time) => format!(
                "this machine was held up for {} ms while it asked: the answer could be an older one, and was not taken",
                time.as_millis()
            ),
            Self::Crc => {
                "garbage: an answer with a wrong check sum (noise on the line, or another speed or parity)"
                    .to_owned()
            }
            Self::Exception(code) => format!("answers exception {code} ({}) to {what}", exception(*code)),
        }
    }
}

/// Exception codes in words (Modbus application protocol V1.1b3, section 7).
pub(crate) fn exception(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledge",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "the gateway's device does not answer",
        _ => "not in the specification",
    }
}

/// The beginning of a text: whole frames are of no use in a reason.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
