//! `engawa-cloud release`: the commands of whoever makes, signs and publishes releases.

mod care;

use crate::desk::Home;
use crate::output::{plain, say};
use crate::release::baseline::{Anchor, baseline};
use crate::release::changes::{changes, refuse};
use crate::release::create::{self, PATCHES_FROM, Wanted};
use crate::release::draft::{self, Draft};
use crate::release::expiry;
use crate::release::folder::Folder;
use crate::release::keys;
use crate::release::listing;
use crate::release::online::{By, Online};
use crate::release::provenance::Source;
use crate::release::publish;
use crate::release::roots::{self, Change, First, Thresholds};
use crate::release::signing;
use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum, ValueHint};
use engawa_release::manifest::Kind;
use engawa_release::pack::LEVEL;
use jiff::Timestamp as Instant;
use serde_json::json;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

/// What a release updates.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum WhatKind {
    /// The agent and what lies beside it
    Application,
    /// The image below it
    System,
}

/// Where the repository is.
#[derive(clap::Args)]
pub(crate) struct Releases {
    /// The repository's folder; without it, `releases` in the cloud's folder
    #[arg(long, env = "ENGAWA_CLOUD_RELEASES", value_hint = ValueHint::DirPath, value_name = "DIR")]
    releases: Option<PathBuf>,
}

impl Releases {
    fn folder(&self, home: &Home) -> Folder {
        Folder::new(&self.releases.clone().unwrap_or_else(|| home.dir.join("releases")))
    }
}

/// Where a passphrase is.
#[derive(clap::Args)]
pub(crate) struct Passphrase {
    /// A file with the passphrase of the key files, in its first line; without it, ENGAWA_RELEASE_PASSPHRASE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
}

