//! Certificates, fences, the change of the authority, regions and settings, from the command line.

use crate::desk::Home;
use crate::output::{note, plain, say};
use crate::setup::{SERVER_FILE, SERVER_KEY_FILE, authority};
use anyhow::{Context, bail};
use clap::Subcommand;
use data_encoding::{BASE64, HEXLOWER};
use engawa_cloud::trust::Hanging;
use engawa_cloud::trust::settings::SETTINGS;
use engawa_link::{regions, rotation};
use engawa_model::Timestamp;
use engawa_protocol::trust::Regions;
use serde_json::json;
use std::path::PathBuf;

/// Certificates listed of one fleet.
const MOST_LISTED: u32 = 10_000;

/// What can be done with gateways beside listing them.
#[derive(Subcommand)]
pub(crate) enum GatewaysAct {
    /// Let a fenced gateway talk again: whichever box comes first is the gateway from then on
    #[command(
        after_help = "Look first: two boxes have used one identity, since a disk was copied, or restored from \
        an old copy. Switch the one off that is not to be the gateway; if it comes later all the same, the gateway is \
        fenced again. If you don't know who has the copy: `engawa-cloud claim` a new code for the right box, and enrol \
        it; the certificates of all others are then revoked."
    )]
    Unfence {
        /// Which gateway.
        gateway: String,
    },
}

/// The authority.
#[derive(Subcommand)]
pub(crate) enum CaAct {
    /// Change the authority while gateways go on
    Rotate {
        /// How far.
        #[command(subcommand)]
        act: RotateAct,
    },
}

