//! Units by their UCUM codes, so that a machine that reads a value knows what it is: `kW.h`, not `kWh`.
//!
//! A light grammar (The Unified Code for Units of Measure, sections 2 to 4): symbols of the hotel's trades with their
//! prefixes, exponents, products, quotients and annotations in braces. Parentheses and the rare units are not known.
//!
//! Never: conversion.

use engawa_diag::{Doc, Fault, Path};

/// Symbols that take prefixes.
const METRIC: &[&str] = &[
    "m", "g", "s", "A", "K", "cd", "mol", "V", "W", "J", "N", "Pa", "Hz", "Ohm", "S", "C", "F", "H", "T",
    "Wb", "lm", "lx", "Bq", "Gy", "Sv", "L", "l", "t", "bar", "Cel", "cal", "eV", "rad", "sr", "bit", "By",
    "Bd", "u", "B", "B[SPL]", "g%", "ar",
];
/// Symbols that take none.
const PLAIN: &[&str] = &[
    "min", "h", "d", "wk", "mo", "a", "%", "[ppth]", "[ppm]", "[ppb]", "[pptr]", "deg", "'", "''", "[pH]",
    "gon", "[degF]", "[psi]", "[in_i]", "[ft_i]", "[gal_us]", "[Btu]", "[HP]", "att", "m[H2O]", "m[Hg]",
    "circ", "10*", "10^",
];
/// UCUM's prefixes.
const PREFIXES: &[&str] = &[
    "", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "da", "d", "c", "m", "u", "n", "p", "f", "a", "Ki",
    "Mi", "Gi", "Ti",
];
/// What people write, and what they mean.
const MEANT: &[(&str, &str)] = &[
    ("°C", "Cel"),
    ("℃", "Cel"),
    ("degC", "Cel"),
    ("celsius", "Cel"),
    ("°F", "[degF]"),
    ("degF", "[degF]"),
    ("kWh", "kW.h"),
    ("Wh", "W.h"),
    ("MWh", "MW.h"),
    ("VA", "V.A"),
    ("kVA", "kV.A"),
    ("VAh", "V.A.h"),
    ("kVAh", "kV.A.h"),
    ("var", "V.A{reactive}"),
    ("kvar", "kV.A{reactive}"),
    ("varh", "V.A.h{reactive}"),
    ("kvarh", "kV.A.h{reactive}"),
    ("var.h", "V.A.h{reactive}"),
    ("kvar.h", "kV.A.h{reactive}"),
    ("Ah", "A.h"),
    ("ppm", "[ppm]"),
    ("ppb", "[ppb]"),
    ("%RH", "%"),
    ("rH", "%"),
    ("°", "deg"),
    ("dB", "dB[SPL]"),
    ("bps", "bit/s"),
    ("rpm", "{revolution}/min"),
    ("sec", "s"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("m³", "m3"),
    ("m³/h", "m3/h"),
    ("l/h", "L/h"),
    ("µg/m³", "ug/m3"),
    ("ug/m³", "ug/m3"),
    ("µg/m3", "ug/m3"),
    ("lux", "lx"),
    ("ohm", "Ohm"),
    ("Ω", "Ohm"),
    ("psi", "[psi]"),
    ("units", "1"),
    ("count", "1"),
    ("pulses", "{pulse}"),
];

/// The fault of a unit that is no code.
pub(crate) fn fault(doc: &Doc, path: &Path, code: &str) -> Fault {
    let help = match meant(code) {
        Some(meant) => format!("write \"{meant}\""),
        None => "such as \"Cel\", \"%\", \"kW.h\", \"[ppm]\", \"m3/h\", or a word in braces: \"{step}\""
            .to_owned(),
    };
    doc.fault(path, format!("`{code}` is no UCUM code")).label("expected the unit's code").help(help)
}

/// True for a UCUM code that is known here.
pub(crate) fn is_code(text: &str) -> bool {
    // A leading solidus is the reciprocal of what follows it.
    let text = text.strip_prefix('/').unwrap_or(text);
    !text.is_empty() && terms(text).is_some_and(|terms| terms.iter().all(|term| is_term(term)))
}

/// What is meant by a unit that is no code, where that is known.
pub(crate) fn meant(text: &str) -> Option<&'static str> {
    let same = |(wrong, _): &&(&str, &str)| wrong.eq_ignore_ascii_case(text);
    let exact = MEANT.iter().find(|(wrong, _)| *wrong == text);
    exact.or_else(|| MEANT.iter().find(same)).map(|(_, code)| *code)
}

