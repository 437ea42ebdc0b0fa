//! The frames on the wire: protobuf messages behind a length of four bytes, big-endian.
//!
//! Rules that keep old and new releases talking: a tag is never used again for something else; a field that is not
//! known is passed over; a frame that is not known ([`Frame::body`] is `None`) is passed over too. [`VERSION`] changes
//! only when that is not enough, and the cloud then speaks the highest version that both know.

use prost::Message;

/// The newest version that this release speaks: batches in columns with a dictionary and a checksum, credits, pings,
/// gaps that are told.
pub const VERSION: u32 = 2;
/// What release 0.1 spoke.
pub const FIRST_VERSION: u32 = 1;
/// The versions that this release speaks, newest first.
pub const VERSIONS: [u32; 2] = [VERSION, FIRST_VERSION];
/// The largest frame, bytes without its length.
pub const MAX_FRAME: usize = 1 << 20;
/// Bytes of a frame's length.
pub const LENGTH: usize = 4;

/// What travels on a stream.
#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    /// The frame; `None` for one that a newer release sent and this one does not know.
    #[prost(
        oneof = "Body",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 23, 24, 25, 26, 27, 28, 40, 60, 61, 70, 71, 72, 73"
    )]
    pub body: Option<Body>,
}

/// The frames.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// Edge: the first frame of the control stream.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Cloud: the answer, where the gateway may talk.
    #[prost(message, tag = "2")]
    Welcome(Welcome),
    /// Cloud: the answer, where it may not.
    #[prost(message, tag = "3")]
    Refused(Refused),
    /// Edge: the first frame of a lane's stream.
    #[prost(message, tag = "4")]
    Lane(Lane),
    /// Edge: rows of the stream's lane.
    #[prost(message, tag = "5")]
    Rows(Rows),
    /// Cloud: how far the stream's lane is durable.
    #[prost(message, tag = "6")]
    Ack(Ack),
    /// Cloud: a batch began after a hole; everything after the mark is wanted again.
    #[prost(message, tag = "7")]
    Gap(Ack),
    /// Cloud: commands, on the control stream.
    #[prost(message, tag = "8")]
    Commands(Rows),
    /// Edge: how far the commands are durable.
    #[prost(message, tag = "9")]
    CommandsAck(Ack),
    /// A new gateway asks for its certificate.
    #[prost(message, tag = "10")]
    Enrol(Enrol),
    /// Its certificate.
    #[prost(message, tag = "11")]
    Enrolled(Enrolled),
    /// Cloud: how much of the stream's lane may be sent, and when. Since version 2.
    #[prost(message, tag = "12")]
    Credit(Credit),
    /// Either end, on the control stream: are you there? Since version 2.
    #[prost(message, tag = "13")]
    Ping(Ping),
    /// The answer, with the ping's number. Since version 2.
    #[prost(message, tag = "14")]
    Pong(Ping),
    /// Edge: rows of the stream's lane that are gone for good. Acknowledged like rows. Since version 2.
    #[prost(message, tag = "15")]
    Skip(Skip),
    /// Edge: before the hello, its turn: see [`crate::trust`].
    #[prost(message, tag = "20")]
    Turn(crate::trust::Turn),
    /// Cloud: before the welcome, the number of the turn that it has noted.
    #[prost(message, tag = "21")]
    TurnTaken(crate::trust::TurnTaken),
    /// Edge: instead of a hello, to a cloud of another region: where is mine?
    #[prost(message, tag = "22")]
    WhereTo(crate::trust::Nothing),
    /// Cloud: the regions and their addresses, signed by the authority.
    #[prost(message, tag = "23")]
    Regions(crate::trust::Regions),
    /// Edge, on a connection for renewal: how does my certificate stand?
    #[prost(message, tag = "24")]
    Ask(crate::trust::Nothing),
    /// Cloud: so.
    #[prost(message, tag = "25")]
    Standing(crate::trust::Standing),
    /// Edge: a certificate for a new key; the answer is `Enrolled` or `Refused`.
    #[prost(message, tag = "26")]
    Renew(crate::trust::Renew),
    /// Edge, on a connection with its new certificate: it works.
    #[prost(message, tag = "27")]
    Prove(crate::trust::Nothing),
    /// Cloud: noted; the old certificate may go.
    #[prost(message, tag = "28")]
    Proven(crate::trust::Nothing),
    /// Edge, on a stream of its own, where the welcome says that the cloud takes them: live values. See [`crate::live`].
    #[prost(message, tag = "40")]
    Live(crate::live::Live),
    /// Edge, on a connection for renewal: how do you stand to my journal?
    #[prost(message, tag = "60")]
    AskSync(crate::reconcile::AskSync),
    /// Cloud: so.
    #[prost(message, tag = "61")]
    SyncStanding(crate::reconcile::SyncStanding),
    /// Edge, on a stream of its own, where the welcome says that the cloud answers: what should I run? See [`crate::update`].
    #[prost(message, tag = "70")]
    UpdateAsk(crate::update::UpdateAsk),
    /// Cloud: that.
    #[prost(message, tag = "71")]
    UpdateTold(crate::update::UpdateTold),
    /// Edge, on the same stream: bytes of a file of the repository of releases.
    #[prost(message, tag = "72")]
    FetchAsk(crate::update::FetchAsk),
    /// Cloud: they.
    #[prost(message, tag = "73")]
    FetchPiece(crate::update::FetchPiece),
}

