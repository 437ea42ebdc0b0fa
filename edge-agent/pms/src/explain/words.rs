//! The records and fields of FIAS 2.20, in words: what `explain` knows. (Specification 2.20.24, chapters on records and
//! the tables of fields, pages 25 to 121.)

/// Who sends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Pms,
    Gateway,
    Both,
}

/// A record.
pub(super) struct RecordWords {
    pub(super) id: &'static str,
    pub(super) sender: Sender,
    pub(super) title: &'static str,
    /// Fields without which the record means nothing.
    pub(super) needs: &'static [&'static str],
}

const fn record(
    id: &'static str,
    sender: Sender,
    title: &'static str,
    needs: &'static [&'static str],
) -> RecordWords {
    RecordWords { id, sender, title, needs }
}

use Sender::{Both, Gateway, Pms};

/// All records.
pub(super) const RECORDS: [RecordWords; 39] = [
    record("LS", Both, "link start: speak, or are you there?", &[]),
    record("LA", Both, "link alive: the link can be used", &[]),
    record("LE", Both, "link end: the other side says good-bye", &[]),
    record("LD", Gateway, "link description: who connects", &["IF", "V#"]),
    record("LR", Gateway, "link record: which fields of a record are wanted", &["RI", "FL"]),
    record("LC", Pms, "link configuration: versions and settings of the PMS", &[]),
    record("DR", Gateway, "asks for the list of the house", &[]),
    record("DS", Pms, "the list of the house begins", &[]),
    record("DE", Pms, "the list of the house is complete", &[]),
    record("NS", Pms, "night audit begins", &[]),
    record("NE", Pms, "night audit is over", &[]),
    record("GI", Pms, "check-in", &["RN"]),
    record("GO", Pms, "check-out", &["RN"]),
    record("GC", Pms, "change of a guest's data, or a move", &["RN"]),
    record("RE", Both, "room status or equipment", &["RN"]),
    record("WR", Both, "a wake-up call is wanted", &["RN", "DA", "TI"]),
    record("WC", Both, "a wake-up call is cancelled", &["RN"]),
    record("WA", Gateway, "how a wake-up call went", &["RN", "AS"]),
    record("KR", Pms, "a key is wanted", &["KC", "KT", "RN", "WS"]),
    record("KD", Pms, "keys of a guest end", &["KC", "RN", "WS"]),
    record("KM", Pms, "keys move with their guest", &["G#", "KC", "RN", "WS"]),
    record("KA", Gateway, "how the making of a key went", &["AS", "KC", "WS"]),
    record("KZ", Both, "a key is read", &["KC", "WS"]),
    record("XL", Both, "a message for a guest", &["G#", "RN", "MT"]),
    record("XM", Gateway, "asks for a guest's messages", &["G#", "RN"]),
    record("XT", Pms, "the text of a message", &["G#", "RN"]),
    record("XD", Both, "a message was deleted or read", &["G#", "MI", "RN"]),
    record("XR", Gateway, "asks for a guest's bill", &["G#", "RN"]),
    record("XI", Pms, "an item of a bill", &["G#", "RN", "BI"]),
    record("XB", Pms, "the balance of a bill", &["G#", "RN", "BA"]),
    record("XC", Both, "remote check-out", &["G#", "RN"]),
    record("LO", Pms, "where a guest can be found", &["G#"]),
    record("LF", Pms, "a guest's whereabouts end", &["G#"]),
    record("LP", Both, "asks or answers where a guest is", &[]),
    record("PS", Gateway, "a charge to a room", &["DA", "TI", "PT", "RN"]),
    record("PR", Gateway, "asks for a guest, or charges one that was found", &["PM", "P#", "WS"]),
    record("PL", Pms, "guests that were found", &["P#", "WS"]),
    record("PA", Pms, "the PMS's answer to a charge", &["AS"]),
    record("VA", Gateway, "a direct-dial number is assigned", &["AS"]),
];

/// What a field's value looks like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Anything.
    Text,
    /// YYMMDD.
    Date,
    /// HHMMSS.
    Time,
    /// Y or N.
    YesNo,
    /// Digits, perhaps with a minus before them.
    Number,
    /// Minor units without a separator.
    Amount,
    /// One of a table.
    Code(&'static [(&'static str, &'static str)]),
}