/// What can be done.
#[derive(Subcommand)]
pub(crate) enum ReleaseAct {
    /// Make a key, offline: a file, or in a token
    #[command(
        after_help = "The file is PKCS #8 in PEM (Ed25519), readable by OpenSSL; with a passphrase it is encrypted, \
        without one it is for its owner's eyes only. Beside it FILE.pub has the public half, for `init` and `root`. In a token \
        (PKCS #11) it is a P-256 key that never leaves it; the PIN comes from pin-source or ENGAWA_RELEASE_PIN.\n\nExamples:
  engawa-cloud release keygen root-1.key --passphrase-file /run/phrase
  engawa-cloud release keygen 'pkcs11:token=release;object=root-1?module-path=/usr/lib/softhsm/libsofthsm2.so' --public root-1.pub"
    )]
    Keygen {
        /// The new file, or a token's key by its `pkcs11:` URI.
        #[arg(value_name = "FILE-OR-URI", value_hint = ValueHint::FilePath)]
        key: String,
        /// Where the public half of a token's key goes.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        public: Option<PathBuf>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Begin a repository: a draft of its first root, and of no releases yet
    #[command(
        after_help = "The keys for snapshots and timestamps are made in the cloud's folder (--dir), unless their public \
        halves are given: they stay online, and can't sign releases.\n\nExample, two of three for the root:
  engawa-cloud release init first --root a.key.pub --root b.key.pub --root c.key.pub --root-threshold 2 --targets r.key.pub
  engawa-cloud release sign first --key a.key --key b.key --key r.key
  engawa-cloud release publish first"
    )]
    Init {
        /// The draft's folder.
        #[arg(value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// Public keys of those who sign roots.
        #[arg(long = "root", value_name = "FILE.pub", required = true)]
        root: Vec<PathBuf>,
        /// Public keys of those who sign releases.
        #[arg(long = "targets", value_name = "FILE.pub", required = true)]
        targets: Vec<PathBuf>,
        /// The snapshot key's public half, where it was made elsewhere.
        #[arg(long, value_name = "FILE.pub")]
        snapshot: Option<PathBuf>,
        /// The timestamp key's public half, where it was made elsewhere.
        #[arg(long, value_name = "FILE.pub")]
        timestamp: Option<PathBuf>,
        /// How many must sign a root.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        root_threshold: u32,
        /// How many must sign a release.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        targets_threshold: u32,
        /// How long both are good, days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: u32,
    },
    /// Draft the next root: keys come and go, thresholds change, its time is prolonged
    #[command(
        after_help = "A root needs the signatures of those whom the old one trusts and of those whom the new one trusts. \
        With other keys for releases, or where their metadata soon expires, those that are current are in the draft too, to \
        be signed again.\n\nExample, a lost \
        key replaced:\n  engawa-cloud release root next --add root=d.key.pub --remove root=4f2a\n  engawa-cloud release sign \
        next --key a.key --key b.key --key d.key\n  engawa-cloud release publish next"
    )]
    Root {
        /// The draft's folder.
        #[arg(value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// A key that comes, such as root=FILE.pub; the roles are root, targets, snapshot, timestamp.
        #[arg(long, value_name = "ROLE=FILE.pub", value_parser = pair)]
        add: Vec<(String, String)>,
        /// A key that goes, by the beginning of its name, such as targets=4f2a.
        #[arg(long, value_name = "ROLE=ID", value_parser = pair_of_id)]
        remove: Vec<(String, String)>,
        /// How many must sign a root.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        root_threshold: Option<u32>,
        /// How many must sign a release.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        targets_threshold: Option<u32>,
        /// New keys for snapshots and timestamps in the cloud's folder, in place of the old ones: after a break-in there.
        #[arg(long)]
        rotate_online: bool,
        /// How long it is good, days.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: u32,
        #[command(flatten)]
        releases: Releases,
    },
    /// Draft a release out of the files in a folder
    #[command(
        after_help = "Several can be in one draft: one for each triple. Patches are made from the releases before it in \
        the repository. With --lock a CycloneDX SBOM is in it; SLSA provenance always is.\n\nExample:\n  engawa-cloud release create \
        build/aarch64 --draft next --triple aarch64-unknown-linux-gnu --version 1.3.0 --lock Cargo.lock --commit $(git rev-parse HEAD)"
    )]
    Create {
        /// The folder with its files: engawa, and what else belongs into a slot.
        #[arg(value_hint = ValueHint::DirPath)]
        files: PathBuf,
        /// The draft's folder.
        #[arg(long, value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// What it runs on, such as aarch64-unknown-linux-gnu.
        #[arg(long)]
        triple: String,
        /// Its version: a semantic version.
        #[arg(long = "version", value_name = "VERSION")]
        version: String,
        /// Its number, which only grows; without it, one more than the highest.
        #[arg(long)]
        number: Option<u64>,
        /// Once it is confirmed, no release with a lower number is installed; without it, as the release before says.
        #[arg(long)]
        floor: Option<u64>,
        /// What it updates.
        #[arg(long, value_enum, default_value = "application")]
        kind: WhatKind,
        /// A board that it is for; without it, any.
        #[arg(long)]
        hardware: Vec<String>,
        /// When it was built, seconds since 1970; without it, now.
        #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS")]
        built: Option<i64>,
        /// From how many releases before it patches are made; of a system image none are: no gateway keeps an old bundle.
        #[arg(long, default_value_t = PATCHES_FROM)]
        patches_from: usize,
        /// How hard it is compressed: zstd's level; a lower one is quicker to make, and longer on every gateway's line.
        #[arg(long, default_value_t = LEVEL, value_parser = clap::value_parser!(i32).range(1..=19))]
        level: i32,
        /// The Cargo.lock that it was built with, for the SBOM.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        lock: Option<PathBuf>,
        /// Packages in the Cargo.lock that the release is.
        #[arg(long = "package", default_values_t = ["engawa".to_owned(), "engawa-supervisor".to_owned()])]
        packages: Vec<String>,
        /// The commit that it was built from, for the provenance.
        #[arg(long)]
        commit: Option<String>,
        /// The repository of that commit, such as git+https://git.example.com/engawa.
        #[arg(long = "source", value_name = "URI")]
        source: Option<String>,
        /// Who built it, as a URI.
        #[arg(long, value_name = "URI")]
        builder: Option<String>,
        #[command(flatten)]
        releases: Releases,
    },
    /// Show what a draft changes, and how far its signatures are
    Show {
        /// The draft's folder.
        #[arg(value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// A root that you have, such as the gateways': what the draft says to be current is checked by it.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        root: Option<PathBuf>,
        /// One JSON object a line, for scripts: the signatures.
        #[arg(long)]
        json: bool,
    },
    /// Sign a draft, offline: everything in it that the keys may sign
    #[command(
        after_help = "The draft is a folder; it travels from one who signs to the next, on a stick, with `metadata` \
        alone where `targets` is large. What is signed is printed first, and asked about. Only what is signed by one of \
        the keys, or by the root that --root leads to, counts as known; all else is listed as new.\n\nExample:\n  engawa-cloud release sign next --key r.key \
        --passphrase-file /run/phrase"
    )]
    Sign {
        /// The draft's folder.
        #[arg(value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// A key's file, or a token's key by its `pkcs11:` URI; several may be given.
        #[arg(long = "key", required = true, value_name = "FILE-OR-URI")]
        keys: Vec<String>,
        /// A root that you have, such as the gateways': what the draft says to be current is checked by it.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        root: Option<PathBuf>,
        /// Sign without asking.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Publish a signed draft, on the cloud's machine
    #[command(
        after_help = "It is judged first by the code that gateways judge with; what they would refuse is not published. \
        Gateways that read meanwhile find the old state or the new one. Cut short, it is mended by publishing again. Where \
        releases go that were not revoked, the cloud's database is asked once more who has them.\n\nExample:\n  \
        engawa-cloud release publish next"
    )]
    Publish {
        /// The draft's folder.
        #[arg(value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// Publish though releases go that a gateway or a rollout has, and that were not revoked.
        #[arg(long)]
        even_in_use: bool,
        #[command(flatten)]
        clock: care::Clock,
        #[command(flatten)]
        releases: Releases,
    },
    /// Draft that a version is no release any more; signed and published as usual
    #[command(
        after_help = "Gateways that have it go on with it until there is another; no other gateway takes it.\n\nExample:\n  \
        engawa-cloud release revoke 1.3.0 --draft next && engawa-cloud release sign next --key r.key && engawa-cloud release publish next"
    )]
    Revoke {
        /// The version.
        #[arg(value_name = "VERSION")]
        version: String,
        /// The draft's folder.
        #[arg(long, value_hint = ValueHint::DirPath)]
        draft: PathBuf,
        /// Only for this triple (or, of a system image, this board).
        #[arg(long)]
        triple: Option<String>,
        #[command(flatten)]
        releases: Releases,
    },
    /// Draft that old releases go: of each line the newest stay, and whatever a gateway runs or a rollout is about
    #[command(
        after_help = "Every gateway fetches the list of all releases, and their files fill the disk: this keeps both short. \
        What gateways run is asked of the cloud's database, now and again by `publish`. The draft is signed and published as \
        usual; files go some publications later.\n\nExample:\n  engawa-cloud release retire --keep 8 --draft next && \
        engawa-cloud release sign next --key r.key && engawa-cloud release publish next"
    )]
    Retire {
        #[command(flatten)]
        what: care::Retiring,
        #[command(flatten)]
        releases: Releases,
    },
    /// Sign the timestamp anew, as `serve` does by itself; where it has not for a month, somebody is to look at the clock
    #[command(
        after_help = "On the machine with the cloud's folder.\n\nExample:\n  date && engawa-cloud release renew"
    )]
    Renew {
        #[command(flatten)]
        clock: care::Clock,
        #[command(flatten)]
        releases: Releases,
    },
    /// Tell until when the repository's metadata is good, in days
    #[command(
        after_help = "Root and targets are signed by people: on the day on which one expires gateways take no release any \
        more. With --metrics for Prometheus (`serve --releases-metrics FILE` writes the same by itself); alert rules are in \
        deploy/prometheus.\n\nExamples:\n  engawa-cloud release expiry --within 45\n  engawa-cloud release expiry --metrics"
    )]
    Expiry {
        #[command(flatten)]
        telling: care::Telling,
        #[command(flatten)]
        releases: Releases,
    },
    /// The repository's own audit, newest first: who published, revoked, retired what, and who changed the root
    #[command(
        after_help = "It is `audit.jsonl` in the repository's folder, and needs no database. `engawa-cloud rollout log` has \
        the same among what became of it: `publish` enters it, or `serve` does."
    )]
    Log {
        #[command(flatten)]
        releases: Releases,
        /// How many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// List the releases in the repository
    List {
        #[command(flatten)]
        releases: Releases,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Check the repository as a gateway does, and every file in it
    #[command(
        after_help = "Without --root the first root in the repository is trusted. With it, that which gateways \
        have: then nobody but those who hold its keys can have made what is in the repository."
    )]
    Verify {
        /// The root that gateways have.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        root: Option<PathBuf>,
        #[command(flatten)]
        releases: Releases,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    two(text).ok_or_else(|| "expected ROLE=FILE.pub, such as root=a.key.pub".to_owned())
}

