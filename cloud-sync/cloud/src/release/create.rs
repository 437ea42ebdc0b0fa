//! Making a release in a draft: manifest, pack, patches from the releases before it, and, signed like them, what it is made
//! of (SBOM) and how it came about (provenance).

use crate::release::audit;
use crate::release::counter;
use crate::release::draft::Draft;
use crate::release::folder::{self, Folder};
use crate::release::{provenance, sbom};
use anyhow::{Context, bail};
use engawa_release::manifest::{Kind, MOST_NUMBER, Manifest};
use engawa_release::name;
use engawa_release::pack::{Content, Draft as Packed, Former, pack_at};
use engawa_release::unpack;
use engawa_tuf::metadata::Targets;
use jiff::Timestamp as Instant;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a release is called where nothing else is said.
const NAME: &str = "engawa";
/// How many releases before it patches are made from.
pub(crate) const PATCHES_FROM: usize = 3;

/// By so much the clock of whoever made the commit may be ahead, seconds.
const CLOCKS_S: i64 = 86_400;

/// Files by name.
type Files = Vec<(String, Vec<u8>)>;

/// What is to be made.
pub(crate) struct Wanted {
    /// The folder with its files.
    pub(crate) files: PathBuf,
    /// What it runs on.
    pub(crate) triple: String,
    /// Its version.
    pub(crate) version: String,
    /// Its number; none: one more than the highest.
    pub(crate) number: Option<u64>,
    /// The floor that it sets; none: that of the release before.
    pub(crate) floor: Option<u64>,
    /// What it updates.
    pub(crate) kind: Kind,
    /// The boards that it is for.
    pub(crate) hardware: Vec<String>,
    /// When it was built, seconds since 1970.
    pub(crate) built: i64,
    /// From how many releases before it patches are made.
    pub(crate) patches_from: usize,
    /// How hard it is compressed, zstd's level.
    pub(crate) level: i32,
    /// The `Cargo.lock` that it was built with, and the packages that it is.
    pub(crate) lock: Option<(PathBuf, Vec<String>)>,
    /// Where it comes from.
    pub(crate) source: provenance::Source,
}

/// What was made.
pub(crate) struct Created {
    /// What is in it.
    pub(crate) manifest: Manifest,
    /// The path of its manifest.
    pub(crate) path: String,
}

/// Makes it.
pub(crate) fn create(
    draft: &Draft,
    repository: &Folder,
    wanted: &Wanted,
    now: Instant,
) -> anyhow::Result<Created> {
    wanted.source.check()?;
    let mut targets = draft.edit(repository, now)?;
    let files = read_files(&wanted.files)?;
    let line = counter::line(wanted.kind, NAME, &wanted.triple, &wanted.hardware);
    let before = former(repository, &targets, wanted, &line)?;
    let highest = counter::all(&targets)?.get(&line).copied().unwrap_or_default();
    let number = wanted.number.unwrap_or(highest.number.saturating_add(1));
    if number <= highest.number {
        bail!("the number {number} was given before: numbers only grow; the highest is {}", highest.number);
    }
    if number > MOST_NUMBER {
        bail!("the number {number} is too high: at most {MOST_NUMBER} can be, for numbers only grow");
    }
    check_built(wanted.built, now)?;
    let floor = wanted.floor.unwrap_or(highest.floor);
    if floor < highest.floor {
        bail!(
            "the floor {floor} is below {}, which a release has set before: floors only grow, and gateways keep theirs",
            highest.floor
        );
    }
    let latest = before.iter().rev().take(wanted.patches_from);
    let old: Vec<(String, Vec<u8>)> = latest.flat_map(|(_, files)| files.clone()).collect();
    let old: Vec<Former<'_>> = old.iter().map(|(name, bytes)| Former { name, bytes }).collect();
    let contents: Vec<Content<'_>> =
        files.iter().map(|(name, (mode, bytes))| Content { name, mode: *mode, bytes }).collect();
    let packed = Packed {
        name: NAME.to_owned(),
        version: wanted.version.clone(),
        number,
        floor,
        kind: wanted.kind,
        triple: wanted.triple.clone(),
        hardware: wanted.hardware.clone(),
        built: wanted.built,
    };
    let made = pack_at(wanted.level, packed, &contents, &old)?;
    let path = format!("{}/{}", made.manifest.folder()?, name::MANIFEST);
    if targets.targets.contains_key(&path) {
        bail!(
            "version {} for {} is in the repository or the draft already: what is released is not changed",
            wanted.version,
            wanted.triple
        );
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, &made.manifest_bytes);
    let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
    audit::refuse_again(repository, &[(path.as_str(), digest.as_str())])?;
    let beside = |file: &str| name::beside(&path, file);
    let mut custom = json!({
        "version": made.manifest.version, "number": number, "floor": floor, "kind": made.manifest.kind.as_str(),
    });
    if !wanted.hardware.is_empty() {
        custom["hardware"] = json!(wanted.hardware);
    }
    let mut put = |file: &str, bytes: &[u8]| draft.add(&mut targets, &beside(file)?, bytes, None);
    put(name::PACK, &made.pack)?;
    for (file, bytes) in &made.patches {
        put(file, bytes)?;
    }
    let lock = wanted.lock.as_ref().map(|(path, packages)| {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        anyhow::Ok((text, packages))
    });
    let lock = lock.transpose()?;
    if let (Some((text, packages)), Some((path, _))) = (&lock, &wanted.lock) {
        let sbom = sbom::write(text, packages, &made.manifest).with_context(|| path.display().to_string())?;
        put(sbom::FILE, &sbom)?;
    }
    put(
        provenance::FILE,
        &provenance::write(&made.manifest, &wanted.source, lock.as_ref().map(|(text, _)| text.as_str()))?,
    )?;
    draft.add(&mut targets, &path, &made.manifest_bytes, Some(custom))?;
    counter::keep(&mut targets)?;
    draft.put_targets(&targets)?;
    Ok(Created { manifest: made.manifest, path })
}

