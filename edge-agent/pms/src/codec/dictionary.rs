//! The records of FIAS and their fields (interface specification 2.20, chapters on guest data, messages, room status,
//! wake-up calls, keys and posting). What the link says and understands is checked against this.

/// Who may send a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The PMS to the gateway.
    In,
    /// The gateway to the PMS.
    Out,
}

/// One kind of record.
#[derive(Clone, Copy, Debug)]
pub struct RecordKind {
    /// Its two letters.
    pub id: &'static str,
    /// What it is, for people.
    pub name: &'static str,
    /// True where the PMS sends it.
    pub from_pms: bool,
    /// True where the gateway's side of the link sends it.
    pub to_pms: bool,
    /// Fields without which it says nothing, two letters each.
    pub mandatory: &'static str,
    /// All other fields that it may have.
    pub optional: &'static str,
    /// Fields that may come more than once.
    pub repeated: &'static str,
}

/// What kind of text a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// YYMMDD.
    Date,
    /// HHMMSS.
    Time,
    /// Digits, with a leading `-` where it is an amount.
    Number,
    /// Anything printable.
    Text,
}

/// `$const in_out id "name" mandatory optional repeated`.
macro_rules! records {
    ($($id:literal $way:tt $name:literal $mandatory:literal $optional:literal $repeated:literal;)*) => {
        /// Every record of the specification.
        pub const RECORDS: &[RecordKind] = &[$(RecordKind {
            id: $id,
            name: $name,
            from_pms: records!(@from $way),
            to_pms: records!(@to $way),
            mandatory: $mandatory,
            optional: $optional,
            repeated: $repeated,
        }),*];
    };
    (@from <) => { true }; (@from >) => { false }; (@from =) => { true };
    (@to <) => { false }; (@to >) => { true }; (@to =) => { true };
}

records! {
    "LS" = "link start" "" "DATI" "";
    "LA" = "link alive" "" "DATI" "";
    "LE" = "link end" "" "DATI" "";
    "LD" > "link description" "DATIIFV#" "RTRLCG" "";
    "LR" > "link record: which fields of a record are wanted" "RIFL" "" "";
    "LC" < "link configuration of the PMS" "" "DATIA0A1A2A3A9PHRP" "";
    "DR" > "request for the list of the house" "" "DATI" "";
    "DS" < "the list of the house begins" "" "DATI" "";
    "DE" < "the list of the house is complete" "" "DATI" "";
    "NS" < "night audit begins" "" "DATI" "";
    "NE" < "night audit is over" "" "DATI" "";
    "GI" < "guest check-in" "RN"
        "G#GSGNGFGTGLGVGAGDGGG+CSMRTVVRNPSFA0A1A2A3A4A5A6A7A8A9DATIWSENESEP" "";
    "GO" < "guest check-out" "RN" "G#GSSFDATIWSENESEP" "";
    "GC" < "guest data change, or move" "RN"
        "G#GSROGNGFGTGLGVGAGDGGG+CSMRTVVRNPA0A1A2A3A4A5A6A7A8A9DATIWSENESEPEOEIET" "GS";
    "VA" > "answer to an assigned direct dialling number" "ENASCTRNESEPG#" "GP" "";
    "XL" = "message, as it is left" "G#RNMT" "MI$JDATI" "";
    "XM" > "message request" "G#RN" "MIRTDATI" "";
    "XT" < "message text" "G#RN" "MIMTDATI" "";
    "XD" = "message deleted or read" "G#RNMI" "DATI" "";
    "XR" > "bill request" "G#RN" "DATI" "";
    "XI" < "bill item" "G#RNF#FDDCBIBD" "DATI" "";
    "XB" < "bill balance" "G#RNBA" "ASDATI" "";
    "XC" = "remote check-out" "G#RN" "BAASCTDATI" "";
    "LO" > "locator on" "" "G#RNCTLTDATI" "";
    "LF" > "locator off" "" "G#RNDATI" "";
    "LP" = "locator" "G#RN" "CTLTASDATI" "";
    "RE" = "room equipment and status" "RN" "G#RSDNMLCSMRTVPUIDCTPPVMDATI" "";
    "WR" = "wake-up call request" "RNDATI" "RT" "";
    "WC" = "wake-up call cleared" "RNDATI" "RT" "";
    "WA" > "wake-up call answer" "RNDATIAS" "RTCT" "";
    "KR" < "key request" "KCKTRNWS"
        "$1$2A0A1A2A3A4A5A6A7A8A9CTDADTG#GAGDGGGNG+IDK#KORTSITI" "";
    "KD" < "keys of a stay end" "KCRNWS" "DAG#IDRTSITIGN" "";
    "KM" < "keys of a stay move or are extended" "G#KCRNWS"
        "ROKT$1$2CTDADTGAGDGGGNIDK#KORTSITIUO" "";
    "KZ" = "a card is to be read; what is on it" "KCWS" "ASCTRNG#GNGDDTKOSIDATI" "";
    "KA" > "key answer" "ASKC" "WSCT$2$3DAG#TI" "";
    "PS" > "posting of a charge" "RNPTDATI"
        "G#P#TAMAM#DDDUMPSOC#CTCVCOD1D2D3D4D5D6D7D8D9S1S2S3S4S5S6S7S8S9T1T2T3T4T5T6T7T8T9TPSCSTT#PCPMPXIDWSX1+0"
        "MAM#X1CT";
    "PR" > "inquiry, or posting to one guest" "PMP#WS"
        "PI$2MXG#GNRNTADATISOC#CTCVD1D2D3D4D5D6D7D8D9S1S2S3S4S5S6S7S8S9T1T2T3T4T5T6T7T8T9TPSCSTT#PXID" "";
    "PL" < "guests that an inquiry found" "P#" "WSRNG#GNA0A1A2A3A4A5A6A7A8A9BACLGAGDGFGGGLGTGVNPPMSOIDDATI"
        "RNG#GNA0A1A2A3A4A5A6A7A8A9BACLGAGDGFGGGLGTGVNPPM";
    "PA" < "posting answer" "AS" "RNP#WSDATICTC#IDSOG#GN" "";
}

