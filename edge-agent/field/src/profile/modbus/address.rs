//! From the addresses that makers print to those on the wire.
//!
//! Why it is said in the profile and never guessed: 40004 may be wire address 3, 40003 or 40004, and all three answer.

use super::{ModbusProfile, Notation, Table};
use engawa_diag::{Doc, Fault, Path};

/// The addresses of a table that five digits can tell.
const FIVE_DIGITS: u32 = 9999;
/// All addresses of a table.
const ALL: u32 = 1 << 16;

impl ModbusProfile {
    /// What is printed for wire address 0 of `table`, and how many addresses can be printed.
    fn printed(&self, table: Table) -> (u32, u32) {
        let digit = match table {
            Table::Coil => 0,
            Table::Discrete => 1,
            Table::Input => 3,
            Table::Holding => 4,
        };
        match (self.notation, self.printed_base) {
            (Some(Notation::Wire), _) | (None, None) => (0, ALL),
            (Some(Notation::OneBased), _) => (1, ALL),
            (Some(Notation::FiveDigit), _) => (digit * 10_000 + 1, FIVE_DIGITS),
            (Some(Notation::SixDigit), _) => (digit * 100_000 + 1, ALL),
            (None, Some(base)) => (base, ALL),
        }
    }

    /// The wire address of a printed one.
    pub(super) fn wire(&self, table: Table, printed: u32) -> Option<u16> {
        let (base, count) = self.printed(table);
        let wire = printed.checked_sub(base).filter(|wire| *wire < count)?;
        u16::try_from(wire).ok()
    }

    /// The fault of an address at `path` that this notation does not have, or whose value of `length` registers ends
    /// beyond the table.
    pub(super) fn address_fault(
        &self,
        doc: &Doc,
        path: &Path,
        table: Table,
        printed: u32,
        length: u16,
    ) -> Option<Fault> {
        let (base, count) = self.printed(table);
        let what = table.in_words();
        if let Some(wire) = self.wire(table, printed) {
            return (u32::from(wire) + u32::from(length.max(1)) > ALL).then(|| {
                doc.fault(path, format!("a value of {length} registers does not fit at {printed}"))
                    .label("the table ends before it")
            });
        }
        let digits = matches!(self.notation, Some(Notation::FiveDigit | Notation::SixDigit));
        let other = [Table::Coil, Table::Discrete, Table::Holding, Table::Input]
            .into_iter()
            .find(|other| digits && *other != table && self.wire(*other, printed).is_some());
        let message = match other {
            Some(other) => {
                format!("{printed} is of the {}s, and the table is `{}`", other.in_words(), table.key())
            }
            None => format!("{printed} is no address of {what}s"),
        };
        let fault = doc
            .fault(path, message)
            .label(format!("expected {base} to {}", u64::from(base) + u64::from(count) - 1));
        Some(fault.help(match (self.notation, self.printed_base) {
            (Some(Notation::Wire), _) | (None, None) => {
                "addresses are taken as they are on the wire; `notation` says how the maker prints them"
            }
            (Some(Notation::OneBased), _) => {
                "`notation` is \"one-based\": the first address of each table is 1"
            }
            (Some(Notation::FiveDigit), _) => {
                "`notation` is \"five-digit\": the first digit tells the table (0 coil, 1 discrete, 3 input, 4 holding)"
            }
            (Some(Notation::SixDigit), _) => {
                "`notation` is \"six-digit\": the first digit tells the table (0 coil, 1 discrete, 3 input, 4 holding)"
            }
            (None, Some(_)) => "`printed_base` says what is printed for the first address",
        }))
    }
}

impl Table {
    /// Its name in profiles.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }
}
