//! What a site uses its PMS link for. Each use asks the PMS for the records and fields that it needs (LR), and for no
//! more: the PMS sends only what is asked for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// One use of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Who is in which room (GI, GC, GO), telephone DND and message light (RE).
    Guests,
    /// Rights of telephone, minibar and television, as RE tells them.
    Rights,
    /// The same rights and that of video, as GI and GC tell them: a PMS is set up for one of the two.
    RightsAtCheckIn,
    /// The group of a guest (GG).
    Groups,
    /// Which guests the PMS takes no charges for (NP).
    NoPost,
    /// Housekeeping status and door signs (RE with RS).
    RoomStatus,
    /// Who reports a status, and notes that the PMS prints (RE with ID, CT, PP, PU).
    RoomReports,
    /// Waiting voice mail (RE with VM).
    VoiceMail,
    /// Charges (PS, PA).
    Postings,
    /// Charges with an outlet's check (PS with C#, S1-S9, ...).
    Slips,
    /// Charges for what was taken from a minibar (PS, PT M).
    Minibar,
    /// Charges for telephone calls (PS, PT T).
    Telephone,
    /// Looking guests up, and charges to one guest among several (PR, PL).
    Inquiry,
    /// Text messages (XL, XM, XT, XD).
    Messages,
    /// The bill, and check-out from the room (XR, XI, XB, XC).
    Bill,
    /// Where guests can be found (LP).
    Locator,
    /// Keys (KR, KD, KM, KZ, KA).
    Keys,
    /// Wake-up calls (WR, WC, WA).
    WakeUp,
}

impl Use {
    /// What is used where the configuration says nothing.
    pub fn usual() -> BTreeSet<Self> {
        [Self::Guests, Self::Rights, Self::RoomStatus, Self::Postings, Self::WakeUp].into()
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name as the configuration has it: a unit variant always serializes to a string.
        self.serialize(f)
    }
}

/// What a free field (A0 to A9) holds at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FreeField {
    /// A telephone number.
    Phone,
    /// An address for mail.
    Email,
}

