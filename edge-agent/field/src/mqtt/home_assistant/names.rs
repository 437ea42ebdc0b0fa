//! Names: ids that Home Assistant takes in topics, ids that stay the same for good, and texts for people.
//!
//! Why an escaping of its own: a discovery topic takes letters, digits, `-` and `_` only, and two devices must never
//! come to one id. So `_` begins an escape, and what is escaped can't collide.
//!
//! Never: anything that changes with the state of the house.

use crate::mqtt::topic::escape;
use engawa_model::{DeviceId, LinkId, PropertyId};

/// `name` as a part of a discovery topic: letters, digits and `-` stay, `_` is doubled, everything else becomes `_XX`
/// (hexadecimal of its UTF-8 bytes, in lower case).
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'_' => slug.push_str("__"),
            byte if byte.is_ascii_alphanumeric() || byte == b'-' => slug.push(char::from(byte)),
            byte => slug.push_str(&format!("_{byte:02x}")),
        }
    }
    slug
}

/// The house, as one of Home Assistant's devices.
pub(super) fn gateway(property: &PropertyId) -> String {
    format!("engawa/{}", escape(property.as_str()))
}

/// A device, as one of Home Assistant's.
pub(super) fn device(property: &PropertyId, device: &DeviceId) -> String {
    format!("{}/{}", gateway(property), escape(device.as_str()))
}

/// The unique id of a point's entity. Home Assistant keeps names and rooms that people gave under it, so it must not
/// change between releases.
pub(super) fn point(property: &PropertyId, of: &DeviceId, point: &str) -> String {
    format!("{}/point/{}", device(property, of), escape(point))
}

/// The unique id of the thermostat around a set point.
pub(super) fn climate(property: &PropertyId, of: &DeviceId, setpoint: &str) -> String {
    format!("{}/climate/{}", device(property, of), escape(setpoint))
}

/// The unique id of a link's entity.
pub(super) fn link(property: &PropertyId, link: &LinkId) -> String {
    format!("{}/link/{}", gateway(property), escape(link.as_str()))
}

/// A name for people: `room-temperature` becomes `Room temperature`.
pub(super) fn for_people(name: &str) -> String {
    let words: Vec<&str> = name.split(['-', '_', '/', '.', ' ']).filter(|word| !word.is_empty()).collect();
    let words = words.join(" ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_made_fit() {
        for (name, slugged) in
            [("t-1", "t-1"), ("t_1", "t__1"), ("101/a", "101_2fa"), ("é", "_c3_a9"), ("", "")]
        {
            assert_eq!(slug(name), slugged);
        }
        for (name, shown) in
            [("room-temperature", "Room temperature"), ("co2", "Co2"), ("é_b", "É b"), ("-", "-")]
        {
            assert_eq!(for_people(name), shown);
        }
        assert_eq!(point(&"h".into(), &"t/1".into(), "a/b"), "engawa/h/t%2F1/point/a%2Fb");
    }

    proptest! {
        #[test]
        fn no_two_names_have_one_slug(a in any::<String>(), b in any::<String>()) {
            let fits = slug(&a).bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            prop_assert!(fits);
            prop_assert_eq!(a == b, slug(&a) == slug(&b));
        }

        #[test]
        fn near_names_have_different_slugs(a in "[_a0-9/ -]{0,6}", b in "[_a0-9/ -]{0,6}") {
            prop_assert_eq!(a == b, slug(&a) == slug(&b));
        }
    }
}
