//! What was on the wire, with its payloads as the published schema reads them, and questions to it.

use crate::wire::{Publish, Sent};
use engawa_model::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub type Found = Result<(), String>;

/// A message of the node.
#[derive(Clone, Debug)]
pub struct Told {
    pub session: usize,
    pub kind: String,
    pub device: Option<String>,
    pub sent: Publish,
    pub payload: Value,
}

pub enum Step {
    Connect { session: usize, level: u8, clean: bool, will: Option<Told> },
    Subscribe { session: usize, filters: Vec<(String, u8)> },
    Told(Told),
    Disconnect { session: usize },
    Closed,
    Mark(&'static str),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(told) => f.write_str(&told.sent.topic),
            Self::Connect { session, .. } => write!(f, "CONNECT {session}"),
            Self::Subscribe { .. } => f.write_str("SUBSCRIBE"),
            Self::Disconnect { .. } => f.write_str("DISCONNECT"),
            Self::Closed => f.write_str("closed"),
            Self::Mark(mark) => write!(f, "({mark})"),
        }
    }
}

pub struct Trace {
    pub steps: Vec<Step>,
    began_ms: u64,
    ended_ms: u64,
}

pub const NODE: [&str; 3] = ["NBIRTH", "NDATA", "NDEATH"];
pub const DEVICE: [&str; 3] = ["DBIRTH", "DDATA", "DDEATH"];

pub fn that(holds: bool, what: impl FnOnce() -> String) -> Found {
    if holds { Ok(()) } else { Err(what()) }
}