/// Steps of a change of the authority.
#[derive(Subcommand)]
pub(crate) enum RotateAct {
    /// Make the next authority: from now on both are trusted, and gateways get their next certificate from it
    Begin,
    /// Which gateways still hang on the old one
    Status {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// The old authority is trusted no more; refused while a gateway hangs on it
    Finish,
}

/// The directory of regions.
#[derive(Subcommand)]
pub(crate) enum RegionsAct {
    /// List the regions and their clouds' addresses
    List,
    /// Note where a region's cloud is
    Set {
        /// The region.
        region: String,
        /// `host:port`.
        address: String,
    },
    /// Forget a region
    Remove {
        /// The region.
        region: String,
    },
    /// Print the directory, signed by the authority, for the clouds of other regions
    Export,
    /// Take a directory over that the authority has signed
    Import {
        /// The file; `-`: standard input.
        file: PathBuf,
    },
}

fn instant(micros: Option<i64>) -> String {
    let at = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

/// `engawa-cloud gateways unfence`.
pub(crate) fn unfence(home: &Home, gateway: &str) -> anyhow::Result<()> {
    let why = home.desk()?.unfence(gateway)?;
    say(&format!("gateway `{gateway}` may talk again; it was fenced since {}", plain(&why)))
}

/// `engawa-cloud certificates`.
pub(crate) fn certificates(home: &Home, gateway: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let desk = home.desk()?;
    desk.require(gateway)?;
    for certificate in desk.certificates(gateway, MOST_LISTED)? {
        if as_json {
            say(&serde_json::to_string(&certificate)?)?;
            continue;
        }
        let revoked = certificate.revoked.map(|why| format!("  revoked: {why}")).unwrap_or_default();
        say(&plain(&format!(
            "{:<20} {}  signed {}, until {}, last used {}{revoked}",
            certificate.gateway,
            certificate.serial,
            instant(certificate.issued_micros),
            instant(Some(certificate.expires_micros)),
            instant(certificate.seen_micros),
        )))?;
    }
    Ok(())
}

/// `engawa-cloud ca rotate`.
pub(crate) fn rotate(home: &Home, act: &RotateAct) -> anyhow::Result<()> {
    let dir = home.dir.as_path();
    // One that can be used is there, and what an earlier change left over is tidied up.
    let now = authority(dir)?;
    match act {
        RotateAct::Begin => {
            // Before anything is made: a database that does not answer is told of here.
            let desk = home.desk()?;
            let begun = rotation::begin(dir)?;
            say(&format!("the next authority is {}", HEXLOWER.encode(&begun.signing_pin())))?;
            if desk.is_shared() {
                note(
                    "copy ca-next.key and ca-next.pem to the folder of every replica, where they are not shared: the next \
                     authority signs once all that serve have it. `engawa-cloud ca rotate status` tells who has not",
                );
            } else {
                note(
                    "a running `serve` takes it over within seconds; gateways get their next certificate from it when they \
                     ask, within a day. `engawa-cloud ca rotate status` tells who has it",
                );
            }
            Ok(())
        }
        RotateAct::Status { json: as_json } => {
            let desk = home.desk()?;
            let hanging = desk.hanging(now.signing_pin())?;
            let lagging = desk.lagging(now.signing_pin())?;
            if *as_json {
                let (old, next) =
                    (HEXLOWER.encode(&now.pin()), now.next_pin().map(|pin| HEXLOWER.encode(&pin)));
                return say(
                    &json!({ "authority": old, "next": next, "hanging": hanging, "replicas": lagging })
                        .to_string(),
                );
            }
            match now.next_pin() {
                None => {
                    say(&format!("one authority, {}; no change is under way", HEXLOWER.encode(&now.pin())))?
                }
                Some(next) => say(&format!(
                    "from {} to {}: {} gateways still hang on the old one",
                    HEXLOWER.encode(&now.pin()),
                    HEXLOWER.encode(&next),
                    hanging.len()
                ))?,
            }
            if now.next_pin().is_some() {
                list_hanging(&hanging)?;
            }
            list_lagging(&lagging)
        }
        RotateAct::Finish => {
            let Some(next) = now.next_pin() else {
                bail!("no change of the authority is under way: `engawa-cloud ca rotate begin` begins one");
            };
            let desk = home.desk()?;
            let lagging = desk.lagging(next)?;
            if !lagging.is_empty() || !desk.next_signs(&now)? {
                list_lagging(&lagging)?;
                bail!(
                    "{} replicas serve without the next authority: copy it to their folders first",
                    lagging.len()
                );
            }
            let hanging = desk.hanging(next)?;
            if !hanging.is_empty() {
                list_hanging(&hanging)?;
                bail!(
                    "{} gateways still hang on the old authority and could not come back: wait until they have been \
                     connected, or revoke those that are gone for good",
                    hanging.len()
                );
            }
            rotation::finish(dir, &dir.join(SERVER_FILE), &dir.join(SERVER_KEY_FILE))?;
            let dropped = desk.drop_open_claims()?;
            if dropped > 0 {
                note(&format!(
                    "{dropped} claim codes were made for the old authority and are void: make new ones"
                ));
            }
            if desk.is_shared() {
                note(
                    "copy this folder's ca-retired.pem, ca.pem, ca.key and server.pem to the other replicas now, in this \
                     order, and remove their ca-next files, where they are not shared. Until the last one has them \
                     gateways go on trusting the old authority",
                );
            }
            say(&format!("the authority is now {}; the old one is trusted no more", HEXLOWER.encode(&next)))
        }
    }
}

fn list_hanging(hanging: &[Hanging]) -> anyhow::Result<()> {
    for gateway in hanging {
        let line =
            format!("{:<20} {:<16} seen {}", gateway.gateway, gateway.property, instant(gateway.seen_micros));
        say(&plain(&line))?;
    }
    Ok(())
}

fn list_lagging(replicas: &[String]) -> anyhow::Result<()> {
    replicas.iter().try_for_each(|address| {
        say(&plain(&format!("the replica at {address} does not have it yet: copy it to its folder")))
    })
}

/// `engawa-cloud regions`.
pub(crate) fn regions(home: &Home, act: RegionsAct) -> anyhow::Result<()> {
    match act {
        RegionsAct::List => {
            for (region, address) in home.desk()?.regions()? {
                say(&plain(&format!("{region:<32} {address}")))?;
            }
            Ok(())
        }
        RegionsAct::Set { region, address } => {
            regions::check(&region, &address)?;
            let told = format!("gateways of region {region} are sent to {address}");
            home.desk()?.set_regions(&[(region, address)])?;
            say(&told)
        }
        RegionsAct::Remove { region } => {
            if !home.desk()?.remove_region(&region)? {
                bail!("region `{}` is not in the directory", plain(&region));
            }
            say(&format!("region {region} is forgotten"))
        }
        RegionsAct::Export => {
            let known = home.desk()?.regions()?;
            let signed = regions::sign(&authority(&home.dir)?, &known)?;
            let document = String::from_utf8_lossy(&signed.document);
            say(&json!({ "document": document, "signature": BASE64.encode(&signed.signature) }).to_string())
        }
        RegionsAct::Import { file } => {
            let text = if file.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin()).context("reading standard input")?
            } else {
                std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?
            };
            let value: serde_json::Value = serde_json::from_str(&text)
                .with_context(|| format!("{} is not what `regions export` prints", file.display()))?;
            let field = |name: &str| value.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            let signature = BASE64.decode(field("signature").as_bytes()).unwrap_or_default();
            let signed = Regions { document: field("document").as_bytes().to_vec(), signature };
            let known = regions::verify(&signed, &authority(&home.dir)?.trusted_pem())?;
            home.desk()?.set_regions(&known)?;
            say(&format!("{} regions are taken over", known.len()))
        }
    }
}

/// `engawa-cloud settings`.
pub(crate) fn settings(home: &Home, key: Option<&str>, value: Option<u32>) -> anyhow::Result<()> {
    let known = || SETTINGS.map(|setting| setting.key).join(", ");
    let wanted = match key {
        None => &SETTINGS[..],
        Some(key) => match SETTINGS.iter().position(|setting| setting.key == key) {
            Some(at) => &SETTINGS[at..=at],
            None => bail!("there is no setting `{}`; there are: {}", plain(key), known()),
        },
    };
    let desk = home.desk()?;
    if let (Some(value), [setting]) = (value, wanted) {
        let (least, most) = setting.range;
        if !(least..=most).contains(&value) {
            bail!("{}: {value} is not between {least} and {most}", setting.key);
        }
        desk.set(setting.key, value)?;
    }
    for setting in wanted {
        let now = desk.setting(setting.key)?;
        say(&format!("{:<24} {now:>10}  {}", setting.key, setting.what))?;
    }
    Ok(())
}
