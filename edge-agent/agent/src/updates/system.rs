//! The system image below the agent: what runs, which releases of it fit, how far an update of it is. Pure.
//!
//! The agent fetches an image and asks for it; the box's installer (`firmware/image/root/usr/lib/engawa/system`, as root) has RAUC
//! write it into the other slot, and starts the machine anew. Whether the new image stays is judged below the agent: by the boot
//! loader, which counts tries, and by the image itself, which asks for the agent's health.

use engawa_release::{Kind, Manifest};

/// Releases of system images are targets below this.
const TARGETS: &str = "system/";
/// The file of such a release: a bundle of RAUC's.
pub(crate) const BUNDLE: &str = "system.raucb";

/// True where a target path is that of a system image.
pub(crate) fn is_image(target: &str) -> bool {
    target.starts_with(TARGETS)
}

/// A system image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Its version.
    pub(crate) version: String,
    /// Its number, as its bundle has it; 0 where it is not known.
    pub(crate) number: u64,
}

impl Image {
    /// What os-release(5) says of the one that runs; `None`: it is none of ours.
    pub(crate) fn of(os_release: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches(['"', '\'']))
        };
        value("IMAGE_ID").filter(|id| *id == "engawa")?;
        let number = value("ENGAWA_IMAGE_NUMBER").and_then(|number| number.parse().ok()).unwrap_or(0);
        Some(Self { version: value("IMAGE_VERSION")?.to_owned(), number })
    }

    /// As the image calls itself when it is good.
    fn id(&self) -> String {
        format!("{}-{}", self.version, self.number)
    }
}

/// Why an image is not for this box, where it is not.
pub(crate) fn refusal(
    manifest: &Manifest,
    version: &str,
    number: u64,
    hardware: &str,
    floor: u64,
    runs: &Image,
) -> Option<String> {
    if manifest.kind != Kind::System {
        return Some(format!("it is a release of the {}, and no system image", manifest.kind.as_str()));
    }
    if manifest.version != version || (number != 0 && manifest.number != number) {
        let (is, has) = (&manifest.version, manifest.number);
        return Some(format!("it is version {is}, number {has}; {version}, number {number} was announced"));
    }
    if hardware.is_empty() || !manifest.hardware.iter().any(|board| board == hardware) {
        let board =
            if hardware.is_empty() { "a board that [update] hardware does not name" } else { hardware };
        return Some(format!("it is for {}; this gateway is {board}", manifest.hardware.join(", ")));
    }
    if manifest.number < floor {
        return Some(format!(
            "its number {} is below {floor}, which a good image has set: older ones are never installed again",
            manifest.number
        ));
    }
    if (&manifest.version, manifest.number) == (&runs.version, runs.number) {
        return Some("it is what runs".to_owned());
    }
    match manifest.files.as_slice() {
        [file] if file.name == BUNDLE => None,
        files => {
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).take(4).collect();
            Some(format!("it has the files {}: expected {BUNDLE} alone", names.join(", ")))
        }
    }
}

/// What the agent asks the installer for, and by which the installer's words are known again: one line.
pub(crate) fn request(version: &str, number: u64, rollout: &str) -> String {
    format!("{version} {number} {rollout}")
}

/// What the files of the box's installer say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The request that waits for the installer, or that it is at work on.
    pub(crate) asked: Option<String>,
    /// The request whose bundle it has refused, and why.
    pub(crate) refused: Option<(String, String)>,
    /// The request whose image it has written whole: the machine starts anew.
    pub(crate) written: Option<String>,
    /// The machine has yet to go down for it.
    pub(crate) restarting: bool,
    /// The image that was found good last, as it calls itself.
    pub(crate) good: Option<String>,
    /// What was said of an image that was left for its agent's sake: its version, and why.
    pub(crate) left: Option<(String, String)>,
}

/// How far an update of the system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The installer has not been asked, or its work was cut short.
    NotAsked,
    /// It is at work, or the machine goes down.
    Installing,
    /// The new image runs, and is not called good yet.
    Trial,
    /// It runs, and is good.
    Good,
    /// The one before runs again.
    Back(String),
    /// The installer has refused it.
    Refused(String),
}

/// True where the image that runs is not called good yet: the box may go back from it, whoever wants what.
pub(crate) fn is_on_trial(runs: &Image, told: &Told) -> bool {
    told.good.as_deref() != Some(&runs.id())
}

