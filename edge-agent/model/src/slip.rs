//! What a charge may say beyond amount and text (FIAS 2.20, PS and PR): an outlet's check with its subtotals, what was
//! taken from a minibar, a telephone call.

use crate::Personal;
use serde::{Deserialize, Serialize};

/// Subtotals, taxes and discounts come in nine each (S1-S9, T1-T9, D1-D9).
pub const MOST_SUBTOTALS: usize = 9;
/// Articles of one minibar charge.
pub const MOST_ARTICLES: usize = 50;

/// An outlet's check. Amounts are in the minor units of the charge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slip {
    /// C#: the check's number.
    pub check: Option<u32>,
    /// CV: covers.
    pub covers: Option<u16>,
    /// ST: serving time, the outlet's number for breakfast, lunch, ...
    pub serving: Option<u16>,
    /// T#: the table.
    pub table: Option<u16>,
    /// PX: persons.
    pub persons: Option<u16>,
    /// S1 to S9.
    pub subtotals: Vec<i64>,
    /// T1 to T9.
    pub taxes: Vec<i64>,
    /// D1 to D9, negative.
    pub discounts: Vec<i64>,
    /// TP: tip.
    pub tip: Option<i64>,
    /// SC: service charge.
    pub service: Option<i64>,
    /// PM: how it is paid; `ROOM` where it is to go on the bill.
    pub payment: Option<String>,
    /// CO: post also over the credit limit.
    pub over_limit: bool,
    /// ID: who charges.
    pub user: Option<String>,
    /// WS: where.
    pub workstation: Option<String>,
    /// X1: a second text.
    pub remark: Option<String>,
}

impl Slip {
    /// What is wrong with it for a charge of `total` minor units.
    ///
    /// # Errors
    /// In plain words. The PMS would refuse with DM: its parts must add up to the total.
    pub fn check(&self, total: i64) -> Result<(), String> {
        for (name, list) in
            [("subtotals", &self.subtotals), ("taxes", &self.taxes), ("discounts", &self.discounts)]
        {
            if list.len() > MOST_SUBTOTALS {
                return Err(format!("{name}: at most {MOST_SUBTOTALS}, not {}", list.len()));
            }
        }
        let parts = self.subtotals.iter().chain(&self.taxes).chain(&self.discounts);
        let parts: Vec<i64> = parts.copied().chain(self.tip).chain(self.service).collect();
        let sum = parts.iter().fold(0_i64, |sum, part| sum.saturating_add(*part));
        if parts.is_empty() || sum == total {
            Ok(())
        } else {
            Err(format!(
                "subtotals, taxes, discounts, tip and service add up to {sum}, not to the amount {total}: \
                 discounts are negative"
            ))
        }
    }
}

/// Something taken from a minibar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Article {
    /// MA: the article's number in the PMS, up to four digits.
    pub article: u16,
    /// M#: how many, 1 to 99.
    #[serde(default = "one")]
    pub count: u8,
}

const fn one() -> u8 {
    1
}

/// A telephone call (PT T).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// DD: what was dialled.
    #[serde(default)]
    pub dialled: Option<Personal<String>>,
    /// DU: how long, seconds.
    #[serde(default)]
    pub seconds: Option<u32>,
    /// MP: meter pulses, where the exchange counts these.
    #[serde(default)]
    pub pulses: Option<u32>,
}

/// What kind of charge it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", content = "with", rename_all = "kebab-case")]
pub enum PostingDetail {
    /// An amount with a text (PS, PT C).
    #[default]
    Plain,
    /// An outlet's check (PS, PT C).
    Slip(Slip),
    /// Taken from the minibar: the PMS knows the prices (PS, PT M).
    Minibar(Vec<Article>),
    /// A telephone call (PS, PT T).
    Call(Call),
    /// To the bill of one guest among several in the room, by name (PR with G#, GN, TA).
    Guest {
        /// GN, as the PMS has it.
        name: Personal<String>,
    },
}

impl PostingDetail {
    /// Takes out what is personal; true where there was something.
    pub(crate) fn forget(&mut self) -> bool {
        match self {
            Self::Call(call) => call.dialled.take().is_some(),
            Self::Guest { name } => {
                let was = !name.reveal().is_empty();
                *name = Personal::new(String::new());
                was
            }
            Self::Plain | Self::Slip(_) | Self::Minibar(_) => false,
        }
    }

    /// True for an amount with a text and nothing else.
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}
