//! What stands in for a value that can't be used, so that reading goes on behind it.
//!
//! The type that is read asks for what it wants (a number, a table with these keys, one of these names),
//! and the hole answers with something of that kind. A type may refuse the answer (an empty text is no
//! address): then the next reading tries the next guess. Whatever is built on guesses is thrown away.

use crate::de::Error;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor, value::MapDeserializer, value::SeqDeserializer,
};
use serde::forward_to_deserialize_any;

/// Texts that one or another type accepts.
const TEXTS: [&str; 11] = [
    "",
    "1s",
    "127.0.0.1:1",
    "UTC",
    "EUR",
    "mqtt://localhost:1",
    "/",
    "2000-01-01",
    "0",
    "127.0.0.1",
    "12:00",
];

/// How many guesses are tried in one place.
pub(crate) const MAX_GUESSES: usize = TEXTS.len();

/// How deep guesses nest: a type that contains itself without an end can't be guessed.
const MAX_DEPTH: usize = 24;

/// The stand-in for one value.
#[derive(Clone, Copy)]
pub(crate) struct Hole {
    guess: usize,
    depth: usize,
}

impl Hole {
    pub(crate) fn new(guess: usize) -> Self {
        Self { guess, depth: 0 }
    }

    fn deeper(self) -> Result<Self, Error> {
        if self.depth < MAX_DEPTH {
            Ok(Self { depth: self.depth + 1, ..self })
        } else {
            Err(de::Error::custom("nested too deep"))
        }
    }

    fn text(self) -> &'static str {
        TEXTS.get(self.guess).copied().unwrap_or_default()
    }

    /// 1 first: many numbers must not be zero.
    fn number(self) -> u8 {
        [1, 0, 2, 10, 100].get(self.guess).copied().unwrap_or(1)
    }
}

/// Forwards typed requests of a node to its hole, or to `deserialize_any`.
macro_rules! typed {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self.kind {
                Kind::Hole(guess) => Hole::new(*guess).$name(visitor),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}
pub(crate) use typed;

macro_rules! numbers {
    ($($name:ident)*) => {$(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_u8(self.number())
        }
    )*};
}

impl<'de> Deserializer<'de> for Hole {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.guess {
            1 => visitor.visit_u8(1),
            2 => visitor.visit_bool(false),
            3 => visitor.visit_f64(1.0),
            4 => visitor.visit_seq(SeqDeserializer::new(std::iter::empty::<Self>())),
            5 => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&'static str, Self)>())),
            _ => visitor.visit_str(self.text()),
        }
    }

    numbers! {
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(f64::from(self.number()))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(f64::from(self.number()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.guess % 2 == 1)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self.deeper()?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Empty first; some lists want at least one element.
        visitor.visit_seq(Many { hole: self.deeper()?, left: self.guess % 2 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Many { hole: self.deeper()?, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { hole: self, fields: &[], next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { hole: self.deeper()?, fields, next: 0 })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match variants.get(self.guess).or(variants.first()) {
            Some(&variant) => visitor.visit_enum(Variant { hole: self.deeper()?, variant }),
            None => Err(de::Error::custom("nothing to choose from")),
        }
    }

    forward_to_deserialize_any! { bytes byte_buf unit_struct }
}

impl<'de> IntoDeserializer<'de, Error> for Hole {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Many {
    hole: Hole,
    left: usize,
}

impl<'de> SeqAccess<'de> for Many {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.hole).map(Some)
    }
}

struct Fields {
    hole: Hole,
    fields: &'static [&'static str],
    next: usize,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(field) = self.fields.get(self.next) else { return Ok(None) };
        self.next += 1;
        seed.deserialize((*field).into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.hole)
    }
}

struct Variant {
    hole: Hole,
    variant: &'static str,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(IntoDeserializer::<Error>::into_deserializer(self.variant))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.hole)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.hole.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.hole.deserialize_struct("", fields, visitor)
    }
}