/// How far the image `wanted` is, which was asked for by `request`.
pub(crate) fn stage(wanted: &Image, request: &str, runs: &Image, told: &Told) -> Stage {
    if wanted == runs {
        return if is_on_trial(runs, told) { Stage::Trial } else { Stage::Good };
    }
    if let Some((_, why)) = told.refused.as_ref().filter(|(of, _)| of == request) {
        return Stage::Refused(why.clone());
    }
    if told.written.as_deref() == Some(request) {
        if told.restarting {
            return Stage::Installing;
        }
        let left = told.left.as_ref().filter(|(version, _)| *version == wanted.version);
        let why = left
            .map_or("it did not come up: the boot loader has gone back to the image before", |(_, why)| why);
        return Stage::Back(why.to_owned());
    }
    if told.asked.as_deref() == Some(request) { Stage::Installing } else { Stage::NotAsked }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: &str, number: u64) -> Image {
        Image { version: version.to_owned(), number }
    }

    #[test]
    fn the_image_is_what_os_release_says() {
        let debian = "ID=debian\nIMAGE_VERSION=1\n";
        assert_eq!(Image::of(debian), None);
        let ours = "ID=debian\nIMAGE_ID=engawa\nIMAGE_VERSION=\"1.2.0\"\nENGAWA_IMAGE_NUMBER=7\n";
        assert_eq!(Image::of(ours), Some(image("1.2.0", 7)));
        assert_eq!(Image::of("IMAGE_ID=engawa\nIMAGE_VERSION=1.0.0\n"), Some(image("1.0.0", 0)));
        assert_eq!(Image::of("IMAGE_ID=engawa\n"), None, "no version");
    }

    #[test]
    fn an_image_is_for_its_board_and_not_below_the_floor() {
        let file = r#"{"name":"system.raucb","mode":420,"size":1,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","chunks":[]}"#;
        let manifest = |kind: &str, hardware: &str, files: &str| -> Manifest {
            let text = format!(
                r#"{{"format":1,"name":"system","version":"2.0.0","number":2,"floor":0,"kind":"{kind}","triple":"t","hardware":[{hardware}],
                "built":0,"files":[{files}],"pack":{{"size":1,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}},"patches":[],
                "cut":{{"min":65536,"average":262144,"max":1048576}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let good = manifest("system", r#""virt""#, file);
        let runs = image("1.0.0", 1);
        assert_eq!(refusal(&good, "2.0.0", 2, "virt", 2, &runs), None);
        let other = manifest("system", r#""virt""#, &file.replace("system.raucb", "engawa"));
        for (manifest, version, number, hardware, floor, runs, why) in [
            (&manifest("application", r#""virt""#, file), "2.0.0", 2, "virt", 0, &runs, "no system image"),
            (&good, "2.0.1", 2, "virt", 0, &runs, "was announced"),
            (&good, "2.0.0", 3, "virt", 0, &runs, "was announced"),
            (&good, "2.0.0", 2, "other", 0, &runs, "it is for virt; this gateway is other"),
            (&good, "2.0.0", 2, "", 0, &runs, "does not name"),
            (&manifest("system", "", file), "2.0.0", 2, "virt", 0, &runs, "it is for"),
            (&good, "2.0.0", 2, "virt", 3, &runs, "below 3"),
            (&good, "2.0.0", 2, "virt", 0, &image("2.0.0", 2), "what runs"),
            (&other, "2.0.0", 2, "virt", 0, &runs, "expected system.raucb alone"),
        ] {
            let said = refusal(manifest, version, number, hardware, floor, runs).unwrap();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn how_far_it_is_is_read_from_what_runs_and_what_the_installer_says() {
        let (wanted, old) = (image("2.0.0", 2), image("1.0.0", 1));
        let asked = request("2.0.0", 2, "r1");
        let before = request("2.0.0", 2, "r0");
        let stage = |runs: &Image, told: &Told| super::stage(&wanted, &asked, runs, told);
        // What is left of another rollout of the same image says nothing.
        let mut told = Told {
            refused: Some((before.clone(), "signature".into())),
            written: Some(before),
            good: Some("1.0.0-1".into()),
            ..Told::default()
        };
        assert_eq!(stage(&old, &told), Stage::NotAsked);
        told.asked = Some(asked.clone());
        assert_eq!(stage(&old, &told), Stage::Installing);
        let refused = Told { refused: Some((asked.clone(), "signature".into())), ..told.clone() };
        assert_eq!(stage(&old, &refused), Stage::Refused("signature".into()));
        told = Told { asked: None, written: Some(asked.clone()), restarting: true, ..told };
        assert_eq!(stage(&old, &told), Stage::Installing);
        told.restarting = false;
        assert_eq!(stage(&wanted, &told), Stage::Trial);
        assert_eq!(stage(&wanted, &Told { good: Some("2.0.0-2".into()), ..told.clone() }), Stage::Good);
        assert!(matches!(stage(&old, &told), Stage::Back(why) if why.contains("boot loader")));
        told.left = Some(("2.0.0".into(), "the agent was not healthy".into()));
        assert_eq!(stage(&old, &told), Stage::Back("the agent was not healthy".into()));
        // The power went after it was written, before the request was gone: what came of it counts, not that it is asked for.
        let cut = Told { asked: Some(asked.clone()), ..told.clone() };
        assert_eq!(stage(&old, &cut), Stage::Back("the agent was not healthy".into()));
        assert_eq!(stage(&wanted, &cut), Stage::Trial);
        // Before the installer has said so itself, it is asked to.
        let cut = Told { written: None, ..cut };
        assert_eq!((stage(&old, &cut), stage(&wanted, &cut)), (Stage::Installing, Stage::Trial));
        // Whose bundle was lost in a cut is fetched again, whatever was said of others.
        assert_eq!(stage(&old, &Told { asked: None, ..cut }), Stage::NotAsked);
        // Another number of the same version is another image.
        assert!(matches!(stage(&image("2.0.0", 1), &told), Stage::Back(_)));
    }
}
