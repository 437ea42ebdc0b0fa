//! `engawa rules charges`: what rules propose to charge, and staff's word on it.

use crate::asking::ask;
use crate::cli::{File, Form, with};
use crate::config::Loaded;
use crate::listing;
use anyhow::anyhow;
use clap::Args;
use engawa_model::{ChargeState, Currency};
use serde_json::json;
use std::io::Write as _;

/// Which, and what of it.
#[derive(Args)]
pub(crate) struct Charges {
    #[command(flatten)]
    file: File,
    /// Post the one with this number.
    #[arg(long, value_name = "NUMBER", conflicts_with = "decline")]
    accept: Option<u32>,
    /// Don't post the one with this number.
    #[arg(long, value_name = "NUMBER")]
    decline: Option<u32>,
    /// How much, such as 9.50, in the property's currency; where the rule names no amount, or another is right.
    #[arg(long, requires = "accept")]
    amount: Option<String>,
    #[command(flatten)]
    form: Form,
}

impl Charges {
    pub(super) fn run(&self) -> u8 {
        with(&self.file, |loaded| match (self.accept, self.decline) {
            (Some(number), _) => {
                let currency = loaded.config.property.currency;
                let amount = self.amount.as_deref().map(|text| minor(text, currency)).transpose()?;
                let amount = amount.map(|minor| json!({ "minor": minor, "currency": currency }));
                let action =
                    json!({ "do": "settle-charge", "charge": number, "accept": true, "amount": amount });
                ask(loaded, "rules", action)?;
                println!("charge {number} goes to the PMS");
                Ok(())
            }
            (None, Some(number)) => {
                ask(loaded, "rules", json!({ "do": "settle-charge", "charge": number, "accept": false }))?;
                println!("charge {number} is declined");
                Ok(())
            }
            (None, None) => Ok(list(loaded, self.form.json)?),
        })
    }
}

fn list(loaded: &Loaded, as_json: bool) -> anyhow::Result<()> {
    let property = listing::stored(loaded)?;
    let mut out = crate::answer::lock();
    for charge in property.charges().values() {
        if as_json {
            writeln!(out, "{}", json!(charge))?;
        } else if charge.state == ChargeState::Proposed {
            let amount = charge.amount.map_or("amount open".to_owned(), |amount| {
                format!("{} {} (minor units)", amount.minor, amount.currency)
            });
            writeln!(
                out,
                "{:>6}  room {:<6} {:<20} {amount}, {} times, last {}",
                charge.number, charge.room, charge.text, charge.count, charge.last
            )?;
        }
    }
    Ok(())
}

/// An amount as people write it, in minor units.
fn minor(text: &str, currency: Currency) -> anyhow::Result<i64> {
    let digits = usize::from(currency.minor_digits());
    let wrong =
        || anyhow!("`{text}` is not an amount in {currency}: digits, and at most {digits} after a point");
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(part) || part.len() > digits {
        return Err(wrong());
    }
    let minor: i64 = format!("{whole}{part:0<digits$}").parse().map_err(|_| wrong())?;
    if minor == 0 { Err(wrong()) } else { Ok(minor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_people_write_them() {
        let (eur, jpy) = (Currency::new("EUR").unwrap(), Currency::new("JPY").unwrap());
        for (text, currency, is) in [
            ("9.50", eur, Some(950)),
            ("9.5", eur, Some(950)),
            ("9", eur, Some(900)),
            ("1200", jpy, Some(1200)),
            ("12.5", jpy, None),
            ("9,50", eur, None),
            ("-3", eur, None),
            ("0.00", eur, None),
            ("9.505", eur, None),
            ("", eur, None),
            ("99999999999999999999", eur, None),
        ] {
            assert_eq!(minor(text, currency).ok(), is, "{text} {currency}");
        }
    }
}
