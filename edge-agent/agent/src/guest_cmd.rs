//! `engawa guest`: what is held on guests, for whoever says who they are and why. Every answer leaves a row in the audit
//! trail before it is shown.

mod audit;
mod register;
mod show;

use crate::cli::{Failure, File, Form};
use crate::config::Loaded;
use crate::words_args::{count, filled};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use engawa_api::{Client, ClientError, Erase, Erased};
use engawa_model::{StayId, Timestamp};
use engawa_store::DatabaseKey;
use engawa_store::vault::{Asker, Query, VaultKey, Viewer};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// Who asks, and why.
#[derive(Args)]
pub(crate) struct Who {
    /// Who asks: it is kept in the audit trail.
    #[arg(long = "as", value_name = "NAME", value_parser = filled)]
    who: String,
    /// Why: it is kept in the audit trail.
    #[arg(long, value_name = "WHY")]
    reason: String,
}

/// What to look for.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct By {
    /// A room number: who is or was in it.
    #[arg(long, value_parser = filled)]
    room: Option<String>,
    /// A reservation number.
    #[arg(long, value_parser = filled)]
    reservation: Option<String>,
    /// The beginning of a name or first name; `sato ke` finds Ken Sato.
    #[arg(long, value_parser = filled)]
    name: Option<String>,
    /// A telephone number, or its last seven digits or more.
    #[arg(long, value_parser = filled)]
    phone: Option<String>,
}

/// What can be asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Find guests by room, reservation, name or telephone number
    #[command(
        after_help = "Works on the store, also while the agent is stopped. Guests who left are found until \
        their time is over ([privacy] retention_days).

Examples:
  engawa guest find --name 'sato ke' --as ann --reason 'lost property, umbrella'
  engawa guest find --phone 1234567 --as ann --reason 'missed call' --json | jq ."
    )]
    Find {
        #[command(flatten)]
        by: By,
        #[command(flatten)]
        who: Who,
        /// How many at most, the newest first.
        #[arg(long, default_value = "20", value_parser = count)]
        limit: usize,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Print all that is held on a reservation's guests, as JSON
    #[command(
        after_help = "The answer to a guest who asks what is known of them (GDPR, articles 15 and 20). What the guest register holds is \
        in it, too, with the day on which its time is over. Charges, calls and wake-ups that name the room alone are in it where \
        certainly nobody else had the room at the time (\"by\": \"room\"); how many are not, since there were several guests, \
        or somebody was in the house who was erased since and may have had the room, says of_shared_rooms. Exit status 1: nothing is held.

Example:
  engawa guest export 4711 --as ann --reason 'letter of 25 November' > 4711.json"
    )]
    Export {
        /// The reservation number.
        #[arg(value_parser = filled)]
        reservation: String,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        file: File,
    },
    /// Erase all that is held on a reservation's guests, for ever
    #[command(
        after_help = "The keys of the guests' data are destroyed: backups that were made before are dark, \
        too. A guest who is in the house stays checked in, without a name, and the PMS does not bring it back. The \
        cloud is told with a signed tombstone, which is printed. An entry of the guest register stays until its own time \
        is over, as the law has it: until when is printed. Needs the running agent.

Example:
  engawa guest erase 4711 --as ann --reason 'asked by the guest'"
    )]
    Erase {
        /// The reservation number.
        #[arg(value_parser = filled)]
        reservation: String,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Print the guest register of a time, where the house keeps one ([privacy] register)
    #[command(after_help = "Example:
  engawa guest register --from 2026-11-01 --to 2026-12-01 --as ann --reason 'asked by the prefecture'")]
    Register {
        /// The first day of check-in.
        #[arg(long, value_parser = register::day)]
        from: jiff::civil::Date,
        /// The day after the last.
        #[arg(long, value_parser = register::day)]
        to: jiff::civil::Date,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
    /// Show who looked at guests' data, and verify that nobody changed that list
    #[command(after_help = "Exit status 1 where the trail was tampered with; the row is named.

Examples:
  engawa guest audit --limit 20
  engawa guest audit --verify")]
    Audit {
        /// Check the whole chain, and its end against what the cloud was told.
        #[arg(long)]
        verify: bool,
        /// How many rows are shown, the newest first.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        form: Form,
    },
}

impl Command {
    /// Which configuration.
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::Find { file, .. }
            | Self::Export { file, .. }
            | Self::Erase { file, .. }
            | Self::Register { file, .. }
            | Self::Audit { file, .. } => file,
        }
    }
}