/// A number of 64 bits, which JSON of protobuf writes as text.
pub fn long(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

impl Told {
    pub fn metrics(&self) -> &[Value] {
        self.payload["metrics"].as_array().map_or(&[], Vec::as_slice)
    }

    pub fn metric(&self, name: &str) -> Option<&Value> {
        self.metrics().iter().find(|metric| metric["name"] == name)
    }

    pub fn seq(&self) -> Option<u64> {
        long(&self.payload["seq"])
    }

    pub fn bd_seq(&self) -> Option<u64> {
        long(&self.metric("bdSeq")?["long_value"])
    }

    pub fn is_birth(&self) -> bool {
        self.kind.ends_with("BIRTH")
    }
}

impl Trace {
    pub async fn new(
        sent: Vec<Sent>,
        began: Timestamp,
        decode: &impl AsyncFn(Vec<Vec<u8>>) -> Vec<Value>,
    ) -> Self {
        let payload = |sent: &Sent| match sent {
            Sent::Publish(it) | Sent::Connect { will: Some(it), .. } => Some(it.payload.clone()),
            _ => None,
        };
        let mut payloads = decode(sent.iter().filter_map(payload).collect()).await.into_iter();
        let mut session = 0;
        let mut told = |session, sent: Publish| {
            let levels: Vec<&str> = sent.topic.split('/').collect();
            let (kind, device) = (levels[2].to_owned(), levels.get(4).map(|device| (*device).to_owned()));
            Told { session, kind, device, payload: payloads.next().unwrap(), sent }
        };
        let mut steps = Vec::new();
        for sent in sent {
            steps.push(match sent {
                Sent::Connect { level, clean, will } => {
                    session += 1;
                    Step::Connect { session, level, clean, will: will.map(|will| told(session, will)) }
                }
                Sent::Subscribe { filters } => Step::Subscribe { session, filters },
                Sent::Publish(publish) => Step::Told(told(session, publish)),
                Sent::Disconnect => Step::Disconnect { session },
                Sent::Closed => Step::Closed,
                Sent::Mark(mark) => Step::Mark(mark),
            });
        }
        let ms = |at: Timestamp| u64::try_from(at.as_millisecond()).unwrap();
        Self { steps, began_ms: ms(began), ended_ms: ms(Timestamp::now()) }
    }

    pub fn told(&self) -> impl Iterator<Item = &Told> {
        self.steps.iter().filter_map(|step| if let Step::Told(told) = step { Some(told) } else { None })
    }

    pub fn wills(&self) -> Vec<&Told> {
        let will = |step: &'_ Step| matches!(step, Step::Connect { will: Some(_), .. });
        let wills = self.steps.iter().filter(|step| will(step));
        wills
            .filter_map(|step| if let Step::Connect { will, .. } = step { will.as_ref() } else { None })
            .collect()
    }

    /// `check` for each message of the kinds, of which there must be some.
    pub fn each(&self, kinds: &[&str], check: impl Fn(&Told) -> bool) -> Found {
        for kind in kinds {
            let mut count = 0;
            for told in self.told().filter(|told| told.kind == *kind) {
                count += 1;
                that(check(told), || format!("{}: {}", told.sent.topic, told.payload))?;
            }
            that(count > 0, || format!("there is no {kind} in the trace"))?;
        }
        Ok(())
    }

    /// `check` for each metric of each message of the kinds.
    pub fn each_metric(&self, kinds: &[&str], check: impl Fn(&Value) -> bool) -> Found {
        self.each(kinds, |told| told.kind.ends_with("DEATH") || told.metrics().iter().all(&check))
    }

    pub fn topic(&self, kind: &str) -> Found {
        let device = kind.starts_with('D');
        self.each(&[kind], |told| {
            let levels: Vec<&str> = told.sent.topic.split('/').collect();
            let known = if device { matches!(levels.last(), Some(&("t%2F1" | "t2"))) } else { true };
            levels[..4] == ["spBv1.0", "Hotels", kind, "grand"]
                && levels.len() == 4 + usize::from(device)
                && known
        })
    }

    pub fn quiet(&self, kind: &str) -> Found {
        self.each(&[kind], |told| told.sent.qos == 0 && !told.sent.retain)
    }

    pub fn in_window(&self, ms: &Value) -> bool {
        long(ms).is_some_and(|ms| (self.began_ms.saturating_sub(1_000)..=self.ended_ms).contains(&ms))
    }

    pub fn stamped(&self, kind: &str) -> Found {
        self.each(&[kind], |told| self.in_window(&told.payload["timestamp"]))
    }

    /// Numbers go up by one over all messages of a session; NBIRTH begins at 0.
    pub fn in_sequence(&self, kind: &str) -> Found {
        let mut last = None;
        let (mut seen, mut wrapped) = (false, false);
        for told in self.told().filter(|told| told.kind != "NDEATH") {
            let seq = told.seq();
            let expected =
                if told.kind == "NBIRTH" { Some(0) } else { last.map(|last: u64| (last + 1) % 256) };
            that(seq == expected, || format!("{} has number {seq:?}, not {expected:?}", told.sent.topic))?;
            wrapped |= told.kind != "NBIRTH" && seq == Some(0);
            seen |= told.kind == kind;
            last = seq;
        }
        that(seen && wrapped, || format!("{kind} seen: {seen}, begun again after 255: {wrapped}"))
    }

    pub fn complete(&self, kind: &str) -> Found {
        let value = |metric: &Value| {
            let values =
                ["int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value"];
            values.iter().filter(|value| !metric[**value].is_null()).count()
        };
        self.each(&[kind], |told| {
            !told.metrics().is_empty()
                && told.metrics().iter().all(|metric| {
                    let null = metric["is_null"] == true;
                    metric["name"].is_string()
                        && metric["datatype"].is_u64()
                        && value(metric) == usize::from(!null)
                })
        })
    }

    /// The births before say every alias that data uses.
    pub fn announced(&self, kind: &str) -> Found {
        let mut known: BTreeMap<Option<String>, BTreeSet<u64>> = BTreeMap::new();
        let aliases =
            |told: &Told| told.metrics().iter().filter_map(|metric| long(&metric["alias"])).collect();
        let mut seen = false;
        for told in self.told() {
            let told_now: BTreeSet<u64> = aliases(told);
            match told.kind.as_str() {
                "NBIRTH" => known = BTreeMap::from([(None, told_now)]),
                "DBIRTH" => {
                    known.insert(told.device.clone(), told_now);
                }
                "NDATA" | "DDATA" if told.kind == kind => {
                    seen = true;
                    let born = known.get(&told.device);
                    let all = born.is_some_and(|born| !told_now.is_empty() && told_now.is_subset(born));
                    that(all, || format!("{}: {told_now:?} of {born:?}", told.sent.topic))?;
                }
                _ => {}
            }
        }
        that(seen, || format!("there is no {kind} in the trace"))
    }

    /// Data says only what is not as it was told last.
    pub fn news_only(&self, kind: &str) -> Found {
        let mut last: BTreeMap<u64, (Value, Value)> = BTreeMap::new();
        for told in self.told() {
            for metric in told.metrics() {
                let Some(alias) = long(&metric["alias"]) else { continue };
                let values = ["long_value", "double_value", "boolean_value", "string_value"];
                let value = values.iter().map(|value| metric[*value].clone()).find(|value| !value.is_null());
                let now = (value.unwrap_or_default(), metric["properties"]["values"][0]["int_value"].clone());
                let before = last.insert(alias, now.clone());
                let news = before.is_none_or(|before| before.0 != now.0 || !now.1.is_null());
                that(told.kind != kind || news, || format!("{}: {metric} is no news", told.sent.topic))?;
            }
        }
        self.each(&[kind], |told| !told.metrics().is_empty())
    }

    pub fn chronological(&self, kind: &str) -> Found {
        self.each(&[kind], |told| told.metrics().iter().map(|metric| long(&metric["timestamp"])).is_sorted())
    }

    /// Each session begins with NBIRTH, and each NBIRTH is followed by a DBIRTH for each of the two devices.
    pub fn births_first(&self) -> Found {
        let all: Vec<&Told> = self.told().collect();
        for (at, told) in all.iter().enumerate() {
            let opens = at == 0 || all[at - 1].session != told.session;
            that(!opens || told.kind == "NBIRTH", || format!("{} opens a session", told.sent.topic))?;
            if told.kind == "NBIRTH" {
                let next: Vec<&str> =
                    all.iter().skip(at + 1).take(2).map(|told| told.kind.as_str()).collect();
                that(next == ["DBIRTH", "DBIRTH"], || format!("NBIRTH is followed by {next:?}"))?;
            }
        }
        that(!all.is_empty(), || "nothing was published".to_owned())
    }

    pub fn will(&self, check: impl Fn(&Told) -> bool) -> Found {
        let (wills, connects) =
            (self.wills(), self.steps.iter().filter(|step| matches!(step, Step::Connect { .. })).count());
        that(connects == 3 && wills.len() == 3, || format!("{connects} connections, {} wills", wills.len()))?;
        wills
            .into_iter()
            .try_for_each(|will| that(check(will), || format!("{}: {}", will.sent.topic, will.payload)))
    }

    /// Births and deaths of a session have the number of its will.
    pub fn numbers_of_wills(&self, kinds: &[&str]) -> Found {
        let numbers: Vec<Option<u64>> = self.wills().iter().map(|will| will.bd_seq()).collect();
        that(numbers == [Some(0), Some(1), Some(2)], || format!("the wills have {numbers:?}"))?;
        self.each(kinds, |told| told.bd_seq() == numbers[told.session - 1])
    }

    /// What is published between two marks, or from a mark on.
    pub fn after(&self, mark: &'static str) -> Vec<&Step> {
        let rest =
            self.steps.iter().skip_while(|step| !matches!(step, Step::Mark(it) if *it == mark)).skip(1);
        rest.take_while(|step| !matches!(step, Step::Mark(_))).collect()
    }

    /// Nothing is published between the beginning of the session and `mark`, and births follow it.
    pub fn waits_until(&self, mark: &'static str, session: usize) -> Found {
        let early = self.steps.iter().take_while(|step| !matches!(step, Step::Mark(it) if *it == mark));
        let early = early.filter(|step| matches!(step, Step::Told(told) if told.session == session)).count();
        that(early == 0, || format!("{early} messages before {mark}"))?;
        let first = self.after(mark);
        that(matches!(first.first(), Some(Step::Told(told)) if told.kind == "NBIRTH"), || {
            format!("after {mark}: {first:?}")
        })
    }

    /// After `mark`: the death, and then DISCONNECT.
    pub fn leaves(&self, mark: &'static str) -> Found {
        match self.after(mark).as_slice() {
            [Step::Told(death), Step::Disconnect { session }, ..]
                if death.kind == "NDEATH" && death.session == *session =>
            {
                Ok(())
            }
            other => Err(format!("after {mark}: {other:?}")),
        }
    }

    /// In each session `filter` is subscribed to with QoS 1 before anything is published.
    pub fn subscribes(&self, filter: &str, sessions: std::ops::RangeInclusive<usize>) -> Found {
        for wanted in sessions {
            let mut before = self
                .steps
                .iter()
                .take_while(|step| !matches!(step, Step::Told(told) if told.session == wanted));
            let found = before.any(|step| {
                matches!(step, Step::Subscribe { session, filters }
                    if *session == wanted && filters.contains(&(filter.to_owned(), 1)))
            });
            that(found, || format!("session {wanted} does not subscribe to {filter} first"))?;
        }
        Ok(())
    }
}
