//! Wake-up calls on the wire (FIAS 2.20, records WR, WC and WA).
//!
//! DA and TI are a time on the wall of the hotel, never the PMS's clock. Nothing is answered but each call once, at its
//! end, with the time as it was asked for.

use super::facts::{Meaning, date, with_room};
use crate::codec::Record;
use engawa_model::{DateTime, Fact, Intent, WakeWord};

/// WR and WC.
pub(super) fn meaning(record: &Record) -> Meaning {
    let time = record.filled("TI").map(str::to_owned);
    let at = local(record);
    if record.id() == "WR" {
        return with_room(record, |room| Fact::WakeUpAsked { room, at, time });
    }
    if at.is_none() && (record.filled("DA").is_some() || time.is_some()) {
        // Not all calls of the room were meant, and which one was can't be read: none is cleared.
        return Meaning::Refused("wake-up-without-time");
    }
    with_room(record, |room| Fact::WakeUpCleared { room, at })
}

/// DA with TI: six digits, or four where a site leaves out the seconds.
fn local(record: &Record) -> Option<DateTime> {
    let date = date(record.get("DA"))?;
    let digits = record.get("TI").filter(|time| time.bytes().all(|byte| byte.is_ascii_digit()))?;
    let part = |from: usize| digits.get(from..from + 2).and_then(|part| part.parse::<i8>().ok());
    let second = match digits.len() {
        4 => 0,
        6 => part(4)?,
        _ => return None,
    };
    let time = jiff::civil::Time::new(part(0)?, part(2)?, second, 0).ok()?;
    Some(date.to_datetime(time))
}

/// The record that tells the PMS of a call; `None` for any other intent.
pub(super) fn record(intent: &Intent) -> Option<(Record, Fact)> {
    let Intent::TellWakeUp { id, room, at, time, word } = intent else { return None };
    let (name, status) = match word {
        WakeWord::Asked => ("WR", None),
        WakeWord::Cleared => ("WC", None),
        WakeWord::Answered => ("WA", Some("OK")),
        WakeWord::Unanswered => ("WA", Some("NR")),
        WakeWord::Missed => ("WA", Some("UR")),
    };
    let record = Record::new(name)
        .with("RN", room.as_str())
        .with("DA", at.strftime("%y%m%d").to_string())
        .with("TI", time.clone().unwrap_or_else(|| at.strftime("%H%M%S").to_string()));
    let record = match status {
        Some(status) => record.with("AS", status),
        None => record,
    };
    Some((record, Fact::WakeUpTold { id: *id, word: *word }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Charset;
    use engawa_model::WakeId;

    fn read(text: &str) -> Result<Fact, &'static str> {
        match meaning(&Record::decode(text.as_bytes(), Charset::Utf8).unwrap()) {
            Meaning::Fact(fact) => Ok(fact),
            Meaning::Refused(why) => Err(why),
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn calls_as_the_pms_writes_them() {
        let asked = |at: Option<&str>, time: Option<&str>| {
            Ok(Fact::WakeUpAsked {
                room: "0101".into(),
                at: at.map(|at| at.parse().unwrap()),
                time: time.map(str::to_owned),
            })
        };
        for (text, fact) in [
            ("WR|RN0101|DA260716|TI063015|", asked(Some("2026-07-16T06:30:15"), Some("063015"))),
            ("WR|TI0630|DA260716|RN0101|", asked(Some("2026-07-16T06:30:00"), Some("0630"))),
            ("WR|RN0101|DA260716|TI245900|", asked(None, Some("245900"))),
            ("WR|RN0101|DA260230|TI063000|", asked(None, Some("063000"))),
            ("WR|RN0101|DA260716|TI6:30|", asked(None, Some("6:30"))),
            ("WR|RN0101|DA260716|TI0630000|", asked(None, Some("0630000"))),
            ("WR|RN0101|", asked(None, None)),
            ("WR|DA260716|TI063000|", Err("no-room")),
            ("WC|RN0101|DA|TI|", Ok(Fact::WakeUpCleared { room: "0101".into(), at: None })),
            (
                "WC|RN0101|DA260716|TI063000|",
                Ok(Fact::WakeUpCleared {
                    room: "0101".into(),
                    at: Some("2026-07-16T06:30:00".parse().unwrap()),
                }),
            ),
            ("WC|RN0101|DA260716|TI|", Err("wake-up-without-time")),
            ("WC|RN0101|DA|TI0630|", Err("wake-up-without-time")),
        ] {
            assert_eq!(read(text), fact, "{text}");
        }
    }

    #[test]
    fn each_word_has_its_record_and_the_time_goes_back_as_it_came() {
        let tell = |time: Option<&str>, word| Intent::TellWakeUp {
            id: WakeId(7),
            room: "0101".into(),
            at: "2026-07-16T06:30:15".parse().unwrap(),
            time: time.map(str::to_owned),
            word,
        };
        for (time, word, frame) in [
            (None, WakeWord::Asked, "WR|RN0101|DA260716|TI063015|"),
            (None, WakeWord::Cleared, "WC|RN0101|DA260716|TI063015|"),
            (Some("0630"), WakeWord::Answered, "WA|RN0101|DA260716|TI0630|ASOK|"),
            (Some("063015"), WakeWord::Unanswered, "WA|RN0101|DA260716|TI063015|ASNR|"),
            (None, WakeWord::Missed, "WA|RN0101|DA260716|TI063015|ASUR|"),
        ] {
            let (record, fact) = record(&tell(time, word)).unwrap();
            assert_eq!(record.encode(Charset::Utf8), format!("\x02{frame}\x03").into_bytes());
            assert_eq!(fact, Fact::WakeUpTold { id: WakeId(7), word });
        }
        assert!(record(&Intent::RequestResync).is_none());
    }
}