impl Who {
    /// Somebody with a name and a reason.
    pub(crate) fn new(who: String, reason: String) -> Self {
        Self { who, reason }
    }

    /// Who asks, with the system's word for them.
    pub(crate) fn asker(&self) -> anyhow::Result<Asker> {
        Ok(Asker::new(&self.named(), &self.reason)?)
    }

    fn named(&self) -> String {
        // The system's own number of the user can't be made up.
        let uid =
            std::fs::metadata("/proc/self").map_or_else(|_| "?".to_owned(), |meta| meta.uid().to_string());
        format!("{} (uid {uid})", self.who.trim())
    }
}

/// The vault of the store, for reading.
pub(crate) fn viewer(loaded: &Loaded) -> anyhow::Result<Viewer> {
    let key = DatabaseKey::load(&loaded.key_file())?;
    let vault_key = VaultKey::load(&loaded.vault_key_file()).context("the vault's key")?;
    Ok(Viewer::open(&loaded.config.store.dir, &key, &vault_key)?)
}

/// Does what is asked.
pub(crate) fn main(command: &Command, loaded: &Loaded) -> Result<(), Failure> {
    match command {
        Command::Find { by, who, limit, form, .. } => {
            let query = by.query()?;
            let found = viewer(loaded)?.find(&who.asker()?, &query, *limit, Timestamp::now())?;
            Ok(show::files(&found, form.json)?)
        }
        Command::Export { reservation, who, .. } => {
            let stay = StayId::from(reservation.as_str());
            let mut all = viewer(loaded)?.export(&who.asker()?, &stay, Timestamp::now())?;
            let register = register::export(loaded, &stay)?;
            let empty = |of: &serde_json::Value| of.as_array().is_none_or(Vec::is_empty);
            if ["records", "documents", "journal"].iter().all(|part| empty(&all[*part]))
                && empty(&register["entries"])
            {
                return Err(Failure::Failed(anyhow!(
                    "nothing is held on reservation {reservation}: `engawa guest find` finds a guest's reservations"
                )));
            }
            if let Some(all) = all.as_object_mut() {
                all.insert("register".to_owned(), register);
            }
            let mut out = crate::answer::lock();
            serde_json::to_writer_pretty(&mut out, &all)?;
            writeln!(out)?;
            Ok(())
        }
        Command::Erase { reservation, who, form, .. } => erase(loaded, reservation, who, form.json),
        Command::Register { from, to, who, form, .. } => {
            Ok(register::main(loaded, (*from, *to), &who.asker()?, form.json)?)
        }
        Command::Audit { verify, limit, form, .. } => Ok(audit::main(loaded, *verify, *limit, form.json)?),
    }
}

impl By {
    fn query(&self) -> anyhow::Result<Query> {
        let Self { room, reservation, name, phone } = self;
        let all = [
            room.clone().map(Query::Room),
            reservation.clone().map(Query::Reservation),
            name.clone().map(Query::Name),
            phone.clone().map(Query::Phone),
        ];
        all.into_iter().flatten().next().context("name what to look for")
    }
}

fn erase(loaded: &Loaded, reservation: &str, who: &Who, as_json: bool) -> Result<(), Failure> {
    let Some(socket) = &loaded.config.api.socket else {
        return Err(Failure::Failed(anyhow!("[api] names no socket, so the agent can't be asked")));
    };
    let ask = Erase {
        reservation: StayId::from(reservation),
        who: who.asker()?.who().to_owned(),
        reason: who.asker()?.why().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let erased: Erased = runtime.block_on(Client::new(socket).post("/api/guests/erase", &ask)).map_err(
        |error| match error {
            error @ ClientError::NotRunning { .. } => Failure::NotRunning(error.into()),
            error => Failure::Failed(error.into()),
        },
    )?;
    if erased.tombstones.is_empty() {
        register::tell_kept(loaded, &ask.reservation, as_json)?;
        return Err(Failure::Failed(anyhow!(
            "nothing is held on reservation {reservation} that can be erased"
        )));
    }
    let mut out = crate::answer::lock();
    for tombstone in &erased.tombstones {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(tombstone)?)?;
        } else {
            writeln!(
                out,
                "erased  record {} of reservation {} at {}",
                tombstone.record, tombstone.stay, tombstone.at
            )?;
            writeln!(out, "        signed by {}: {}", tombstone.signer, tombstone.signature)?;
        }
    }
    drop(out);
    register::tell_kept(loaded, &ask.reservation, as_json)?;
    if !erased.complete {
        eprintln!("engawa: somebody reads the keys' file; its log is emptied within the hour");
    }
    Ok(())
}
