//! How PMS at real sites deviate from the specification, as data: one row a dialect.
//!
//! A dialect changes records at the link's edge, those that come and those that go; behind it there is only FIAS 2.20. What
//! every reader should bear anyway (fields in any order, none or two of a field, noise between records, clocks that are
//! wrong, records that come twice) is no dialect: it is always borne.

use crate::codec::Record;
use serde::{Deserialize, Serialize};

/// A kind of PMS, or of what stands between it and us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The specification.
    #[default]
    Fias,
    /// OPERA behind IFC8.
    OperaIfc8,
    /// Suite8.
    Suite8,
    /// Protel's socket server.
    Protel,
    /// Protel with dates of eight digits.
    ProtelLongDates,
    /// A variant without a bar between date and time in LD.
    JoinedClock,
}

/// What a PMS does with a second connection to its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newcomer {
    /// It takes the newcomer and drops the one it had (FIAS 2.20, chapter on TCP).
    Replaces,
    /// It keeps the one it has, also one that died without a word, and sends the newcomer away.
    IsRefused,
}

/// What differs from FIAS 2.20.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The dialect.
    pub dialect: Dialect,
    /// What it is, for people.
    pub about: &'static str,
    /// Where it was seen.
    pub source: &'static str,
    /// What happens to a second client.
    pub newcomer: Newcomer,
    /// RT in LD: which parts of LC are asked for; without it no LC comes.
    pub ask_versions: Option<u8>,
    /// LA carries no date and time.
    pub bare_alive: bool,
    /// PT of a direct charge.
    pub direct_charge: &'static str,
    /// DA of LS, LD, LA, LE is MMDDYYYY, both ways; dates of guests, too, where they come so.
    pub long_dates: bool,
    /// LD has no bar between DA and TI, and a blank before V#.
    pub joined_clock: bool,
    /// Amounts of currencies without minor units carry two digits all the same.
    pub two_digits_at_least: bool,
    /// GN may begin with the language in brackets, `(EN) Smith`.
    pub language_in_name: bool,
}

const FIAS: Traits = Traits {
    dialect: Dialect::Fias,
    about: "the specification",
    source: "HGBU IFC8 FIAS 2.20.24",
    newcomer: Newcomer::Replaces,
    ask_versions: None,
    bare_alive: false,
    direct_charge: "C",
    long_dates: false,
    joined_clock: false,
    two_digits_at_least: false,
    language_in_name: false,
};

/// All dialects.
pub const DIALECTS: [Traits; 6] = [
    FIAS,
    Traits {
        dialect: Dialect::OperaIfc8,
        about: "OPERA behind IFC8",
        source: "FIAS 2.20.24: versions in LC (page 29), amounts of zero-decimal currencies (page 114)",
        ask_versions: Some(4),
        two_digits_at_least: true,
        ..FIAS
    },
    Traits {
        dialect: Dialect::Suite8,
        about: "Suite8",
        source: "logs of a vendor's sites with Suite8, 2016 to 2019: language in brackets before GN",
        ask_versions: Some(4),
        language_in_name: true,
        ..FIAS
    },
    Traits {
        dialect: Dialect::Protel,
        about: "Protel, Socket Server",
        source: "log of two live sites: LD with RT4, bare LA, PT D; `allow new connection` is off",
        newcomer: Newcomer::IsRefused,
        ask_versions: Some(4),
        bare_alive: true,
        direct_charge: "D",
        ..FIAS
    },
    Traits {
        dialect: Dialect::ProtelLongDates,
        about: "Protel, dates of eight digits",
        source: "a minibar vendor's start variant for Protel sites: DA as MMDDYYYY in LD and LA",
        newcomer: Newcomer::IsRefused,
        long_dates: true,
        ..FIAS
    },
    Traits {
        dialect: Dialect::JoinedClock,
        about: "LD without a bar between DA and TI",
        source: "a minibar vendor's start variant `BestBar`: `LD|DA151022TI101500| V#1.00|IFMB|`",
        joined_clock: true,
        ..FIAS
    },
];

/// Records of the link itself, whose clock a dialect may write in its own way.
const OF_THE_LINK: [&str; 5] = ["LS", "LD", "LA", "LE", "LC"];

