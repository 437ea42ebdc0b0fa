//! Arguments that are checked before anything is begun: an empty one, from a variable of a script that is not set, would
//! else be taken for a name.

/// A name or a number that is there.
pub(crate) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it is empty; is a variable of a script not set?".to_owned());
    }
    Ok(text.to_owned())
}

/// `host:port`.
pub(crate) fn host_port(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("it is not `host:port`; expected for example `10.0.0.5:5010`".to_owned()),
    }
}

/// How many: at least one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 1000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_meant_is_refused() {
        assert!(
            filled("101").is_ok() && filled(" 07").is_ok() && filled("").is_err() && filled("  ").is_err()
        );
        for (text, is) in [
            ("10.0.0.5:5010", true),
            ("pms.example:5010", true),
            ("[::1]:0", true),
            ("", false),
            ("nowhere", false),
            (":5010", false),
            ("a:70000", false),
            ("a:", false),
        ] {
            assert_eq!(host_port(text).is_ok(), is, "{text}");
        }
        assert_eq!(
            (count("1"), count("0").is_err(), count("x").is_err(), count("-1").is_err()),
            (Ok(1), true, true, true)
        );
    }
}
