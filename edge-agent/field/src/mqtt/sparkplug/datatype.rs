//! Types of metrics, and values of the house in them.
//!
//! Why types can widen: a profile does not say what kind of value a point has; the first value shows it. Where later
//! ones do not fit, the metric gets a type that holds both and is born again, at most twice in its life: boolean or
//! whole number, then number, then text.
//!
//! Never: loses a value because its type is another than expected.

use super::payload::MetricValue;
use engawa_model::Value;

/// The types of Sparkplug B that the house's metrics have. The numbers are those on the wire (section 6.4.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum DataType {
    /// Signed, 32 bits: only in properties.
    Int32 = 3,
    /// Signed, 64 bits.
    Int64 = 4,
    /// IEEE 754, 64 bits.
    Double = 10,
    /// True or false.
    Boolean = 11,
    /// UTF-8.
    String = 12,
}

/// Whole numbers up to this are exact in a double.
const EXACT: i64 = 1 << 53;

impl DataType {
    /// The number on the wire.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// The type that `value` has by itself.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Boolean,
            Value::Int(_) => Self::Int64,
            Value::Float(_) => Self::Double,
            Value::Text(_) => Self::String,
        }
    }

    /// True where `value` can be told in this type as what it is.
    pub fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Double, Value::Int(i)) => (-EXACT..=EXACT).contains(i),
            (Self::String, _) => true,
            _ => self == Self::of(value),
        }
    }

    /// The narrowest type that holds what this one holds, and `value`.
    pub fn widened(self, value: &Value) -> Self {
        match (self, value) {
            _ if self.holds(value) => self,
            (Self::Int64, Value::Float(_)) => Self::Double,
            _ => Self::String,
        }
    }

    /// `value` in this type; `None` where [`DataType::holds`] says no.
    pub fn encode(self, value: &Value) -> Option<MetricValue> {
        if !self.holds(value) {
            return None;
        }
        Some(match (self, value) {
            (Self::String, value) => MetricValue::String(value.to_string()),
            (_, Value::Bool(on)) => MetricValue::Boolean(*on),
            #[allow(clippy::cast_precision_loss, reason = "only exact ones are held")]
            (Self::Double, Value::Int(i)) => MetricValue::Double(*i as f64),
            // Two's complement, as the specification has it (section 6.4.17).
            (_, Value::Int(i)) => MetricValue::Long(i.cast_unsigned()),
            (_, Value::Float(x)) => MetricValue::Double(*x),
            (_, Value::Text(text)) => MetricValue::String(text.clone()),
        })
    }

    /// What a host wants written, read in this type. `stated` is the type that the command itself names, if any.
    ///
    /// # Errors
    /// A value that is not compatible, in words.
    pub fn decode(self, value: &MetricValue, stated: Option<u32>) -> Result<Value, String> {
        let read = match (self, value) {
            (Self::Boolean, MetricValue::Boolean(on)) => Some(Value::Bool(*on)),
            (Self::Boolean, MetricValue::Int(bit @ 0..=1)) => Some(Value::Bool(*bit == 1)),
            (Self::Int64 | Self::Int32, _) => whole(value, stated).map(Value::Int),
            (Self::Double, MetricValue::Double(x)) => Some(Value::Float(*x)),
            // The shortest decimal that is this float: 22.1, not 22.10000038.
            (Self::Double, MetricValue::Float(x)) => x.to_string().parse().ok().map(Value::Float),
            #[allow(clippy::cast_precision_loss, reason = "a set point is far below 2^53")]
            (Self::Double, _) => whole(value, stated).map(|whole| Value::Float(whole as f64)),
            (Self::String, MetricValue::String(text)) => Some(Value::Text(text.clone())),
            _ => None,
        };
        match read {
            Some(Value::Float(x)) if !x.is_finite() => Err("the value must be a finite number".to_owned()),
            Some(value) => Ok(value),
            None => Err(format!("the value does not fit: the metric is of type {self:?}")),
        }
    }
}

/// A whole number. Where the command names no type, 32 bits are taken as signed, which the metric's own type is.
fn whole(value: &MetricValue, stated: Option<u32>) -> Option<i64> {
    match value {
        // UInt8, UInt16, UInt32, UInt64.
        MetricValue::Int(bits) if matches!(stated, Some(5..=8)) => Some(i64::from(*bits)),
        MetricValue::Int(bits) => Some(i64::from(bits.cast_signed())),
        MetricValue::Long(bits) if stated == Some(8) => i64::try_from(*bits).ok(),
        MetricValue::Long(bits) => Some(bits.cast_signed()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_widens_until_it_holds_everything() {
        let (whole, number, text, on) =
            (Value::Int(-3), Value::Float(0.5), Value::Text("auto".to_owned()), Value::Bool(true));
        for (from, value, to) in [
            (DataType::Int64, &whole, DataType::Int64),
            (DataType::Int64, &number, DataType::Double),
            (DataType::Double, &whole, DataType::Double),
            (DataType::Double, &Value::Int(i64::MAX), DataType::String),
            (DataType::Boolean, &on, DataType::Boolean),
            (DataType::Boolean, &whole, DataType::String),
            (DataType::Double, &text, DataType::String),
            (DataType::String, &number, DataType::String),
        ] {
            assert_eq!(from.widened(value), to, "{from:?} and {value}");
            assert!(to.encode(value).is_some(), "{from:?} and {value}");
        }
        assert_eq!(DataType::Int64.encode(&whole), Some(MetricValue::Long(u64::MAX - 2)));
        assert_eq!(DataType::Double.encode(&whole), Some(MetricValue::Double(-3.0)));
        assert_eq!(DataType::String.encode(&number), Some(MetricValue::String("0.5".to_owned())));
    }

    #[test]
    fn a_command_is_read_in_the_type_of_its_metric() {
        for (datatype, value, stated, read) in [
            (DataType::Double, MetricValue::Double(22.5), None, Some(Value::Float(22.5))),
            (DataType::Double, MetricValue::Float(22.1), Some(9), Some(Value::Float(22.1))),
            (DataType::Double, MetricValue::Int(21), Some(3), Some(Value::Float(21.0))),
            (DataType::Double, MetricValue::Double(f64::NAN), None, None),
            (DataType::Double, MetricValue::Float(f32::INFINITY), None, None),
            (DataType::Double, MetricValue::String("22".to_owned()), None, None),
            (DataType::Int64, MetricValue::Int(u32::MAX), None, Some(Value::Int(-1))),
            (DataType::Int64, MetricValue::Int(u32::MAX), Some(7), Some(Value::Int(4_294_967_295))),
            (DataType::Int64, MetricValue::Long(u64::MAX), Some(4), Some(Value::Int(-1))),
            (DataType::Int64, MetricValue::Long(u64::MAX), Some(8), None),
            (DataType::Boolean, MetricValue::Boolean(true), Some(11), Some(Value::Bool(true))),
            (DataType::Boolean, MetricValue::Int(2), None, None),
            (
                DataType::String,
                MetricValue::String("auto".to_owned()),
                None,
                Some(Value::Text("auto".to_owned())),
            ),
            (DataType::String, MetricValue::Bytes(vec![1]), None, None),
        ] {
            assert_eq!(datatype.decode(&value, stated).ok(), read, "{value:?} as {datatype:?}");
        }
    }
}
