//! Canonical JSON as TUF signs it (OLPC's; TUF specification 1.0.33, 4.2.1): keys sorted by their bytes, no white space,
//! only `"` and `\` escaped, whole numbers only, and strings left as they are.
//!
//! A module of our own, for the crate for it normalises strings to NFC, which the reference implementation does not: a
//! name in another form would then verify here and not there.

use serde_json::Value;

/// A document that canonical JSON has no form for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not a whole one between -2^63 and 2^64: canonical JSON has no others")]
pub struct NotCanonical(pub String);

/// The bytes of `value` that are signed and hashed.
///
/// # Errors
/// A number with a fraction or an exponent is in it.
pub fn encode(value: &Value) -> Result<Vec<u8>, NotCanonical> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

// As deep as the parser lets documents nest (128).
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(number) => return Err(NotCanonical(number.to_string())),
        Value::String(text) => string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(map) => {
            // Sorted here: whether the map is sorted depends on a feature that any crate of the build may switch on.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| name.as_bytes());
            out.push(b'{');
            for (at, (name, item)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                string(name, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sorted_bare_and_hardly_escaped() {
        let value = json!({"b": [1, -2, true, null], "a": "q\"\\\n\u{e9}", "A": {}});
        let expected = "{\"A\":{},\"a\":\"q\\\"\\\\\n\u{e9}\",\"b\":[1,-2,true,null]}";
        assert_eq!(String::from_utf8(encode(&value).unwrap()).unwrap(), expected);
    }

    #[test]
    fn strings_keep_their_form() {
        // e with a combining accent: NFC would make another string of it.
        assert_eq!(encode(&json!("e\u{301}")).unwrap(), "\"e\u{301}\"".as_bytes());
    }

    #[test]
    fn fractions_have_no_form() {
        assert_eq!(encode(&json!({"a": 1.5})), Err(NotCanonical("1.5".to_owned())));
    }
}