/// A field.
pub(super) struct FieldWords {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

const fn field(id: &'static str, name: &'static str, kind: Kind) -> FieldWords {
    FieldWords { id, name, kind }
}

const ANSWERS: &[(&str, &str)] = &[
    ("OK", "done"),
    ("NG", "guest not found or unknown room"),
    ("NP", "the guest has a no-post flag"),
    ("NA", "night audit runs"),
    ("RY", "try again later"),
    ("UR", "can't be done, and not to be tried again"),
    ("CO", "over the credit limit"),
    ("DM", "subtotals do not match the total"),
    ("DN", "denied"),
    ("IA", "invalid account"),
    ("FX", "not allowed for this guest"),
    ("NF", "the feature is off"),
    ("NM", "no message"),
    ("NR", "no response"),
    ("BY", "busy"),
    ("DE", "deleted"),
    ("BM", "balance mismatch"),
    ("CD", "departure is not today"),
    ("AA", "number assigned already"),
    ("AN", "number not assigned"),
];
const POSTING: &[(&str, &str)] =
    &[("C", "direct charge"), ("M", "minibar"), ("T", "telephone"), ("D", "direct charge, as Protel has it")];
const STATUS: &[(&str, &str)] = &[
    ("1", "dirty, vacant"),
    ("2", "dirty, occupied"),
    ("3", "clean, vacant"),
    ("4", "clean, occupied"),
    ("5", "inspected, vacant"),
    ("6", "inspected, occupied"),
];
const CALLS: &[(&str, &str)] = &[("0", "barred"), ("1", "local"), ("2", "national"), ("3", "free")];
const KEY: &[(&str, &str)] = &[("N", "new; older ones end"), ("D", "a duplicate"), ("O", "for once")];
const MINIBAR: &[(&str, &str)] = &[("MU", "unlocked"), ("MN", "normal"), ("ML", "locked")];
const TELEVISION: &[(&str, &str)] =
    &[("TU", "unlimited"), ("TX", "no pay movies"), ("TM", "no adult movies"), ("TN", "none")];

/// The fields that are named here; A0 to A9 and others are read by their pattern.
pub(super) const FIELDS: [FieldWords; 66] = [
    field("RN", "room", Kind::Text),
    field("RO", "old room", Kind::Text),
    field("G#", "reservation", Kind::Text),
    field("GS", "share flag", Kind::YesNo),
    field("GN", "name", Kind::Text),
    field("GF", "first name", Kind::Text),
    field("GT", "title", Kind::Text),
    field("GL", "language", Kind::Text),
    field("GA", "arrival", Kind::Date),
    field("GD", "departure", Kind::Date),
    field("GG", "group", Kind::Text),
    field("GV", "VIP code", Kind::Text),
    field("G+", "profile", Kind::Text),
    field("NP", "no postings", Kind::YesNo),
    field("SF", "part of a list", Kind::Text),
    field("DA", "date", Kind::Date),
    field("TI", "time", Kind::Time),
    field("DN", "telephone quiet", Kind::YesNo),
    field("ML", "message light", Kind::YesNo),
    field("CS", "class of service", Kind::Code(CALLS)),
    field("MR", "minibar right", Kind::Code(MINIBAR)),
    field("TV", "television right", Kind::Code(TELEVISION)),
    field("VR", "video right", Kind::Text),
    field("RS", "room status", Kind::Code(STATUS)),
    field("PU", "maids' points", Kind::Number),
    field("PP", "print on", Kind::Number),
    field("VM", "voice mail", Kind::Text),
    field("ID", "user", Kind::Text),
    field("WS", "work station", Kind::Text),
    field("P#", "posting number", Kind::Number),
    field("PT", "kind of charge", Kind::Code(POSTING)),
    field("TA", "amount, minor units", Kind::Amount),
    field("AS", "answer", Kind::Code(ANSWERS)),
    field("CT", "text", Kind::Text),
    field("SO", "outlet", Kind::Text),
    field("C#", "check number", Kind::Text),
    field("MA", "article", Kind::Text),
    field("M#", "pieces", Kind::Number),
    field("DD", "dialled", Kind::Text),
    field("DU", "duration", Kind::Time),
    field("MP", "meter pulses", Kind::Number),
    field("X1", "text", Kind::Text),
    field("PI", "searched for", Kind::Text),
    field("PM", "payment method", Kind::Text),
    field("MX", "most matches", Kind::Number),
    field("CL", "credit limit", Kind::Amount),
    field("BA", "balance, minor units", Kind::Amount),
    field("BI", "item, minor units", Kind::Amount),
    field("BD", "what for", Kind::Text),
    field("DC", "department", Kind::Text),
    field("F#", "folio", Kind::Text),
    field("FD", "shown", Kind::YesNo),
    field("MI", "message", Kind::Text),
    field("MT", "message text", Kind::Text),
    field("KC", "key coder", Kind::Text),
    field("KT", "kind of key", Kind::Code(KEY)),
    field("KO", "key options", Kind::Text),
    field("K#", "keys", Kind::Number),
    field("DT", "until", Kind::Text),
    field("SI", "rooms of the suite", Kind::Text),
    field("IF", "kind of interface", Kind::Text),
    field("V#", "version", Kind::Text),
    field("RT", "asks for parts of LC", Kind::Number),
    field("CG", "proof of the AuthKey", Kind::Text),
    field("RI", "record", Kind::Text),
    field("FL", "fields", Kind::Text),
];
