//! What a rollout is to do: release, cohort, rings. Made once, never changed: another wish is another rollout. Pure.

use super::Refused;
use super::state::{Member, Software};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Rings of one rollout at most.
pub const MOST_RINGS: usize = 16;
/// Names in one list of a cohort at most.
pub const MOST_NAMES: usize = 20_000;
/// What is told of conditions at most, bytes of JSON.
pub const MOST_CONDITIONS: usize = 16 * 1024;
/// The longest time that can be asked for, seconds: 90 days.
pub const LONGEST_S: u32 = 90 * 86_400;
/// The whole, in thousandths.
pub const WHOLE: u32 = 1_000;

/// Which of the two layers of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The agent, in slots A and B.
    Application,
    /// Kernel and root file system.
    System,
}

impl Kind {
    /// As it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::System => "system",
        }
    }

    /// Of a stored word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Application, Self::System].into_iter().find(|kind| kind.word() == word)
    }
}

/// A release as it is for one kind of machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The target triple, such as `aarch64-unknown-linux-gnu`; empty: any.
    pub triple: String,
    /// Boards that it is for; empty: any.
    pub hardware: Vec<String>,
    /// The release counter: grows with each release.
    pub number: u64,
    /// Once it is confirmed, nothing below this number is installed any more.
    pub floor: u64,
    /// The path of its manifest among the repository's targets.
    pub manifest: String,
}

impl Variant {
    /// True if a box like this can run it.
    pub fn fits(&self, software: &Software) -> bool {
        (self.triple.is_empty() || self.triple == software.triple)
            && (self.hardware.is_empty() || self.hardware.contains(&software.hardware))
    }
}

/// What is to be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which layer.
    pub kind: Kind,
    /// Its version (semver).
    pub version: String,
    /// What it is for each kind of machine.
    pub variants: Vec<Variant>,
}

impl Release {
    /// What a box like this gets of it.
    pub fn variant(&self, software: &Software) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.fits(software))
    }
}

/// Who is meant. An empty list leaves all in; of several lists a gateway has to be in each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cohort {
    /// Properties.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub properties: BTreeSet<String>,
    /// Labels of gateways; one of them is enough.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// Regions.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<String>,
    /// Boards.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub hardware: BTreeSet<String>,
    /// Gateways by name.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub gateways: BTreeSet<String>,
}

impl Cohort {
    /// True if it means this gateway. What a gateway has never told can't be meant.
    pub fn means(&self, member: &Member) -> bool {
        let software = member.software.as_ref();
        let of = |list: &BTreeSet<String>, word: Option<&String>| {
            list.is_empty() || word.is_some_and(|word| list.contains(word))
        };
        of(&self.properties, Some(&member.property))
            && (self.labels.is_empty() || !self.labels.is_disjoint(&member.labels))
            && of(&self.regions, software.map(|software| &software.region))
            && of(&self.hardware, software.map(|software| &software.hardware))
            && of(&self.gateways, Some(&member.gateway))
    }

    /// In plain words.
    pub fn words(&self) -> String {
        let lists = [
            ("property", &self.properties),
            ("label", &self.labels),
            ("region", &self.regions),
            ("hardware", &self.hardware),
            ("gateway", &self.gateways),
        ];
        let said: Vec<String> = lists
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(what, list)| {
                let first: Vec<&str> = list.iter().map(String::as_str).take(4).collect();
                let more = list.len() - first.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{what} {}{more}", first.join(", "))
            })
            .collect();
        if said.is_empty() { "all gateways".to_owned() } else { said.join("; ") }
    }
}

/// Who is in a ring, of those that no ring before has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Those with this label.
    Label(String),
    /// So many thousandths of the cohort, the rings before included, rounded up: by the order of a hash of their names.
    Share(u32),
}

/// One ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Its name, such as `canary`.
    pub name: String,
    /// Who is in it.
    pub who: Who,
    /// How long after its last gateway has ended the next ring waits, seconds.
    pub soak_s: u32,
    /// Gateways that may be on the way at once, those that wait for their window included; 0: all of the ring.
    pub in_flight: u32,
    /// So many failures stop the rollout, where they are [`Self::fail_share`] of those that have ended as well.
    pub fail_count: u32,
    /// Thousandths of those that have ended.
    pub fail_share: u32,
    /// So many more thousandths unwell than in the ring before stop it, too.
    pub worse_by: u32,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is to be installed.
    pub release: Release,
    /// On whom.
    #[serde(default)]
    pub cohort: Cohort,
    /// In which steps.
    pub rings: Vec<Ring>,
    /// Conditions that each gateway judges by itself, as `engawa_release::conditions` reads them.
    #[serde(default)]
    pub conditions: serde_json::Value,
    /// A gateway that has not begun in this time is not waited for any more, seconds. It gets the release when it is back.
    pub away_after_s: u32,
    /// A gateway that has switched and is neither confirmed nor back after this time counts as failed, seconds.
    pub trial_s: u32,
    /// A ring ends well only where so many thousandths of it were confirmed (of the last one nothing is asked).
    pub proof: u32,
    /// The version of the repository's timestamp when the plan was made: a copy that is older knows less than it.
    #[serde(default)]
    pub catalogue: u64,
}