fn pair_of_id(text: &str) -> Result<(String, String), String> {
    two(text).ok_or_else(|| {
        "expected ROLE=ID, such as root=4f2a: the beginning of the name that `keygen` has printed".to_owned()
    })
}

fn two(text: &str) -> Option<(String, String)> {
    let (role, what) = text.split_once('=').filter(|(_, what)| !what.is_empty())?;
    Some((role.to_owned(), what.to_owned()))
}

/// `engawa-cloud release`.
pub(crate) fn release(home: &Home, act: ReleaseAct) -> anyhow::Result<()> {
    let now = Instant::now();
    match act {
        ReleaseAct::Keygen { key, public, passphrase } => keygen(&key, public, &passphrase),
        ReleaseAct::Init {
            draft,
            root,
            targets,
            snapshot,
            timestamp,
            root_threshold,
            targets_threshold,
            expires_days,
        } => {
            let thresholds = Thresholds { root: Some(root_threshold), targets: Some(targets_threshold) };
            let first = First { root, targets, snapshot, timestamp, thresholds, days: expires_days };
            roots::first(&Draft::new(&draft), &mut Online::load(&home.dir)?, &first, now)?;
            show(&Draft::new(&draft), false)
        }
        ReleaseAct::Root {
            draft,
            add,
            remove,
            root_threshold,
            targets_threshold,
            rotate_online,
            expires_days,
            releases,
        } => {
            let thresholds = Thresholds { root: root_threshold, targets: targets_threshold };
            let add = add.into_iter().map(|(role, file)| (role, file.into())).collect();
            let change = Change { add, remove, thresholds, rotate_online, days: expires_days };
            let draft = Draft::new(&draft);
            roots::change(&draft, &releases.folder(home), &mut Online::load(&home.dir)?, &change, now)?;
            show(&draft, false)
        }
        ReleaseAct::Create {
            files,
            draft,
            triple,
            version,
            number,
            floor,
            kind,
            hardware,
            built,
            patches_from,
            level,
            lock,
            packages,
            commit,
            source,
            builder,
            releases,
        } => {
            let kind = match kind {
                WhatKind::Application => Kind::Application,
                WhatKind::System => Kind::System,
            };
            // A box keeps no old bundle that a patch could begin from.
            let patches_from = if kind == Kind::System { 0 } else { patches_from };
            let source = Source { repository: source, commit, builder };
            let lock = lock.map(|lock| (lock, packages));
            let built = built.unwrap_or_else(|| now.as_second());
            let wanted = Wanted {
                files,
                triple,
                version,
                number,
                floor,
                kind,
                hardware,
                built,
                patches_from,
                level,
                lock,
                source,
            };
            let draft = Draft::new(&draft);
            let created = create::create(&draft, &releases.folder(home), &wanted, now)?;
            let manifest = &created.manifest;
            let (pack, patches) = (manifest.pack.size, manifest.patches.len());
            say(&format!(
                "{}: number {}, floor {}, {} files, pack {pack} bytes, {patches} patches",
                created.path,
                manifest.number,
                manifest.floor,
                manifest.files.len()
            ))?;
            show(&draft, false)
        }
        ReleaseAct::Show { draft, root, json } => {
            let anchor = root.as_deref().map_or(Anchor::Word, Anchor::Root);
            show_by(&Draft::new(&draft), &anchor, json)
        }
        ReleaseAct::Sign { draft, keys, root, yes, passphrase } => {
            sign(&Draft::new(&draft), &keys, root.as_deref(), yes, &passphrase)
        }
        ReleaseAct::Publish { draft, even_in_use, clock, releases } => {
            publish_draft(home, &draft, &releases, even_in_use, clock.by(now), &clock.who())
        }
        ReleaseAct::Revoke { version, draft, triple, releases } => {
            let draft = Draft::new(&draft);
            let mut targets = draft.edit(&releases.folder(home), now)?;
            let gone = draft::revoke(&mut targets, &version, triple.as_deref());
            if gone.is_empty() {
                bail!("there is no release {version} here: see `engawa-cloud release list`");
            }
            draft.note_revoked(gone)?;
            draft.put_targets(&targets)?;
            show(&draft, false)
        }
        ReleaseAct::Retire { what, releases } => care::retire(home, &releases, &what, now),
        ReleaseAct::Renew { clock, releases } => care::renew(home, &releases, clock.by(now), &clock.who()),
        ReleaseAct::Expiry { telling, releases } => care::expiry(home, &releases, &telling, now),
        ReleaseAct::Log { releases, limit, json } => care::log(&releases.folder(home), limit, json),
        ReleaseAct::List { releases, json } => list(&releases.folder(home), json, now),
        ReleaseAct::Verify { root, releases } => {
            let folder = releases.folder(home);
            let client = folder.trusted(root.as_deref(), now)?;
            let count = listing::verify(&folder, &client)?;
            expiry::all(&folder)?.iter().try_for_each(|expiry| say(&expiry.line(now)))?;
            say(&format!("{count} files, all as they were signed"))
        }
    }
}