impl RecordKind {
    /// The kind with these two letters.
    pub fn of(id: &str) -> Option<&'static Self> {
        RECORDS.iter().find(|kind| kind.id == id)
    }

    /// True if the record may carry `field`.
    pub fn may_have(&self, field: &str) -> bool {
        pairs(self.mandatory).chain(pairs(self.optional)).any(|known| known == field)
    }

    /// True if `field` may come more than once.
    pub fn may_repeat(&self, field: &str) -> bool {
        pairs(self.repeated).any(|known| known == field)
    }

    /// The ways that it goes.
    pub fn ways(&self) -> impl Iterator<Item = Way> {
        [(self.from_pms, Way::In), (self.to_pms, Way::Out)]
            .into_iter()
            .filter(|(goes, _)| *goes)
            .map(|(_, way)| way)
    }
}

/// The field ids of a list such as `RNG#GS`: all are of two ASCII characters.
pub fn pairs(list: &str) -> impl Iterator<Item = &str> {
    (0..list.len()).step_by(2).filter_map(|at| list.get(at..at + 2))
}

/// What `field` holds.
pub fn field_kind(field: &str) -> FieldKind {
    match field {
        "DA" | "GA" | "GD" => FieldKind::Date,
        "TI" | "DU" => FieldKind::Time,
        "G#" | "P#" | "M#" | "MA" | "TA" | "C#" | "CV" | "BI" | "BA" | "CL" | "MI" | "MP" | "T#" | "ST"
        | "TP" | "SC" | "PX" | "PP" => FieldKind::Number,
        _ => FieldKind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_list_is_of_pairs_without_doubles() {
        for kind in RECORDS {
            let all: Vec<_> = pairs(kind.mandatory).chain(pairs(kind.optional)).collect();
            assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "{}", kind.id);
            assert_eq!((kind.mandatory.len() + kind.optional.len()) % 2, 0, "{}", kind.id);
            assert!(pairs(kind.repeated).all(|field| kind.may_have(field)), "{}", kind.id);
        }
        let ids: BTreeSet<_> = RECORDS.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), RECORDS.len());
    }
}