/// The rings where none are named: 10 %, 30 %, all, an hour apart. In the first one failure is reason to look; a release that
/// fails on a tenth passes a first ring of fifty once in two hundred times.
pub fn usual_rings() -> Vec<Ring> {
    let ring = |name: &str, share, fail_count, fail_share| Ring {
        name: name.to_owned(),
        who: Who::Share(share),
        soak_s: 3_600,
        in_flight: 0,
        fail_count,
        fail_share,
        worse_by: 50,
    };
    vec![ring("canary", 100, 1, 10), ring("early", 300, 2, 20), ring("all", WHOLE, 3, 30)]
}

impl Ring {
    /// Of words such as `canary:label=canary,soak=1h` or `early:25%,soak=6h,in-flight=50,fail=3/5%,worse=5%`.
    ///
    /// # Errors
    /// What is wrong with them, and what was expected.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let expected = "expected NAME:WHO[,soak=1h][,in-flight=50][,fail=2/2%][,worse=5%], where WHO is 25%, all or label=NAME";
        let wrong = |why: String| Refused(format!("--ring `{text}`: {why}; {expected}"));
        let (name, rest) = text.split_once(':').ok_or_else(|| wrong("it has no `:`".to_owned()))?;
        let mut words = rest.split(',').map(str::trim);
        let who = words.next().unwrap_or_default();
        let who = match who.split_once('=') {
            Some(("label", label)) => Who::Label(label.to_owned()),
            _ if who == "all" => Who::Share(WHOLE),
            _ => Who::Share(share(who).ok_or_else(|| wrong(format!("`{who}` is nobody")))?),
        };
        let mut ring = Self {
            name: name.to_owned(),
            who,
            soak_s: 3_600,
            in_flight: 0,
            fail_count: 2,
            fail_share: 20,
            worse_by: 50,
        };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| wrong(format!("`{word}` has no `=`")))?;
            let bad = || wrong(format!("`{value}` is no value of {key}"));
            match key {
                "soak" => ring.soak_s = seconds(value).ok_or_else(bad)?,
                "in-flight" => ring.in_flight = value.parse().map_err(|_| bad())?,
                "worse" => ring.worse_by = share(value).ok_or_else(bad)?,
                "fail" => {
                    let (count, of) = value.split_once('/').ok_or_else(bad)?;
                    ring.fail_count = count.parse().map_err(|_| bad())?;
                    ring.fail_share = share(of).ok_or_else(bad)?;
                }
                _ => return Err(wrong(format!("there is no `{key}`"))),
            }
        }
        Ok(ring)
    }
}

/// A percentage such as `5%` or `0.5%` in thousandths.
pub fn share(text: &str) -> Option<u32> {
    let number: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
    // Between 0 and 100 there is no overflow; finer than a tenth of a percent is not meant.
    let thousandths = (number * 10.0).round();
    (0.0..=1_000.0).contains(&thousandths).then_some(thousandths as u32)
}

/// A time such as `90s`, `30m`, `6h`, `2d` in seconds.
pub fn seconds(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u32>().ok()?.checked_mul(factor)
}

/// Seconds in the largest unit that is whole.
pub fn spoken(seconds: u32) -> String {
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")]
        .into_iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{seconds}s"), |(unit, word)| format!("{}{word}", seconds / unit))
}

/// True for a name of a ring or label: letters, digits, `-`, `_`, `.`, `=`; at most 64.
pub fn good_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
}

impl Plan {
    /// As it is stored, both JSON: itself without its cohort, and that, which may be a long list.
    pub fn stored(&self) -> (String, String) {
        let bare = Self { cohort: Cohort::default(), ..self.clone() };
        // Our own types always have a JSON form.
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        (text(serde_json::to_string(&bare)), text(serde_json::to_string(&self.cohort)))
    }

