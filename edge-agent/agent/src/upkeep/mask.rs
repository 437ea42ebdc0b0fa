//! What must not leave the box in a bundle: secrets of the configuration, and whatever of a guest might have got into a text.
//!
//! Names have a type that can't be printed, and journal, status and log carry none. This is the wall behind it: every text
//! is searched for the names, numbers and addresses of whoever is in the house.

use engawa_model::Property;
use engawa_pms::codec::mask_card_numbers;
use serde_json::Value;

/// What stands in the place of a secret.
pub(super) const SECRET: &str = "[secret]";
/// What stands in the place of a guest's.
const PERSONAL: &str = "[personal]";
/// Words in the names of keys that hold secrets; those that name a file are shown.
const SECRETS: &[&str] =
    &["password", "passwd", "passphrase", "secret", "token", "credential", "private", "auth", "key", "pin"];
const FILES: &[&str] = &["_file", "_dir", "_folder"];
/// What is shorter is no name, and would hide half of every text.
pub(super) const SHORTEST: usize = 3;

/// The configuration's text without its secrets and comments.
///
/// # Errors
/// It is no TOML.
pub(crate) fn configuration(text: &str) -> Result<String, toml::de::Error> {
    let mut table: toml::Table = text.parse()?;
    for (key, value) in table.iter_mut() {
        hide(key, value);
    }
    Ok(table.to_string())
}

fn hide(key: &str, value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                hide(key, value);
            }
        }
        toml::Value::Array(items) => {
            for item in items {
                hide(key, item);
            }
        }
        toml::Value::String(text) => {
            if is_secret(key) || text.contains("-----BEGIN") {
                SECRET.clone_into(text);
            } else {
                *text = without_userinfo(text);
            }
        }
        // A number may be a PIN.
        plain if is_secret(key) && !plain.is_bool() => *plain = toml::Value::String(SECRET.to_owned()),
        _ => {}
    }
}

pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRETS.iter().any(|word| key.contains(word)) && !FILES.iter().any(|ending| key.ends_with(ending))
}

/// The values under keys that hold secrets, as a parser has them; none where `text` is no TOML.
pub(super) fn secret_values(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        table.iter().for_each(|(key, value)| gather(key, value, &mut found));
    }
    found
}

fn gather(key: &str, value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| gather(key, value, found)),
        toml::Value::Array(items) => items.iter().for_each(|item| gather(key, item, found)),
        toml::Value::String(text) if text.contains("-----BEGIN") => {
            found.extend(text.lines().map(|line| line.trim().to_owned()));
        }
        toml::Value::Boolean(_) => {}
        toml::Value::String(text) if is_secret(key) => {
            found.push(text.clone());
            found.extend(text.lines().map(str::to_owned));
        }
        plain if is_secret(key) => found.push(plain.to_string()),
        _ => {}
    }
}

/// `scheme://user:password@host` without what stands before the host.
fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{SECRET}@{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

/// What is known of the guests in the house: names, numbers, addresses. For this process alone.
pub(crate) fn of_guests(property: &Property) -> Vec<String> {
    let mut all: Vec<String> = property
        .stays()
        .values()
        .flat_map(|stay| [&stay.name, &stay.first_name, &stay.phone, &stay.email])
        .flatten()
        .map(|personal| personal.reveal().trim().to_owned())
        .filter(|text| text.chars().count() >= SHORTEST)
        .collect();
    // A longer name may hold a shorter one.
    all.sort_by_key(|text| std::cmp::Reverse(text.len()));
    all.dedup();
    all
}

/// Every text in `value` without what is personal in it.
pub(crate) fn texts(value: &mut Value, personal: &[String]) {
    match value {
        Value::String(text) => *text = plain(text, personal),
        Value::Array(items) => items.iter_mut().for_each(|item| texts(item, personal)),
        Value::Object(fields) => fields.values_mut().for_each(|value| texts(value, personal)),
        _ => {}
    }
}

fn plain(text: &str, personal: &[String]) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    for known in personal {
        if text.contains(known.as_str()) {
            text = text.replace(known.as_str(), PERSONAL);
        }
    }
    if text.chars().filter(char::is_ascii_digit).count() >= 13 { mask_card_numbers(&text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_go_and_what_names_a_file_stays() {
        let shown = configuration(
            "# the old password was hunter1\n[cloud]\nurl = 'https://ann:hunter2@cloud.example/x@y'\n\
            [hosted]\nclient_secret = 'hunter3'\nsecret_file = '/etc/engawa/hosted.secret'\naccess_token = 'hunter4'\n\
            [[user]]\nname = 'till'\npassword = 'hunter5'\n[lock]\npin = 4711\nkeys = ['hunter6']\n\
            pem = \"-----BEGIN PRIVATE KEY-----hunter7\"\nregister = true\n",
        )
        .unwrap();
        assert!(!shown.contains("hunter") && !shown.contains("4711") && !shown.contains("ann"), "{shown}");
        for kept in ["cloud.example/x@y", "/etc/engawa/hosted.secret", "till", "register = true"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
    }

    #[test]
    fn what_is_known_of_guests_is_found_in_any_text() {
        let names = ["+49 170 1234567".to_owned(), "Sato-Meyer".to_owned(), "Sato".to_owned()];
        let mut value = json!({
            "log": ["hello \u{1b}[31mSato-Meyer", "Sato called +49 170 1234567"],
            "of": { "card": "4111 1111 1111 1111", "n": 17, "room": "101" },
        });
        texts(&mut value, &names);
        let text = value.to_string();
        for gone in ["Sato", "Meyer", "1234567", "4111 1111 1111", "\\u001b"] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(text.contains("\"101\"") && text.contains("17"));
    }
}
