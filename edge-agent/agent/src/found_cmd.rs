//! `engawa devices found` and `place`: what told of itself on the broker, and its way into the configuration.
//!
//! Why the configuration's file: it is the one place that says which devices there are. What is written is checked as a
//! whole before anything changes, so that a configuration that works never becomes one that does not.
//!
//! Never: a device that nobody asked for; and the running agent, which takes it with its next start.
#![allow(clippy::print_stdout, reason = "standard output is where an answer goes")]

mod file;

use crate::cli::{DONE, FAILED, File, Form, WRONG, show};
use crate::config::{self, Loaded, files};
use crate::listing;
use anyhow::{Context, anyhow};
use clap::Args;
use engawa_field::mqtt::discovery::{self, Rendered};
use engawa_model::{Found, FoundId, Property};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder of profiles of a configuration that has none yet.
const FOLDER: &str = "profiles";
/// The longest name that a device is given by itself, characters.
const MOST_CHARS: usize = 40;

/// `engawa devices found`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) file: File,
    #[command(flatten)]
    form: Form,
}

/// `engawa devices place`.
#[derive(Args)]
pub(crate) struct Place {
    /// The device, as `engawa devices found` names it; the beginning is enough where no other begins so.
    #[arg(value_name = "FOUND_ID")]
    found: String,
    /// Its room.
    #[arg(long)]
    room: String,
    /// What it is called in the house; made from its name where absent.
    #[arg(long = "id", value_name = "NAME")]
    name: Option<String>,
    /// Show what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    file: File,
}

impl List {
    /// Lists the found devices.
    pub(crate) fn show(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let property = listing::stored(loaded)?;
        print(loaded, &property, self.form.json)
    }
}

fn failed(error: &anyhow::Error) -> u8 {
    eprintln!("engawa: {error:#}");
    FAILED
}

fn print(loaded: &Loaded, property: &Property, as_json: bool) -> anyhow::Result<()> {
    let mut out = crate::answer::lock();
    for (id, found) in property.found() {
        if as_json {
            let entities: Vec<_> = found
                .entities()
                .map(|it| json!({ "kind": it.kind, "name": it.name, "problem": it.problem }))
                .collect();
            let about = &found.about;
            writeln!(
                out,
                "{}",
                json!({ "id": id, "name": about.name, "make": about.make, "model": about.model, "area": about.area,
                    "first": found.first, "last": found.last, "entities": entities })
            )?;
        } else {
            in_words(&mut out, id, found)?;
        }
    }
    if property.found().is_empty() && !as_json {
        let asked = loaded.config.mqtt.as_ref().is_some_and(|mqtt| mqtt.discover);
        let why = if asked {
            "nothing was found that is not placed: devices tell of themselves below homeassistant/ on the broker"
        } else {
            "nothing is looked for: set `discover = true` in [mqtt] and start the agent again"
        };
        writeln!(out, "{why}")?;
    }
    Ok(())
}

fn in_words(out: &mut impl Write, id: &FoundId, found: &Found) -> io::Result<()> {
    let about = &found.about;
    let make: Vec<&str> = [&about.make, &about.model].into_iter().flatten().map(String::as_str).collect();
    let area = about.area.as_ref().map_or_else(String::new, |area| format!(", in \"{area}\""));
    writeln!(out, "{id}  {}  ({}){area}", about.name, make.join(" "))?;
    writeln!(out, "    found {}, last told {}", found.first, found.last)?;
    for entity in found.entities() {
        let problem =
            entity.problem.as_ref().map_or_else(String::new, |why| format!("  NOT UNDERSTOOD: {why}"));
        writeln!(out, "    {:<14} {}{problem}", entity.kind, entity.name)?;
    }
    Ok(())
}

impl Place {
    /// Places the device; the exit status.
    pub(crate) fn place(&self) -> u8 {
        let loaded = match config::load(&self.file.config) {
            Ok(loaded) => loaded,
            Err(reports) => {
                show(&reports);
                return WRONG;
            }
        };
        let plan = match listing::stored(&loaded).and_then(|property| plan(self, &loaded, &property)) {
            Ok(plan) => plan,
            Err(error) => return failed(&error),
        };
        if self.dry_run {
            println!("# {}\n{}", plan.profile.display(), plan.toml);
            println!("# at the end of {}\n{}", plan.config.display(), plan.block);
            return DONE;
        }
        // The profile first: the configuration is checked with it.
        if let Err(error) = file::create(&plan.profile, &plan.toml) {
            return failed(&error);
        }
        let status = match config::load_text(&plan.config, &plan.text) {
            Ok(_) => match file::replace(&plan.config, &plan.before, &plan.text) {
                Ok(()) => DONE,
                Err(error) => failed(&error),
            },
            Err(reports) => {
                show(&reports);
                eprintln!(
                    "engawa: with the new device the configuration would be wrong; it is left as it was"
                );
                WRONG
            }
        };
        if status != DONE {
            // What was written for nothing is taken away again.
            let _ = std::fs::remove_file(&plan.profile);
            return status;
        }
        println!("{} is in room {} now: {}", plan.device, self.room, plan.points.join(", "));
        for why in &plan.left_out {
            println!("left out: {why}");
        }
        println!("its profile is {}; start the agent again to use it", plan.profile.display());
        DONE
    }
}