    /// Of what is stored.
    ///
    /// # Errors
    /// It is not what [`Self::stored`] has made.
    pub fn of_stored(plan: &str, cohort: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { cohort: serde_json::from_str(cohort)?, ..serde_json::from_str(plan)? })
    }

    /// True where the conditions say that it is too late (`not_after`): nobody begins any more.
    pub fn is_over(&self, micros: i64) -> bool {
        let end = self.conditions.get("not_after").and_then(serde_json::Value::as_str);
        let end = end.and_then(|text| text.parse::<engawa_model::Timestamp>().ok());
        end.is_some_and(|end| micros > end.as_microsecond())
    }

    /// Sees that it makes sense.
    ///
    /// # Errors
    /// What does not, and what was expected.
    pub fn check(&self) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused(why));
        if self.release.variants.is_empty() {
            return refuse(format!("release {} has no manifest", self.release.version));
        }
        if self.rings.is_empty() || self.rings.len() > MOST_RINGS {
            return refuse(format!("{} rings: expected 1 to {MOST_RINGS}", self.rings.len()));
        }
        let (mut names, mut before) = (BTreeSet::new(), 0);
        for ring in &self.rings {
            if !good_word(&ring.name) || !names.insert(ring.name.as_str()) {
                return refuse(format!(
                    "ring `{}`: expected a name of its own: letters, digits, `-`",
                    ring.name
                ));
            }
            match &ring.who {
                Who::Label(label) if !good_word(label) => {
                    return refuse(format!("ring `{}`: `{label}` is no label", ring.name));
                }
                Who::Share(share) if *share <= before || *share > WHOLE => {
                    return refuse(format!(
                        "ring `{}`: expected more of the cohort than in the rings before, and at most 100 %",
                        ring.name
                    ));
                }
                Who::Share(share) => before = *share,
                Who::Label(_) => {}
            }
            if ring.soak_s > LONGEST_S {
                return refuse(format!("ring `{}`: it soaks for more than 90 days", ring.name));
            }
            if ring.fail_count == 0 || ring.fail_share > WHOLE || ring.worse_by > WHOLE {
                return refuse(format!(
                    "ring `{}`: expected at least one failure, and shares up to 100 %",
                    ring.name
                ));
            }
        }
        let lists = [
            &self.cohort.properties,
            &self.cohort.labels,
            &self.cohort.regions,
            &self.cohort.hardware,
            &self.cohort.gateways,
        ];
        if lists.iter().any(|list| list.len() > MOST_NAMES) {
            return refuse(format!(
                "more than {MOST_NAMES} names in one list of the cohort: give them a label"
            ));
        }
        if !(60..=LONGEST_S).contains(&self.away_after_s) || !(10..=LONGEST_S).contains(&self.trial_s) {
            return refuse("--away-after is 1m to 90d, --trial 10s to 90d".to_owned());
        }
        if self.proof > WHOLE {
            return refuse("--proof is at most 100 %".to_owned());
        }
        if serde_json::to_vec(&self.conditions).map_or(0, |text| text.len()) > MOST_CONDITIONS {
            return refuse(format!("the conditions have more than {MOST_CONDITIONS} bytes"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_said_in_words() {
        let ring = Ring::parse("early:25%,soak=6h,in-flight=50,fail=3/2.5%,worse=10%").unwrap();
        assert_eq!(
            ring,
            Ring {
                name: "early".into(),
                who: Who::Share(250),
                soak_s: 21_600,
                in_flight: 50,
                fail_count: 3,
                fail_share: 25,
                worse_by: 100
            }
        );
        assert_eq!(Ring::parse("canary:label=canary").unwrap().who, Who::Label("canary".into()));
        assert_eq!(Ring::parse("rest:all,soak=0s").unwrap().who, Who::Share(WHOLE));
        for (text, why) in [
            ("early", "no `:`"),
            ("early:some", "`some` is nobody"),
            ("early:101%", "`101%` is nobody"),
            ("early:5%,soak", "`soak` has no `=`"),
            ("early:5%,soak=1", "`1` is no value of soak"),
            ("early:5%,soak=9999999d", "no value of soak"),
            ("early:5%,fail=5%", "no value of fail"),
            ("early:5%,colour=red", "no `colour`"),
        ] {
            let error = Ring::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("expected NAME:WHO"), "{text}: {error}");
        }
    }

    #[test]
    fn times_are_spoken_as_they_are_read() {
        for text in ["0s", "90s", "5m", "1h", "2d"] {
            assert_eq!(spoken(seconds(text).unwrap()), text);
        }
    }

    #[test]
    fn a_senseless_plan_is_refused_with_what_was_expected() {
        let variant =
            Variant { triple: "t".into(), hardware: vec![], number: 2, floor: 0, manifest: "m".into() };
        let release = Release { kind: Kind::Application, version: "2.0.0".into(), variants: vec![variant] };
        let plan = Plan {
            release,
            cohort: Cohort::default(),
            rings: usual_rings(),
            conditions: serde_json::Value::Null,
            away_after_s: 86_400,
            trial_s: 600,
            proof: 500,
            catalogue: 0,
        };
        plan.check().unwrap();
        type Spoil = fn(&mut Plan);
        let spoils: [(Spoil, &str); 8] = [
            (|plan| plan.release.variants.clear(), "no manifest"),
            (|plan| plan.rings.clear(), "expected 1 to 16"),
            (|plan| plan.rings[1].name = "canary".into(), "a name of its own"),
            (|plan| plan.rings[1].who = Who::Share(10), "more of the cohort"),
            (|plan| plan.rings[0].fail_count = 0, "at least one failure"),
            (|plan| plan.away_after_s = 1, "--away-after"),
            (|plan| plan.proof = 2_000, "--proof"),
            (|plan| plan.conditions = "x".repeat(MOST_CONDITIONS).into(), "conditions"),
        ];
        for (spoil, why) in spoils {
            let mut plan = plan.clone();
            spoil(&mut plan);
            assert!(plan.check().unwrap_err().to_string().contains(why), "{why}");
        }
    }
}