/// Who speaks is told by the certificate, never here.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// The versions of the protocol that the edge speaks.
    #[prost(uint32, repeated, tag = "1")]
    pub versions: Vec<u32>,
    /// The id of its journal's life.
    #[prost(fixed64, tag = "2")]
    pub epoch: u64,
    /// How far its lanes are written.
    #[prost(message, repeated, tag = "3")]
    pub heads: Vec<Mark>,
    /// How far the cloud's commands are durable there.
    #[prost(uint64, tag = "4")]
    pub inbox: u64,
    /// The agent's release, for people.
    #[prost(string, tag = "5")]
    pub release: String,
    /// The dictionaries that the edge can compress with: see [`crate::dictionary`]. Since version 2.
    #[prost(uint32, repeated, tag = "12")]
    pub dictionaries: Vec<u32>,
    /// The life of its journal before this one, where its rows were carried over: how far does the cloud have that?
    /// Since version 2.
    #[prost(fixed64, optional, tag = "13")]
    pub previous: Option<u64>,
}

/// A lane and a sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Mark {
    /// The lane.
    #[prost(uint32, tag = "1")]
    pub lane: u32,
    /// The number.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

/// The gateway may talk.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    /// The version that is spoken from now on.
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// What the cloud holds of this epoch.
    #[prost(message, repeated, tag = "2")]
    pub marks: Vec<Mark>,
    /// What each lane may send before it hears of more, bytes of frames. Since version 2.
    #[prost(uint64, tag = "12")]
    pub credit: u64,
    /// The dictionary for batches; 0: none. Since version 2.
    #[prost(uint32, tag = "13")]
    pub dictionary: u32,
    /// What the cloud holds of the life before, where the hello names one. Since version 2.
    #[prost(message, repeated, tag = "14")]
    pub previous: Vec<Mark>,
    /// Whether the cloud takes live values. Since version 2.
    #[prost(bool, tag = "40")]
    pub live: bool,
    /// Whether the cloud answers questions about updates. Since version 2.
    #[prost(bool, tag = "70")]
    pub updates: bool,
}

/// The gateway may not talk, or not now.
#[derive(Clone, PartialEq, Message)]
pub struct Refused {
    /// Why, in plain words.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// When it may try again, seconds; 0: it may use its own judgement.
    #[prost(uint32, tag = "2")]
    pub retry_after_s: u32,
    /// The same for programs: see [`Why`]. Since version 2.
    #[prost(enumeration = "Why", tag = "12")]
    pub why: i32,
}

/// Why a gateway may not talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Why {
    /// Not said, or a reason of a newer release.
    Unknown = 0,
    /// It is not enrolled here, or was revoked.
    NotAdmitted = 1,
    /// The cloud has more of its epoch than it has itself: its disk was restored or cloned.
    Behind = 2,
    /// Something at the cloud does not answer just now.
    Unavailable = 3,
    /// Another box talks with the same identity.
    Twin = 4,
    /// No version of the protocol in common.
    Version = 5,
}

/// The lane that a stream carries.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Lane {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub lane: u32,
}

/// A batch: see [`crate::batch`].
#[derive(Clone, PartialEq, Message)]
pub struct Rows {
    /// The rows, compressed as a whole.
    #[prost(bytes = "bytes", tag = "1")]
    pub zstd: bytes::Bytes,
    /// Bytes before compression.
    #[prost(uint32, tag = "2")]
    pub plain_length: u32,
    /// The dictionary that it was compressed with; 0: none. Since version 2.
    #[prost(uint32, tag = "12")]
    pub dictionary: u32,
    /// CRC-32C of the bytes before compression. Since version 2, whose rows are in columns.
    #[prost(fixed32, optional, tag = "13")]
    pub crc32c: Option<u32>,
}

/// How much of a lane may be sent. The limit only grows; how fast is the cloud's back-pressure.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Credit {
    /// Bytes of frames on this stream since it was opened: a frame may begin below it.
    #[prost(uint64, tag = "1")]
    pub limit: u64,
    /// The lane rests for so long, milliseconds; 0: it goes on.
    #[prost(uint32, tag = "2")]
    pub retry_after_ms: u32,
}

