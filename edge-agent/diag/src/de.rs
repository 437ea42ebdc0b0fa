//! A serde deserializer over [`Node`]s whose errors know where they happened and what was expected.
//!
//! Why not the TOML crate's own: its errors are text, and it can't be given a value in the place of a
//! faulty one, which is what makes all faults visible at once.

use crate::doc::{Entry, Kind, Node};
use crate::hole::Hole;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// Why a type can't be read from a document.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) kind: ErrorKind,
    /// Positions of entries and elements from the innermost outwards.
    pub(crate) path: Vec<usize>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum ErrorKind {
    Missing(String),
    Unknown {
        field: String,
        expected: Vec<&'static str>,
    },
    Variant {
        found: String,
        expected: Vec<&'static str>,
    },
    /// Both as serde words them: `string "5"`, `u8`.
    Type {
        found: String,
        expected: String,
    },
    Custom(String),
}

impl Error {
    fn new(kind: ErrorKind) -> Self {
        Self { kind, path: Vec::new() }
    }

    fn under(mut self, position: usize) -> Self {
        self.path.push(position);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        // Flattened structs word an unknown field themselves, without its list of known ones.
        let flat = text.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`'));
        Self::new(match flat {
            Some(field) => ErrorKind::Unknown { field: field.to_owned(), expected: Vec::new() },
            None => ErrorKind::Custom(text),
        })
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(ErrorKind::Type { found: found.to_string(), expected: expected.to_string() })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::Variant { found: found.to_owned(), expected: expected.to_vec() })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::Unknown { field: field.to_owned(), expected: expected.to_vec() })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ErrorKind::Missing(field.to_owned()))
    }
}

impl Node {
    /// What serde calls this value, to find it again by an error's words.
    pub(crate) fn unexpected(&self) -> Unexpected<'_> {
        match &self.kind {
            Kind::Str(text) | Kind::Datetime(text) => Unexpected::Str(text),
            Kind::Int(int) => match i64::try_from(*int) {
                Ok(int) => Unexpected::Signed(int),
                Err(_) => Unexpected::Other("a very large integer"),
            },
            Kind::Float(float) => Unexpected::Float(*float),
            Kind::Bool(bool) => Unexpected::Bool(*bool),
            Kind::Array(_) => Unexpected::Seq,
            Kind::Table(_) => Unexpected::Map,
            Kind::Hole(_) => Unexpected::Unit,
        }
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Str(text) | Kind::Datetime(text) => visitor.visit_str(text),
            Kind::Int(int) => match (i64::try_from(*int), u64::try_from(*int)) {
                (Ok(int), _) => visitor.visit_i64(int),
                (_, Ok(int)) => visitor.visit_u64(int),
                _ => visitor.visit_i128(*int),
            },
            Kind::Float(float) => visitor.visit_f64(*float),
            Kind::Bool(bool) => visitor.visit_bool(*bool),
            Kind::Array(nodes) => visitor.visit_seq(Elements { nodes: nodes.iter(), next: 0 }),
            Kind::Table(entries) => visitor.visit_map(Entries { entries, next: 0 }),
            Kind::Hole(guess) => Hole::new(*guess).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Hole(_) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Hole(guess) => Hole::new(*guess).deserialize_struct(name, fields, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Hole(guess) => Hole::new(*guess).deserialize_enum(name, variants, visitor),
            Kind::Str(text) => visitor.visit_enum(Key(text)),
            Kind::Table(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Tagged(entry)),
                _ => Err(de::Error::custom(format!(
                    "expected exactly one of {}",
                    variants.iter().map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(", ")
                ))),
            },
            _ => Err(de::Error::invalid_type(self.unexpected(), &"a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    // Where the type says what it wants, a hole can guess better than in `deserialize_any`.
    crate::hole::typed! {
        deserialize_bool deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_seq deserialize_map
        deserialize_unit
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Hole(guess) => Hole::new(*guess).deserialize_tuple(len, visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit_struct tuple_struct identifier
    }
}

impl<'de> IntoDeserializer<'de, Error> for &Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Elements<'a> {
    nodes: std::slice::Iter<'a, Node>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        let position = self.next;
        self.next += 1;
        seed.deserialize(node).map(Some).map_err(|error| error.under(position))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.nodes.len())
    }
}

struct Entries<'a> {
    entries: &'a [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        // An unknown key is an error of the table: `recover` finds the key in it by its name.
        seed.deserialize(Key(&entry.key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let position = self.next;
        self.next += 1;
        match self.entries.get(position) {
            Some(entry) => seed.deserialize(&entry.node).map_err(|error| error.under(position)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// A key of a table, or the name of an enumeration's value.
struct Key<'a>(&'a str);

macro_rules! numeric_keys {
    ($($deserialize:ident $visit:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_str(self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    // TOML's keys are text: where the type wants numbers as keys, they are read from it.
    numeric_keys! {
        deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64
        deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
    }

    forward_to_deserialize_any! {
        bool u128 i128 f32 f64 char str string seq bytes byte_buf map unit ignored_any unit_struct tuple_struct
        tuple struct identifier
    }
}

impl<'de> EnumAccess<'de> for Key<'_> {
    type Error = Error;
    type Variant = NoContent;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, NoContent), Error> {
        Ok((seed.deserialize(self)?, NoContent))
    }
}

/// The content of an enumeration's value that was given by its name alone.
struct NoContent;

impl<'de> VariantAccess<'de> for NoContent {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a list"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        Err(de::Error::invalid_type(Unexpected::UnitVariant, &"a table"))
    }
}

/// A table with one entry: an enumeration's value with its content.
struct Tagged<'a>(&'a Entry);

impl<'a, 'de> EnumAccess<'de> for Tagged<'a> {
    type Error = Error;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Error> {
        Ok((seed.deserialize(Key(&self.0.key))?, Content(&self.0.node)))
    }
}

struct Content<'a>(&'a Node);

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match &self.0.kind {
            Kind::Table(entries) if entries.is_empty() => Ok(()),
            Kind::Hole(_) => Ok(()),
            _ => Err(de::Error::invalid_type(self.0.unexpected(), &"nothing")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.0).map_err(|error| error.under(0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_seq(visitor).map_err(|error| error.under(0))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_struct("", fields, visitor).map_err(|error| error.under(0))
    }
}