/// The parts between `.` and `/`, outside of annotations and brackets. `None` where these are not closed.
fn terms(text: &str) -> Option<Vec<&str>> {
    let (mut terms, mut begin, mut inside) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        match (inside, c) {
            (None, '{') => inside = Some('}'),
            (None, '[') => inside = Some(']'),
            (None, '}' | ']') => return None,
            (None, '.' | '/') => {
                terms.push(&text[begin..at]);
                begin = at + 1;
            }
            (Some(end), c) if c == end => inside = None,
            (Some('}'), '{') => return None,
            _ => {}
        }
    }
    terms.push(&text[begin..]);
    inside.is_none().then_some(terms)
}

/// A symbol with its prefix and exponent, a number, an annotation, or a symbol with an annotation.
fn is_term(term: &str) -> bool {
    let symbol = match term.split_once('{') {
        Some((symbol, annotation)) => {
            // UCUM, section 2, rule 6: printable ASCII.
            let plain = annotation.strip_suffix('}').is_some_and(|inner| {
                !inner.is_empty() && inner.chars().all(|c| matches!(c, '!'..='~') && !"{}".contains(c))
            });
            if !plain {
                return false;
            }
            if symbol.is_empty() {
                return true;
            }
            symbol
        }
        None => term,
    };
    if symbol.is_empty() {
        return false;
    }
    if symbol.chars().all(|c| c.is_ascii_digit()) {
        return !symbol.starts_with('0');
    }
    // `10*3` has its exponent like any other; digits at the end are one.
    let base = symbol.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = if base.is_empty() { symbol } else { base.strip_suffix(['+', '-']).unwrap_or(base) };
    PLAIN.contains(&base)
        || PREFIXES
            .iter()
            .any(|prefix| base.strip_prefix(prefix).is_some_and(|symbol| METRIC.contains(&symbol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_what_people_write() {
        for code in [
            "Cel",
            "K",
            "%",
            "[degF]",
            "kW.h",
            "W",
            "kV.A",
            "V.A{reactive}",
            "kV.A.h{reactive}",
            "[ppm]",
            "[ppb]",
            "m3",
            "m3/h",
            "L/min",
            "ug/m3",
            "lx",
            "Pa",
            "hPa",
            "bar",
            "Hz",
            "A",
            "mA",
            "V",
            "h",
            "min",
            "s",
            "ms",
            "d",
            "deg",
            "1",
            "{count}",
            "{pulse}/kW.h",
            "/min",
            "bit/s",
            "10*3",
            "dB[SPL]",
            "m/s2",
            "kg.m2/s-2",
            "kBd",
            "100",
        ] {
            assert!(is_code(code), "{code}");
        }
        for (wrong, code) in MEANT {
            assert!(is_code(code), "{code}");
            // A few are codes too, and only not the usual ones.
            assert!(!is_code(wrong) || matches!(*wrong, "l/h" | "dB"), "{wrong}");
        }
        for wrong in [
            "", "/", "kWh", "°C", "degC", "C°", "ppm", "m3//h", "m.", "{", "{}", "a{b", "[x", "x]", "0",
            "K{°}", "Cel ",
        ] {
            assert!(!is_code(wrong), "{wrong}");
        }
        assert_eq!(meant("KWH"), Some("kW.h"));
        assert_eq!(meant("furlong"), None);
    }
}
