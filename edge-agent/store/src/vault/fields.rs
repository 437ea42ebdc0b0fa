//! Which fields of the stored documents are personal: they leave a document before it is written, and come back when it
//! is loaded.

use serde_json::Value;
use std::collections::BTreeMap;

/// Whose data a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The document is a stay, under its reservation number.
    Itself,
    /// The document is under the reservation number of its stay.
    Key,
    /// The document names its stay in this field; one that names none has a record of its own.
    Field(&'static str),
}

/// A personal field.
#[derive(Debug)]
pub(crate) struct Field {
    /// A JSON pointer (RFC 6901); its names hold neither `~` nor a number. The empty one is the whole document.
    pub(crate) pointer: &'static str,
    /// What stands in its place in the stored document, as JSON; nothing where a document without it can be read.
    pub(crate) instead: Option<&'static str>,
    /// Only where another field has this value.
    pub(crate) when: Option<(&'static str, &'static str)>,
}

/// A kind of document with personal fields.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) kind: &'static str,
    pub(crate) owner: Owner,
    pub(crate) fields: &'static [Field],
}

const fn field(pointer: &'static str) -> Field {
    Field { pointer, instead: None, when: None }
}

const fn text(pointer: &'static str) -> Field {
    Field { pointer, instead: Some("\"\""), when: None }
}

/// All kinds with personal fields. A field that a release adds is taken out of older documents when the store opens.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        kind: "stay",
        owner: Owner::Itself,
        fields: &[field("/name"), field("/first_name"), field("/title"), field("/phone"), field("/email")],
    },
    // What is written to guests.
    Kind {
        kind: "messages",
        owner: Owner::Key,
        fields: &[Field { pointer: "", instead: Some("[]"), when: None }],
    },
    // What guests prefer.
    Kind {
        kind: "preferences",
        owner: Owner::Key,
        fields: &[Field { pointer: "", instead: Some("{}"), when: None }],
    },
    // Of charges: whom a guest has called, and the name of one guest among several.
    Kind {
        kind: "posting",
        owner: Owner::Field("/stay"),
        fields: &[field("/detail/with/dialled"), text("/detail/with/name")],
    },
    Kind {
        kind: "command",
        owner: Owner::Field("/command/action/stay"),
        fields: &[
            Field {
                pointer: "/command/action/text",
                instead: Some("\"\""),
                when: Some(("/command/action/do", "leave-message")),
            },
            text("/command/action/query"),
            field("/command/action/card"),
            field("/command/action/report/note"),
            field("/command/action/call/dialled"),
            field("/command/action/wish"),
            Field {
                pointer: "/command/action/by",
                instead: None,
                when: Some(("/command/action/do", "set-preference")),
            },
            field("/command/action/register"),
        ],
    },
];

/// What is personal in documents of `kind`.
pub(crate) fn of(kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|known| known.kind == kind)
}

/// Takes the personal fields out of `document`.
pub(crate) fn take(kind: &Kind, document: &mut Value) -> BTreeMap<&'static str, Value> {
    let fits = |field: &&Field| {
        field.when.is_none_or(|(pointer, word)| document.pointer(pointer).is_some_and(|value| value == word))
    };
    let fields: Vec<&Field> = kind.fields.iter().filter(fits).collect();
    let mut taken = BTreeMap::new();
    for Field { pointer, instead, .. } in fields {
        let Some(value) = document.pointer_mut(pointer) else { continue };
        // The constants above are JSON.
        let instead: Option<Value> = instead.and_then(|instead| serde_json::from_str(instead).ok());
        // What the model has put in place of an erased text names nobody.
        if value.is_null() || instead.as_ref() == Some(value) || value == "[personal]" {
            continue;
        }
        let value = value.take();
        match (instead, pointer.rsplit_once('/')) {
            (Some(instead), _) => put_back(document, pointer, instead),
            (None, Some((parent, name))) => {
                if let Some(object) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
                    object.remove(name);
                }
            }
            (None, None) => {}
        }
        taken.insert(*pointer, value);
    }
    taken
}

/// Puts `value` back to where [`take`] found it.
pub(crate) fn put_back(document: &mut Value, pointer: &str, value: Value) {
    match pointer.rsplit_once('/') {
        None => *document = value,
        Some((parent, name)) => {
            if let Some(object) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
                object.insert(name.to_owned(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_action_hides_from_the_journal_is_taken_from_its_document() {
        for action in [
            json!({ "do": "leave-message", "room": "101", "text": "SECRET" }),
            json!({ "do": "find-guests", "query": "SECRET" }),
            json!({ "do": "post-call", "room": "101", "call": { "dialled": "SECRET" } }),
            json!({ "do": "room-report", "room": "101", "report": { "note": "SECRET" } }),
            json!({ "do": "answer-key", "coder": "1", "status": "OK", "card": "SECRET" }),
            json!({ "do": "set-preference", "stay": "1", "name": "guest.language", "wish": "SECRET",
                "by": "SECRET" }),
            json!({ "do": "merge-preference", "stay": "1", "name": "guest.language",
                "register": { "edge": { "at": { "ms": 1, "n": 0 }, "version": 1, "by": "SECRET", "value": null } } }),
        ] {
            let action: engawa_model::Action = serde_json::from_value(action).unwrap();
            assert_ne!(action, action.without_personal(), "it hides something");
            let mut document = json!({ "command": { "action": action } });
            assert!(document.to_string().contains("SECRET"));
            let taken = take(of("command").unwrap(), &mut document);
            assert!(!document.to_string().contains("SECRET"), "{document}");
            assert!(!taken.is_empty());
        }
    }

    #[test]
    fn what_is_taken_out_comes_back() {
        for (kind, whole, clean, taken) in [
            (
                "stay",
                json!({ "id": "1", "name": "Sato", "title": "Mr", "room": "101" }),
                json!({ "id": "1", "room": "101" }),
                vec!["/name", "/title"],
            ),
            ("messages", json!([{ "id": "8", "text": "taxi at six" }]), json!([]), vec![""]),
            ("messages", json!([]), json!([]), vec![]),
            ("preferences", json!({ "guest.light": {} }), json!({}), vec![""]),
            (
                "posting",
                json!({ "stay": "1", "detail": { "of": "call", "with": { "dialled": "555", "seconds": 3 } } }),
                json!({ "stay": "1", "detail": { "of": "call", "with": { "seconds": 3 } } }),
                vec!["/detail/with/dialled"],
            ),
            (
                "command",
                json!({ "command": { "action": { "do": "leave-message", "text": "taxi at six" } } }),
                json!({ "command": { "action": { "do": "leave-message", "text": "" } } }),
                vec!["/command/action/text"],
            ),
            (
                "command",
                json!({ "command": { "action": { "do": "post", "text": "Bar" } } }),
                json!({ "command": { "action": { "do": "post", "text": "Bar" } } }),
                vec![],
            ),
        ] {
            let mut document = whole.clone();
            let found = take(of(kind).unwrap(), &mut document);
            assert_eq!(document, clean);
            assert_eq!(found.keys().copied().collect::<Vec<_>>(), taken);
            for (field, value) in found {
                put_back(&mut document, field, value);
            }
            assert_eq!(document, whole);
        }
        assert!(take(&KINDS[0], &mut json!({ "name": null })).is_empty());
        assert!(take(&KINDS[0], &mut json!("no object")).is_empty());
        assert!(KINDS.iter().flat_map(|kind| kind.fields).all(|field| {
            field.instead.is_none_or(|instead| serde_json::from_str::<Value>(instead).is_ok())
        }));
    }
}
