//! Replay in memory: the link's state machine, virtual time, no socket.

use super::case::{Case, matches, seconds};
use super::home::Home;
use engawa_model::{Fact, Intent, Observation, Timestamp};
use engawa_pms::link::{Link, Out};
use engawa_pms::{Charset, PmsConfig, Use, codec::Record};
use jiff::tz::TimeZone;

struct Replay {
    home: Home,
    link: Link,
    config: PmsConfig,
    zone: TimeZone,
    now: Timestamp,
    sent: Vec<String>,
    matched: usize,
    since_wait: usize,
}

pub(crate) fn config(case: &Case) -> (PmsConfig, TimeZone) {
    let mut config = PmsConfig::new("127.0.0.1:1");
    if case.site.get("charset").is_some_and(|charset| charset == "cp932") {
        config.charset = Charset::Cp932;
    }
    config.amount_digits = case.site.get("digits").map(|digits| digits.parse().unwrap());
    let list = |key: &str| -> Vec<String> {
        let text = case.site.get(key).map_or("", String::as_str);
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let uses = |name: &String| serde_json::from_value::<Use>(name.as_str().into()).unwrap();
    config.uses.extend(list("uses").iter().map(uses));
    config.encoders = list("encoders").into_iter().collect();
    config.free_fields = list("free")
        .iter()
        .map(|pair| pair.split_once(':').unwrap())
        .map(|(field, holds)| (field.to_owned(), serde_json::from_value(holds.into()).unwrap()))
        .collect();
    if config.uses.contains(&Use::RightsAtCheckIn) {
        config.uses.remove(&Use::Rights);
    }
    assert_eq!(config.validate(), []);
    let zone = case.site.get("zone").map_or(TimeZone::UTC, |zone| TimeZone::get(zone).unwrap());
    (config, zone)
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn as_text(frame: &[u8], charset: Charset) -> String {
    let record = Record::decode(&frame[1..frame.len() - 1], charset).unwrap();
    record.fields().fold(format!("{}|", record.id()), |text, (id, value)| format!("{text}{id}{value}|"))
}

/// Replays the case; gives what the gateway has sent.
pub(crate) fn replay(case: &Case) -> Vec<String> {
    let (config, zone) = config(case);
    let mut replay = Replay {
        home: Home::new(case),
        link: Link::new(config.clone(), zone.clone()),
        config,
        zone,
        now: "2026-07-15T08:15:00Z".parse().unwrap(),
        sent: vec![],
        matched: 0,
        since_wait: 0,
    };
    for step in &case.steps {
        let fault = replay.step(&step.word, &step.text);
        assert!(
            fault.is_ok(),
            "{}.case:{}: `{}`: {}\nsent: {:#?}",
            case.name,
            step.line,
            step.text,
            fault.unwrap_err(),
            replay.sent
        );
    }
    replay.sent
}

impl Replay {
    fn step(&mut self, word: &str, text: &str) -> Result<(), String> {
        match word {
            "pms" => self.bytes(format!("\x02{}\x03", text.replace("$1", "1")).as_bytes()),
            "pms-bytes" => self.bytes(&hex(text)),
            "wait" => self.wait(seconds(text)),
            "event" => self.event(text),
            "sent" => {
                let wanted = text.replace("$1", "1");
                let place = self.sent[self.matched..].iter().position(|sent| matches(sent, &wanted));
                self.matched += place.ok_or("not sent")? + 1;
            }
            "not-sent" => {
                if let Some(sent) = self.sent[self.since_wait..].iter().find(|sent| matches(sent, text)) {
                    return Err(format!("sent {sent}"));
                }
            }
            "holds" => match text.split(' ').collect::<Vec<_>>()[..] {
                ["at-most", id, most] => {
                    let count = self.sent.iter().filter(|sent| sent.starts_with(id)).count();
                    if count > most.parse().unwrap() {
                        return Err(format!("sent {count} times"));
                    }
                }
                _ => return self.home.holds(text),
            },
            other => return Err(format!("unknown word {other}")),
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.link.on_bytes(self.now, bytes);
        self.settle();
    }

    fn event(&mut self, text: &str) {
        match text.split_once(' ').unwrap_or((text, "")) {
            ("open", _) => self.link.on_connected(self.now),
            ("close" | "reset", _) => self.link.on_closed("the PMS closed the connection"),
            ("ask", "kill") => {
                self.link = Link::new(self.config.clone(), self.zone.clone());
                let intents = self.home.kill(self.now);
                self.carry_out(intents);
            }
            ("ask", request) => {
                let fact = self.home.command(request);
                self.observe(fact);
            }
            other => panic!("unknown event {other:?}"),
        }
        self.settle();
    }

    fn wait(&mut self, span: jiff::SignedDuration) {
        self.since_wait = self.sent.len();
        let until = self.now.checked_add(span).unwrap();
        let wakes = |replay: &Self| {
            [replay.link.wake_at(), replay.home.property().next_wake()].into_iter().flatten().min()
        };
        while let Some(wake) = wakes(self).filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.link.on_wake(self.now);
            self.settle();
            self.observe(Fact::Tick);
            self.settle();
        }
        self.now = until;
    }

    fn settle(&mut self) {
        while let Some(out) = self.link.poll() {
            match out {
                Out::Send(frame) => self.sent.push(as_text(&frame, self.config.charset)),
                Out::Observe(fact) => self.observe(fact),
                Out::Close => {}
            }
        }
    }

    fn observe(&mut self, fact: Fact) {
        let intents = self.home.observe(&Observation::new(self.now, fact));
        self.carry_out(intents);
    }

    fn carry_out(&mut self, intents: Vec<Intent>) {
        for intent in intents {
            self.link.on_intent(self.now, &intent);
        }
    }
}