/// What is asked of the PMS, record by record.
pub(crate) fn asked(uses: &BTreeSet<Use>, free_fields: &[&str]) -> Vec<(&'static str, String)> {
    let on = |wanted: Use| uses.contains(&wanted);
    let some = |list: &[(bool, &str)]| -> String {
        list.iter().filter(|(used, _)| *used).map(|(_, fields)| *fields).collect()
    };
    let free: String = free_fields.concat();
    let (posts, asks) = (on(Use::Postings), on(Use::Inquiry));
    let (slips, calls, bar) = (on(Use::Slips), on(Use::Telephone), on(Use::Minibar));
    let guest = |last: &str| {
        let rights = on(Use::RightsAtCheckIn);
        let more = [(rights, "CSMRTVVR"), (on(Use::Groups), "GG"), (on(Use::NoPost), "NP"), (true, &*free)];
        format!("RNG#GSGNGFGTGLGVGAGD{}{last}", some(&more))
    };
    let equipment = [
        (true, "RN"),
        (on(Use::Guests), "G#"),
        (on(Use::RoomStatus) || on(Use::RoomReports), "RS"),
        (on(Use::Guests), "DNML"),
        (on(Use::Rights), "CSMRTV"),
        (on(Use::RoomReports), "PUIDCTPP"),
        (on(Use::VoiceMail), "VM"),
    ];
    let equipped =
        [Use::Guests, Use::Rights, Use::RoomStatus, Use::RoomReports, Use::VoiceMail].into_iter().any(on);
    let charge = [
        (true, "RNG#PTTAP#CTSODATI"),
        (slips, "C#CVSTT#PXPMCOIDWSX1TPSCS1S2S3S4S5S6S7S8S9T1T2T3T4T5T6T7T8T9D1D2D3D4D5D6D7D8D9"),
        (bar, "MAM#"),
        (calls, "DDDUMP"),
    ];
    let all: Vec<(bool, &'static str, String)> = vec![
        (on(Use::Guests), "GI", guest("SF")),
        (on(Use::Guests), "GC", guest("RO")),
        (on(Use::Guests), "GO", "RNG#GSSF".to_owned()),
        (equipped, "RE", some(&equipment)),
        (posts || slips || bar || calls, "PS", some(&charge)),
        (asks, "PR", "P#PMWSPIMXSOG#GNRNTACTDATI".to_owned()),
        (asks, "PL", "P#WSSORNG#GNGFGTGVGAGDNPCL".to_owned()),
        (posts || slips || bar || calls || asks, "PA", "RNASP#CTDATI".to_owned()),
        (on(Use::Messages), "XL", "RNG#MIMT$JDATI".to_owned()),
        (on(Use::Messages), "XM", "RNG#MIRT".to_owned()),
        (on(Use::Messages), "XT", "RNG#MIMTDATI".to_owned()),
        (on(Use::Messages), "XD", "RNG#MI".to_owned()),
        (on(Use::Bill), "XR", "RNG#".to_owned()),
        (on(Use::Bill), "XI", "RNG#F#FDDCBIBDDATI".to_owned()),
        (on(Use::Bill), "XB", "RNG#BAAS".to_owned()),
        (on(Use::Bill), "XC", "RNG#BAASCTDATI".to_owned()),
        (on(Use::Locator), "LP", "RNG#CTLTAS".to_owned()),
        (on(Use::Keys), "KR", "KCKTRNWSG#GAGDDTKOSI".to_owned()),
        (on(Use::Keys), "KM", "KCRNWSG#ROGAGDDTKOSI".to_owned()),
        (on(Use::Keys), "KD", "KCRNWSG#SI".to_owned()),
        (on(Use::Keys), "KZ", "KCWSASCTRNG#DATI".to_owned()),
        (on(Use::Keys), "KA", "ASKCWSG#CT$2DATI".to_owned()),
        (on(Use::WakeUp), "WR", "RNDATI".to_owned()),
        (on(Use::WakeUp), "WC", "RNDATI".to_owned()),
        (on(Use::WakeUp), "WA", "RNDATIAS".to_owned()),
        (true, "NS", "DATI".to_owned()),
        (true, "NE", "DATI".to_owned()),
    ];
    all.into_iter().filter(|(used, ..)| *used).map(|(_, id, fields)| (id, fields)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::dictionary::{RecordKind, pairs};

    fn ids(uses: &[Use]) -> Vec<&'static str> {
        asked(&uses.iter().copied().collect(), &[]).into_iter().map(|(id, _)| id).collect()
    }

    fn fields(uses: &[Use], record: &str) -> String {
        let all = asked(&uses.iter().copied().collect(), &["A3"]);
        all.into_iter().find(|(id, _)| *id == record).map(|(_, fields)| fields).unwrap_or_default()
    }

    #[test]
    fn each_use_asks_for_its_records_alone() {
        for (used, wanted) in [
            (Use::Guests, vec!["GI", "GC", "GO", "RE"]),
            (Use::Rights, vec!["RE"]),
            (Use::RightsAtCheckIn, vec![]),
            (Use::Groups, vec![]),
            (Use::NoPost, vec![]),
            (Use::RoomStatus, vec!["RE"]),
            (Use::RoomReports, vec!["RE"]),
            (Use::VoiceMail, vec!["RE"]),
            (Use::Postings, vec!["PS", "PA"]),
            (Use::Slips, vec!["PS", "PA"]),
            (Use::Minibar, vec!["PS", "PA"]),
            (Use::Telephone, vec!["PS", "PA"]),
            (Use::Inquiry, vec!["PR", "PL", "PA"]),
            (Use::Messages, vec!["XL", "XM", "XT", "XD"]),
            (Use::Bill, vec!["XR", "XI", "XB", "XC"]),
            (Use::Locator, vec!["LP"]),
            (Use::Keys, vec!["KR", "KM", "KD", "KZ", "KA"]),
        ] {
            assert_eq!(ids(&[used]), [wanted, vec!["NS", "NE"]].concat(), "{used}");
        }
    }

    #[test]
    fn each_use_asks_for_its_fields_alone() {
        for (uses, record, wanted) in [
            (&[Use::Guests][..], "GI", "RNG#GSGNGFGTGLGVGAGDA3SF"),
            (&[Use::Guests, Use::Groups, Use::NoPost], "GC", "RNG#GSGNGFGTGLGVGAGDGGNPA3RO"),
            (&[Use::Guests, Use::RightsAtCheckIn], "GI", "RNG#GSGNGFGTGLGVGAGDCSMRTVVRA3SF"),
            (&[Use::Guests], "RE", "RNG#DNML"),
            (&[Use::Guests, Use::RoomStatus, Use::Rights], "RE", "RNG#RSDNMLCSMRTV"),
            (&[Use::RoomReports, Use::VoiceMail], "RE", "RNRSPUIDCTPPVM"),
            (&[Use::Postings], "PS", "RNG#PTTAP#CTSODATI"),
            (&[Use::Minibar, Use::Telephone], "PS", "RNG#PTTAP#CTSODATIMAM#DDDUMP"),
        ] {
            assert_eq!(fields(uses, record), wanted, "{uses:?} {record}");
        }
    }

    #[test]
    fn what_is_asked_for_is_in_the_dictionary() {
        let all = [
            Use::usual().into_iter().collect(),
            vec![
                Use::RightsAtCheckIn,
                Use::Groups,
                Use::NoPost,
                Use::RoomReports,
                Use::VoiceMail,
                Use::Slips,
                Use::Minibar,
                Use::Telephone,
                Use::Inquiry,
                Use::Messages,
                Use::Bill,
                Use::Locator,
                Use::Keys,
                Use::WakeUp,
            ],
        ]
        .concat();
        for (id, list) in asked(&all.into_iter().collect(), &["A0", "A9"]) {
            let kind = RecordKind::of(id).unwrap();
            for field in pairs(&list) {
                // GC says itself by GS that it is no list; SF is GI's alone.
                assert!(kind.may_have(field), "{id} has no {field}");
            }
            assert_eq!(list.len(), 2 * pairs(&list).collect::<BTreeSet<_>>().len(), "{id}: a field twice");
        }
    }
}