fn keygen(key: &str, public: Option<PathBuf>, passphrase: &Passphrase) -> anyhow::Result<()> {
    if key.starts_with("pkcs11:") {
        let public = public.context("name a file for the public half of the token's key by --public")?;
        #[cfg(feature = "pkcs11")]
        {
            let made = crate::release::token::generate(key)?;
            keys::write_public(&public, &made)?;
            return say(made.id());
        }
        #[cfg(not(feature = "pkcs11"))]
        bail!(
            "this build can't use tokens ({}): build engawa-cloud with the feature pkcs11",
            public.display()
        );
    }
    if public.is_some() {
        bail!("--public is for tokens: the public half of a file is beside it, as {key}.pub");
    }
    let phrase = keys::passphrase(passphrase.passphrase_file.as_deref())?;
    let made = keys::generate(Path::new(key), phrase.as_deref().map(String::as_str))?;
    say(made.id())
}

fn sign(
    draft: &Draft,
    names: &[String],
    root: Option<&Path>,
    yes: bool,
    passphrase: &Passphrase,
) -> anyhow::Result<()> {
    let phrase = keys::passphrase(passphrase.passphrase_file.as_deref())?;
    let phrase = phrase.as_deref().map(String::as_str);
    let keys = names.iter().map(|name| keys::signer(name, phrase)).collect::<anyhow::Result<Vec<_>>>()?;
    let anchor = root.map_or(Anchor::Keys(&keys), Anchor::Root);
    let contents = signing::Contents::read(draft)?;
    changes(draft, &contents, &baseline(draft, &anchor)?)?.iter().try_for_each(|line| say(&plain(line)))?;
    refuse(
        contents.root.as_ref().map(|known| &known.metadata),
        contents.targets.as_ref().map(|known| &known.metadata),
    )?;
    if !yes && !agreed()? {
        bail!("nothing was signed");
    }
    signing::sign(draft, contents, &keys)?;
    state(draft)
}