impl Dialect {
    /// What differs.
    pub fn traits(self) -> &'static Traits {
        DIALECTS.iter().find(|traits| traits.dialect == self).unwrap_or(&DIALECTS[0])
    }

    /// Digits of an amount in a currency with `has` minor digits, where the site says nothing: `None` for the currency's own.
    pub(crate) fn amount_digits(self, has: u8) -> Option<u8> {
        (self.traits().two_digits_at_least && has < 2).then_some(2)
    }

    /// A record of the PMS, as the specification has it.
    pub(crate) fn inward(self, record: Record) -> Record {
        let traits = self.traits();
        let mut record = record;
        if traits.long_dates {
            record = with_values(&record, |field, value| match field {
                "DA" | "GA" | "GD" => short_date(value).unwrap_or_else(|| value.to_owned()),
                _ => value.to_owned(),
            });
        }
        if traits.joined_clock && record.get("TI").is_none() {
            record = record.fields().fold(Record::new(record.id()), |new, (field, value)| {
                match (field, value.split_once("TI")) {
                    ("DA", Some((date, time))) => new.with("DA", date).with("TI", time),
                    _ => new.with(field, value),
                }
            });
        }
        if traits.language_in_name
            && let Some((language, name)) = record.get("GN").and_then(language_and_name)
        {
            let (language, name, told) =
                (language.to_owned(), name.to_owned(), record.filled("GL").is_some());
            record = with_values(
                &record,
                |field, value| if field == "GN" { name.clone() } else { value.to_owned() },
            );
            if !told {
                record = record.with("GL", language);
            }
        }
        record
    }

    /// A record of ours, as this PMS wants it.
    pub(crate) fn outward(self, record: Record) -> Record {
        let traits = self.traits();
        let mut record = record;
        match record.id() {
            "LD" => {
                if let Some(parts) = traits.ask_versions.filter(|_| !record.has("RT")) {
                    record = record.with("RT", parts.to_string());
                }
            }
            "LA" if traits.bare_alive => record = Record::new("LA"),
            "PS" if record.get("PT") == Some("C") && traits.direct_charge != "C" => {
                record = with_values(&record, |field, value| match field {
                    "PT" => traits.direct_charge.to_owned(),
                    _ => value.to_owned(),
                });
            }
            _ => {}
        }
        if traits.long_dates && OF_THE_LINK.contains(&record.id()) {
            record = with_values(&record, |field, value| match field {
                "DA" => long_date(value).unwrap_or_else(|| value.to_owned()),
                _ => value.to_owned(),
            });
        }
        if traits.joined_clock && record.id() == "LD" {
            record = joined(&record);
        }
        record
    }
}

fn with_values(record: &Record, mut value: impl FnMut(&str, &str) -> String) -> Record {
    record.fields().fold(Record::new(record.id()), |new, (field, old)| new.with(field, value(field, old)))
}

fn digits(text: &str, count: usize) -> Option<&str> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

/// MMDDYYYY as YYMMDD; only of this century, since two digits name no other.
fn short_date(text: &str) -> Option<String> {
    let (month_day, year) = digits(text, 8)?.split_at(4);
    Some(format!("{}{month_day}", year.strip_prefix("20")?))
}

/// YYMMDD as MMDDYYYY.
fn long_date(text: &str) -> Option<String> {
    let (year, month_day) = digits(text, 6)?.split_at(2);
    Some(format!("{month_day}20{year}"))
}

/// LD with DA and TI in one field, and a blank before V#.
fn joined(record: &Record) -> Record {
    let time = record.get("TI").unwrap_or_default().to_owned();
    record.fields().fold(Record::new(record.id()), |new, (field, value)| match field {
        "DA" => new.with("DA", format!("{value}TI{time}")),
        "TI" => new,
        // A field's id has two letters: the blank comes before them.
        "V#" => new.with(" V", format!("#{value}")),
        _ => new.with(field, value),
    })
}