/// A sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Ping {
    /// Its number, which comes back.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// Rows that are gone.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Skip {
    /// The first.
    #[prost(uint64, tag = "1")]
    pub from: u64,
    /// The last.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// Why, in plain words.
    #[prost(string, tag = "3")]
    pub reason: String,
}

/// A mark of the stream's lane.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Ack {
    /// Durable up to here.
    #[prost(uint64, tag = "1")]
    pub mark: u64,
}

/// A new gateway asks for its certificate.
#[derive(Clone, PartialEq, Message)]
pub struct Enrol {
    /// The claim's secret.
    #[prost(string, tag = "1")]
    pub secret: String,
    /// The certificate request, PEM. Only its key counts.
    #[prost(string, tag = "2")]
    pub csr_pem: String,
    /// The property that the gateway is meant for; empty: whatever the claim says.
    #[prost(string, tag = "3")]
    pub property: String,
}

/// The certificate of a new gateway.
#[derive(Clone, PartialEq, Message)]
pub struct Enrolled {
    /// The gateway's name.
    #[prost(string, tag = "1")]
    pub gateway: String,
    /// Its certificate, PEM.
    #[prost(string, tag = "2")]
    pub certificate_pem: String,
    /// The authority that signed it, PEM.
    #[prost(string, tag = "3")]
    pub ca_pem: String,
    /// The property that it has joined; empty where an older cloud does not say.
    #[prost(string, tag = "4")]
    pub property: String,
}

/// A frame that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than anything that this protocol sends.
    #[error("a frame of {0} bytes; the most is {MAX_FRAME}")]
    TooLong(usize),
    /// Not protobuf.
    #[error("a frame that is not one of this protocol")]
    Malformed(#[source] prost::DecodeError),
}

/// How long the frame is as it goes out, with its length, bytes: what credits count.
pub fn size(body: &Body) -> u64 {
    // A usize is never wider than 64 bits here.
    (LENGTH + body.encoded_len()) as u64
}

/// The frame as it goes out, with its length.
pub fn encode(body: Body) -> Vec<u8> {
    let frame = Frame { body: Some(body) };
    let length = frame.encoded_len();
    let mut out = Vec::with_capacity(LENGTH + length);
    // A frame is built from bounded parts, far below 4 GiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&frame.encode_to_vec());
    out
}

/// The length of the frame that begins with these bytes.
///
/// # Errors
/// It is longer than [`MAX_FRAME`].
pub fn length(head: [u8; LENGTH]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(head) as usize;
    if length > MAX_FRAME { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// The frame in `bytes`, without its length. `None` for one that this release does not know.
///
/// # Errors
/// It is not protobuf, or not of this protocol.
pub fn decode(bytes: &[u8]) -> Result<Option<Body>, FrameError> {
    Frame::decode(bytes).map(|frame| frame.body).map_err(FrameError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_comes_back_as_it_went() {
        let marks = vec![Mark { lane: 3, seq: 17 }];
        let body = Body::Welcome(Welcome {
            version: 1,
            marks,
            credit: 5,
            dictionary: 0,
            previous: vec![],
            live: true,
            updates: true,
        });
        let bytes = encode(body.clone());
        let (head, rest) = bytes.split_first_chunk().unwrap();
        assert_eq!(length(*head).unwrap(), rest.len());
        assert_eq!(decode(rest).unwrap(), Some(body));
    }

    #[test]
    fn bytes_of_a_stored_hello_stay_readable() {
        // As release 0.1 wrote it: versions [1], epoch 7, head of lane 3 at 5, inbox 2, release "0.1.0".
        let hello = [
            0x0a, 0x1d, 0x0a, 0x01, 0x01, 0x11, 7, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x04, 0x08, 0x03, 0x10, 0x05,
            0x20, 0x02, 0x2a, 0x05, b'0', b'.', b'1', b'.', b'0',
        ];
        let mut hello = hello.to_vec();
        hello[1] = u8::try_from(hello.len() - 2).unwrap();
        let want = Hello {
            versions: vec![1],
            epoch: 7,
            heads: vec![Mark { lane: 3, seq: 5 }],
            inbox: 2,
            release: "0.1.0".into(),
            dictionaries: vec![],
            previous: None,
        };
        assert_eq!(decode(&hello).unwrap(), Some(Body::Hello(want)));
    }

    #[test]
    fn what_a_newer_release_adds_is_passed_over() {
        // An unknown frame (tag 99), and a Lane with an unknown field (tag 9).
        assert_eq!(decode(&[0x9a, 0x06, 0x00]).unwrap(), None);
        assert_eq!(
            decode(&[0x22, 0x04, 0x08, 0x02, 0x48, 0x01]).unwrap(),
            Some(Body::Lane(Lane { lane: 2 }))
        );
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused() {
        assert!(length(u32::MAX.to_be_bytes()).is_err());
        assert!(length([0, 0x10, 0, 0]).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