/// Asks at the terminal; where there is none nobody can agree.
fn agreed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("this is what would be signed, and nobody can be asked: say --yes");
    }
    eprint!("Sign this? [y/N] ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn show(draft: &Draft, json: bool) -> anyhow::Result<()> {
    show_by(draft, &Anchor::Word, json)
}

fn show_by(draft: &Draft, anchor: &Anchor<'_>, json: bool) -> anyhow::Result<()> {
    let progress = signing::progress(draft)?;
    if json {
        return progress.iter().try_for_each(|progress| say(&progress.json().to_string()));
    }
    for line in changes(draft, &signing::Contents::read(draft)?, &baseline(draft, anchor)?)? {
        say(&plain(&line))?;
    }
    state(draft)
}

fn state(draft: &Draft) -> anyhow::Result<()> {
    for progress in signing::progress(draft)? {
        let state = if progress.done() { "enough" } else { "more are needed" };
        say(&format!(
            "{} is signed by {} of {} of {}: {state}",
            progress.file, progress.valid, progress.threshold, progress.by
        ))?;
    }
    Ok(())
}

fn publish_draft(
    home: &Home,
    draft: &Path,
    releases: &Releases,
    even_in_use: bool,
    by: By,
    who: &str,
) -> anyhow::Result<()> {
    let draft = Draft::new(draft);
    if let Some(missing) = signing::progress(&draft)?.iter().find(|progress| !progress.done()) {
        bail!(
            "{} is signed by {} of {} of {}: have it signed first, with `engawa-cloud release sign`",
            missing.file,
            missing.valid,
            missing.threshold,
            missing.by
        );
    }
    let in_use = || care::in_use_now(home);
    let in_use: Option<&dyn Fn() -> _> = if even_in_use { None } else { Some(&in_use) };
    let folder = releases.folder(home);
    let done = publish::publish(&draft, &folder, &Online::load(&home.dir)?, in_use, by, who)?;
    care::enter(home, &folder);
    if !done.changed {
        return say("it is published already");
    }
    say(&format!(
        "published: root version {}, targets version {}, {} new files",
        done.root, done.targets, done.files
    ))
}

fn list(folder: &Folder, json: bool, now: Instant) -> anyhow::Result<()> {
    let client = folder.trusted(None, now)?;
    for listed in listing::releases(&client) {
        if json {
            say(&listed.json().to_string())?;
            continue;
        }
        let of =
            |name: &str| listed.custom.get(name).map_or_else(|| json!("-").to_string(), ToString::to_string);
        say(&plain(&format!(
            "{:<56}  number {:>5}  floor {:>5}  {:>10} bytes  {} files",
            listed.path.trim_end_matches("/manifest.json"),
            of("number"),
            of("floor"),
            listed.bytes,
            listed.files
        )))?;
    }
    let all = if json { vec![] } else { expiry::all(folder)? };
    all.iter().filter(|expiry| expiry.is_peoples()).try_for_each(|expiry| say(&expiry.line(now)))
}
