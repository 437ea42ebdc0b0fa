//! The payload on the wire: protobuf messages of `org.eclipse.tahu.protobuf` (Sparkplug 3.0, section 6.4.1), written
//! down by hand so that building needs no protobuf compiler.
//!
//! Only what an edge node says or is told is here. Data sets, templates, metadata and extensions of others are
//! skipped by the decoder, as protobuf does with every field it does not know.
//!
//! Never: panics, whatever the bytes.

use prost::Message;

/// The longest payload that is read, bytes: a command has a few metrics, and the broker is not trusted with more.
pub const MAX_COMMAND: usize = 256 * 1024;

/// A payload.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// When the message was sent, ms since 1970 (UTC).
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// The metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// The number of the message in its session, 0 to 255.
    #[prost(uint64, optional, tag = "3")]
    pub seq: Option<u64>,
    /// Of no use here.
    #[prost(string, optional, tag = "4")]
    pub uuid: Option<String>,
    /// Of no use here.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub body: Option<Vec<u8>>,
}

/// A metric.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// Its name: in births, and in commands of hosts that use no aliases.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its number, given in the birth.
    #[prost(uint64, optional, tag = "2")]
    pub alias: Option<u64>,
    /// When the value was so, ms since 1970 (UTC).
    #[prost(uint64, optional, tag = "3")]
    pub timestamp: Option<u64>,
    /// A [`super::DataType`], in births.
    #[prost(uint32, optional, tag = "4")]
    pub datatype: Option<u32>,
    /// True for a value that was buffered: it does not replace a newer one.
    #[prost(bool, optional, tag = "5")]
    pub is_historical: Option<bool>,
    /// True for a value that is not to be kept.
    #[prost(bool, optional, tag = "6")]
    pub is_transient: Option<bool>,
    /// True where there is no value.
    #[prost(bool, optional, tag = "7")]
    pub is_null: Option<bool>,
    /// Quality, unit, range.
    #[prost(message, optional, tag = "9")]
    pub properties: Option<PropertySet>,
    /// The value.
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15, 16")]
    pub value: Option<MetricValue>,
}

/// The value of a metric.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum MetricValue {
    /// Integers up to 32 bits; signed ones as two's complement.
    #[prost(uint32, tag = "10")]
    Int(u32),
    /// Integers of 64 bits and instants; signed ones as two's complement.
    #[prost(uint64, tag = "11")]
    Long(u64),
    /// Float.
    #[prost(float, tag = "12")]
    Float(f32),
    /// Double.
    #[prost(double, tag = "13")]
    Double(f64),
    /// Boolean.
    #[prost(bool, tag = "14")]
    Boolean(bool),
    /// Texts.
    #[prost(string, tag = "15")]
    String(String),
    /// Bytes and files.
    #[prost(bytes, tag = "16")]
    Bytes(Vec<u8>),
}

/// Properties of a metric: as many keys as values.
#[derive(Clone, PartialEq, Message)]
pub struct PropertySet {
    /// Their names.
    #[prost(string, repeated, tag = "1")]
    pub keys: Vec<String>,
    /// Their values.
    #[prost(message, repeated, tag = "2")]
    pub values: Vec<PropertyValue>,
}

/// The value of a property.
#[derive(Clone, PartialEq, Message)]
pub struct PropertyValue {
    /// A [`super::DataType`].
    #[prost(uint32, optional, tag = "1")]
    pub datatype: Option<u32>,
    /// True where there is no value.
    #[prost(bool, optional, tag = "2")]
    pub is_null: Option<bool>,
    /// The value.
    #[prost(oneof = "PropertyContent", tags = "3, 4, 5, 6, 7, 8")]
    pub value: Option<PropertyContent>,
}

/// What a property holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum PropertyContent {
    /// Integers up to 32 bits.
    #[prost(uint32, tag = "3")]
    Int(u32),
    /// Integers of 64 bits.
    #[prost(uint64, tag = "4")]
    Long(u64),
    /// Float.
    #[prost(float, tag = "5")]
    Float(f32),
    /// Double.
    #[prost(double, tag = "6")]
    Double(f64),
    /// Boolean.
    #[prost(bool, tag = "7")]
    Boolean(bool),
    /// Texts.
    #[prost(string, tag = "8")]
    String(String),
}

/// Why bytes are no payload.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// More than any command needs.
    #[error("the payload has {0} bytes; a command has at most {MAX_COMMAND}")]
    TooLong(usize),
    /// Not protobuf of this schema.
    #[error("the payload is no Sparkplug B protobuf: {0}")]
    Malformed(prost::DecodeError),
}

/// Reads a payload.
///
/// # Errors
/// Too many bytes, or not protobuf of this schema.
pub fn decode(bytes: &[u8]) -> Result<Payload, PayloadError> {
    if bytes.len() > MAX_COMMAND {
        return Err(PayloadError::TooLong(bytes.len()));
    }
    Payload::decode(bytes).map_err(PayloadError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_have_the_tags_of_the_schema() {
        let metric = Metric {
            name: Some("a".to_owned()),
            alias: Some(5),
            timestamp: Some(2),
            datatype: Some(3),
            is_null: None,
            value: Some(MetricValue::Int(u32::MAX)),
            ..Metric::default()
        };
        let payload =
            Payload { timestamp: Some(1), metrics: vec![metric], seq: Some(0), ..Payload::default() };
        let hex: String = payload.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "0801120f0a0161100518022003 50ffffffff0f1800".replace(' ', ""));
        assert_eq!(decode(&payload.encode_to_vec()), Ok(payload));
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        assert_eq!(decode(&vec![0; MAX_COMMAND + 1]), Err(PayloadError::TooLong(MAX_COMMAND + 1)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = decode(&bytes);
        }
    }
}
