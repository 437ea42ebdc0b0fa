//! Who asks: a login, for the audit at both ends.

use engawa_model::MOST_ASKER;

/// Who asks, where the command line does not say.
pub(crate) fn asker(said: Option<String>) -> Option<String> {
    let of_system = || {
        let known = ["SUDO_USER", "USER", "LOGNAME"];
        known.into_iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty())
    };
    // What the environment says may be anything; what is too long would be refused.
    let short = |name: String| name.chars().filter(|c| !c.is_control()).take(MOST_ASKER).collect();
    said.or_else(|| of_system().map(short))
}

/// A name as it is given on the command line.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().count() > MOST_ASKER || text.chars().any(char::is_control) {
        return Err(format!("expected 1 to {MOST_ASKER} characters, none of them a control character"));
    }
    Ok(text.to_owned())
}