/// Refuses a time of building that can't be: gateways take it for over, and nobody talks them out of that.
fn check_built(built: i64, now: Instant) -> anyhow::Result<()> {
    if (0..=now.as_second() + CLOCKS_S).contains(&built) {
        return Ok(());
    }
    let at = Instant::from_second(built).map_or_else(|_| "no time".to_owned(), |at| at.to_string());
    bail!(
        "built at {built} is {at}, and it is {now:.0}: expected seconds since 1970 (--built, SOURCE_DATE_EPOCH) that are over"
    )
}

/// The files of a folder, by name: what they may do, what they are.
fn read_files(dir: &Path) -> anyhow::Result<BTreeMap<String, (u32, Vec<u8>)>> {
    let reading = || format!("reading {}", dir.display());
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_str().with_context(|| format!("{}: the name is no UTF-8", path.display()))?;
        name::file(name).with_context(|| path.display().to_string())?;
        let about = entry.metadata().with_context(reading)?;
        if !about.is_file() {
            bail!("{} is no plain file: a release is a flat list of files", path.display());
        }
        // Whether it can be run is all that is taken over: the rest depends on who made the folder.
        let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        files.insert(name.to_owned(), (mode, bytes));
    }
    if files.is_empty() {
        bail!(
            "{} has no files: a release is made of the files in a folder, such as the program `engawa`",
            dir.display()
        );
    }
    Ok(files)
}

/// Releases of the same line, by number: their manifests, and, as many as are wanted for patches, their files.
fn former(
    repository: &Folder,
    targets: &Targets,
    wanted: &Wanted,
    line: &str,
) -> anyhow::Result<Vec<(Manifest, Files)>> {
    let mut manifests = Vec::new();
    for (path, entry) in &targets.targets {
        let Some(folder) = path.strip_suffix(&format!("/{}", name::MANIFEST)) else { continue };
        let Some(hash) = entry.hashes.get("sha256") else { continue };
        let file = repository.target(&format!("{folder}/{hash}.{}", name::MANIFEST));
        // One that is in this draft alone has no gateways to come from.
        let Some(bytes) = folder::read(&file)? else { continue };
        let manifest = Manifest::read(&bytes).with_context(|| file.display().to_string())?;
        if manifest.kind == wanted.kind && folder.rsplit_once('/').is_some_and(|(own, _)| own == line) {
            manifests.push((manifest, folder.to_owned()));
        }
    }
    manifests.sort_by_key(|(manifest, _)| manifest.number);
    let from = manifests.len().saturating_sub(wanted.patches_from);
    let mut all = Vec::new();
    for (at, (manifest, folder)) in manifests.into_iter().enumerate() {
        let files = if at < from { Vec::new() } else { unpacked(repository, &manifest, &folder)? };
        all.push((manifest, files));
    }
    Ok(all)
}

/// The files of a release in the repository.
fn unpacked(
    repository: &Folder,
    manifest: &Manifest,
    folder: &str,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let path = repository.target(&format!("{folder}/{}.{}", manifest.pack.sha256, name::PACK));
    let pack = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut files = Vec::new();
    for file in &manifest.files {
        let mut bytes = Vec::new();
        for chunk in &file.chunks {
            let range = usize::try_from(chunk.at).ok().zip(usize::try_from(chunk.at + chunk.packed).ok());
            let packed = range.and_then(|(from, to)| pack.get(from..to));
            let packed =
                packed.with_context(|| format!("{} is shorter than its manifest says", path.display()))?;
            bytes.extend(unpack::chunk(chunk, packed).with_context(|| path.display().to_string())?);
        }
        files.push((file.name.clone(), bytes));
    }
    Ok(files)
}