/// What is to be written.
struct Plan {
    device: String,
    config: PathBuf,
    /// The configuration as it is, and as it is to be.
    before: String,
    text: String,
    block: String,
    profile: PathBuf,
    toml: String,
    points: Vec<String>,
    left_out: Vec<String>,
}

fn plan(place: &Place, loaded: &Loaded, property: &Property) -> anyhow::Result<Plan> {
    let (id, found) = the_one(property, &place.found)?;
    let device = match &place.name {
        Some(name) => name.clone(),
        None => free_id(loaded, &found.about.name),
    };
    let profile_name = profile_name(id.as_str());
    let Rendered { toml, points, left_out } = discovery::profile(found, &profile_name)?;
    let before = files::read(&place.file.config).map_err(|report| anyhow!("{report}"))?;
    let base = place.file.config.parent().unwrap_or(Path::new(""));
    let (folder, text) = match &loaded.config.profiles {
        Some(folder) => (folder.clone(), before.clone()),
        // A key of the whole file stands before its first section.
        None => (FOLDER.into(), format!("profiles = \"{FOLDER}\"\n\n{before}")),
    };
    let block = block(&device, &place.room, &profile_name, found, id);
    let gap = if text.ends_with('\n') { "\n" } else { "\n\n" };
    Ok(Plan {
        device,
        config: place.file.config.clone(),
        before,
        text: format!("{text}{gap}{block}"),
        block,
        profile: base.join(folder).join(format!("{profile_name}.toml")),
        toml: format!("# Written by `engawa devices place`.\n{toml}"),
        points,
        left_out,
    })
}

/// The device whose id is, or begins with, `wanted`.
fn the_one<'a>(property: &'a Property, wanted: &str) -> anyhow::Result<(&'a FoundId, &'a Found)> {
    if let Some(exact) = property.found().get_key_value(&FoundId::from(wanted)) {
        return Ok(exact);
    }
    let mut begin =
        property.found().iter().filter(|(id, _)| !wanted.is_empty() && id.as_str().starts_with(wanted));
    match (begin.next(), begin.next()) {
        (Some(one), None) => Ok(one),
        (Some((one, _)), Some((other, _))) => {
            Err(anyhow!("`{wanted}` could be {one} or {other}: write more of its id"))
        }
        (None, _) => Err(anyhow!("no device `{wanted}` waits: `engawa devices found` lists those that do")),
    }
}

fn block(device: &str, room: &str, profile: &str, found: &Found, id: &FoundId) -> String {
    let about = &found.about;
    let make: Vec<&str> = [&about.make, &about.model].into_iter().flatten().map(String::as_str).collect();
    format!(
        "# Found on the broker as {id}: {} ({}).\n[[device]]\nid = {}\nroom = {}\nprofile = {}\n",
        about.name,
        make.join(" "),
        file::quoted(device),
        file::quoted(room),
        file::quoted(profile)
    )
}

/// Letters, digits and `-`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().take(MOST_CHARS) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "device".to_owned() } else { slug.to_owned() }
}

/// The name of the profile of a found device. Where its id had to be changed for that, a number made of the whole id
/// keeps it apart from others that look the same then.
fn profile_name(id: &str) -> String {
    let slug = slug(id);
    if slug == id {
        return format!("found-{slug}");
    }
    // FNV-1a, 32 bits: short, and the same in every release.
    let number =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("found-{slug}-{number:08x}")
}

/// An id that no device of the house has.
fn free_id(loaded: &Loaded, name: &str) -> String {
    let slug = slug(name);
    let taken = |id: &str| loaded.config.device.iter().any(|device| device.id == id);
    let numbered = (2_u32..).map(|n| format!("{slug}-{n}"));
    std::iter::once(slug.clone()).chain(numbered).find(|id| !taken(id)).unwrap_or(slug)
}

/// The error of something that could not be written.
fn unwritten(path: &Path) -> impl Fn(io::Error) -> anyhow::Error + '_ {
    move |error| anyhow::Error::from(error).context(format!("{} can't be written", path.display()))
}

/// Adds where a file is to what went wrong with it.
fn with_path<T>(result: io::Result<T>, path: &Path) -> anyhow::Result<T> {
    result.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::profile_name;

    #[test]
    fn ids_that_look_alike_in_a_file_name_are_kept_apart() {
        assert_eq!(profile_name("leak-1"), "found-leak-1");
        let names = ["col/a", "col-a", "col a", "日", "本", "../x"].map(profile_name);
        let apart: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(apart.len(), names.len(), "{names:?}");
        let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        assert!(names.iter().all(plain), "{names:?}");
    }
}