/// `(EN) Smith` as language and name.
fn language_and_name(text: &str) -> Option<(&str, &str)> {
    let (language, name) = text.strip_prefix('(')?.split_once(')')?;
    let sound = language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_uppercase());
    let name = name.trim_start();
    (sound && !name.is_empty()).then_some((language, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Charset;

    fn record(text: &str) -> Record {
        Record::decode(text.as_bytes(), Charset::Utf8).unwrap()
    }

    fn shown(record: &Record) -> String {
        record.fields().fold(format!("{}|", record.id()), |text, (id, value)| format!("{text}{id}{value}|"))
    }

    #[test]
    fn every_dialect_has_its_row_and_its_source() {
        for traits in DIALECTS {
            assert_eq!(traits.dialect.traits().about, traits.about);
            assert!(!traits.source.is_empty());
        }
    }

    #[test]
    fn what_goes_out_is_as_each_pms_wants_it() {
        for (dialect, ours, want) in [
            (Dialect::Fias, "LD|DA260715|TI101500|V#0.1|IFEM|", "LD|DA260715|TI101500|V#0.1|IFEM|"),
            (Dialect::OperaIfc8, "LD|DA260715|TI101500|V#0.1|IFEM|", "LD|DA260715|TI101500|V#0.1|IFEM|RT4|"),
            (
                Dialect::OperaIfc8,
                "LD|DA260715|TI101500|V#0.1|IFEM|RT1|",
                "LD|DA260715|TI101500|V#0.1|IFEM|RT1|",
            ),
            (Dialect::Protel, "LA|DA260715|TI101500|", "LA|"),
            (Dialect::Protel, "PS|RN101|PTC|TA100|", "PS|RN101|PTD|TA100|"),
            (Dialect::Protel, "PS|RN101|PTM|MA1|M#2|", "PS|RN101|PTM|MA1|M#2|"),
            (Dialect::ProtelLongDates, "LA|DA260715|TI101500|", "LA|DA07152026|TI101500|"),
            (Dialect::ProtelLongDates, "PS|RN101|PTC|DA260715|", "PS|RN101|PTC|DA260715|"),
            (Dialect::JoinedClock, "LD|DA260715|TI101500|V#0.1|IFEM|", "LD|DA260715TI101500| V#0.1|IFEM|"),
            (Dialect::JoinedClock, "LA|DA260715|TI101500|", "LA|DA260715|TI101500|"),
        ] {
            assert_eq!(shown(&dialect.outward(record(ours))), want, "{dialect:?}");
        }
    }

    #[test]
    fn what_comes_in_is_as_the_specification_has_it() {
        for (dialect, theirs, want) in [
            (Dialect::ProtelLongDates, "LS|DA07152026|TI101500|", "LS|DA260715|TI101500|"),
            (Dialect::ProtelLongDates, "GI|RN1|GA07142026|GD260718|", "GI|RN1|GA260714|GD260718|"),
            (Dialect::ProtelLongDates, "GI|RN1|GA07141999|", "GI|RN1|GA07141999|"),
            (Dialect::JoinedClock, "LS|DA260715TI101500|", "LS|DA260715|TI101500|"),
            (Dialect::Suite8, "GI|RN1|GN(EN) Smith|", "GI|RN1|GNSmith|GLEN|"),
            (Dialect::Suite8, "GI|RN1|GN(EN) Smith|GLGE|", "GI|RN1|GNSmith|GLGE|"),
            (Dialect::Suite8, "GI|RN1|GN(EN)|", "GI|RN1|GN(EN)|"),
            (Dialect::Suite8, "GI|RN1|GN(Jr) Smith|", "GI|RN1|GN(Jr) Smith|"),
            (Dialect::Fias, "GI|RN1|GN(EN) Smith|", "GI|RN1|GN(EN) Smith|"),
            (Dialect::Fias, "LS|DA260715TI101500|", "LS|DA260715TI101500|"),
            (Dialect::JoinedClock, "LS|DA260715TI10|TI101500|", "LS|DA260715TI10|TI101500|"),
            // Eight digits make a date, neither nine nor eight characters.
            (Dialect::ProtelLongDates, "GI|RN1|GA071420260|", "GI|RN1|GA071420260|"),
            (Dialect::ProtelLongDates, "GI|RN1|GA0714202X|", "GI|RN1|GA0714202X|"),
        ] {
            assert_eq!(shown(&dialect.inward(record(theirs))), want, "{dialect:?}");
        }
    }

    #[test]
    fn digits_of_amounts() {
        for (dialect, has, want) in [
            (Dialect::Fias, 0, None),
            (Dialect::OperaIfc8, 0, Some(2)),
            (Dialect::OperaIfc8, 2, None),
            (Dialect::OperaIfc8, 3, None),
        ] {
            assert_eq!(dialect.amount_digits(has), want);
        }
    }
}
