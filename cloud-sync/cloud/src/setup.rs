//! Making a cloud, letting gateways in and turning them out.

use crate::desk::{self, Home};
use crate::output::{note, say};
use anyhow::{Context, bail};
use engawa_cloud::store::{self, DATABASE_FILE, gateways, settings};
use engawa_link::ClaimCode;
use engawa_link::pki::CertificateAuthority;
use engawa_model::Timestamp;
use serde_json::json;
use std::fs::{self, File};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The authority's certificate: it appears last, so a folder that has it is a whole cloud.
const AUTHORITY_FILE: &str = "ca.pem";
/// The authority's key.
const AUTHORITY_KEY_FILE: &str = "ca.key";
/// The cloud's own certificate.
pub(crate) const SERVER_FILE: &str = "server.pem";
/// Its key.
pub(crate) const SERVER_KEY_FILE: &str = "server.key";
/// Where Linux tells the machine's name.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
/// The longest name for people, characters.
const MOST_NAME: usize = 200;
/// How long gateways' certificates are valid where `init` was not told, days.
const CERTIFICATE_DAYS: u32 = 30;
/// How long after that they may be renewed, days.
const GRACE_DAYS: u32 = 365;

/// What a new cloud is like.
pub(crate) struct New {
    /// Under which names gateways reach it.
    pub(crate) names: Vec<String>,
    /// Its region.
    pub(crate) region: Option<String>,
    /// The folder of a cloud of another region whose authority it shares.
    pub(crate) authority: Option<PathBuf>,
    /// How long gateways' certificates are valid, days.
    pub(crate) certificate_days: Option<u32>,
    /// How long after that they may be renewed, days.
    pub(crate) grace_days: Option<u32>,
}

/// `engawa-cloud init`.
pub(crate) fn init(home: &Home, new: New) -> anyhow::Result<()> {
    let (dir, address) = (home.dir.as_path(), home.address()?);
    let New { names, region, authority: shared, certificate_days, grace_days } = new;
    let names = if names.is_empty() { own_names() } else { checked(names)? };
    let files = [AUTHORITY_FILE, AUTHORITY_KEY_FILE, SERVER_FILE, SERVER_KEY_FILE, DATABASE_FILE];
    let there: Vec<&str> = files.into_iter().filter(|file| dir.join(file).exists()).collect();
    if there.contains(&AUTHORITY_FILE) {
        bail!(
            "there is a cloud in {} already, and a cloud is made once: use it with `engawa-cloud serve`, or choose another --dir",
            dir.display()
        );
    }
    if !there.is_empty() {
        bail!(
            "{} has {}, but no {AUTHORITY_FILE}: if an earlier `init` was cut short, remove them and start again; if this cloud was in use, put {AUTHORITY_FILE} back from a backup",
            dir.display(),
            there.join(", ")
        );
    }
    let authority = match shared {
        Some(other) => authority_alone(&other)?,
        None => CertificateAuthority::create("Engawa cloud")?,
    };
    let authority = match &region {
        Some(region) => authority.in_region(region)?,
        None => authority,
    };
    let (certificate, key) = authority.server_certificate(&names)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making the folder {}", dir.display()))?;
    close_to_others(dir)?;
    let first = [
        ("certificate-days", certificate_days.unwrap_or(CERTIFICATE_DAYS)),
        ("renewal-grace-days", grace_days.unwrap_or(GRACE_DAYS)),
    ];
    match address {
        Some(address) => desk::make(address, &authority, &first)?,
        None => {
            let mut connection = store::create(&dir.join(DATABASE_FILE))?;
            store::write(&mut connection, |connection| {
                first.iter().try_for_each(|(key, value)| settings::set(connection, key, *value))
            })?;
        }
    }
    write(&dir.join(SERVER_KEY_FILE), &key)?;
    write(&dir.join(SERVER_FILE), &certificate)?;
    // Makes the files' names durable too.
    File::open(dir)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("writing {}", dir.display()))?;
    authority.save(dir)?;
    let of_region = region.map(|region| format!(" of region {region}")).unwrap_or_default();
    say(&format!("a new cloud{of_region} for {} is in {}", names.join(", "), dir.display()))?;
    say(&format!("keep {} safe: whoever has it can make gateways", dir.join(AUTHORITY_KEY_FILE).display()))
}

/// This machine under the names that always lead to it, and its own.
fn own_names() -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    // A machine without a usable name has the others.
    let own = fs::read_to_string(HOST_NAME_FILE).unwrap_or_default().trim().to_ascii_lowercase();
    if good_host(&own) && !names.contains(&own) {
        names.push(own);
    }
    names
}

fn checked(names: Vec<String>) -> anyhow::Result<Vec<String>> {
    let mut checked = Vec::new();
    for name in names {
        if name.parse::<IpAddr>().is_err() && !good_host(&name) {
            bail!(
                "--name `{name}`: expected a host name such as cloud.example.com or an address such as 192.0.2.7 or 2001:db8::7, without a port"
            );
        }
        if !checked.contains(&name) {
            checked.push(name);
        }
    }
    Ok(checked)
}

/// True if `name` is a host name: labels of letters, digits and `-` (RFC 1123, section 2.1), the last not all digits.
fn good_host(name: &str) -> bool {
    let good_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(good_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("making {}", path.display()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| format!("writing {}", path.display()))
}

/// A folder that was there before is for its owner's eyes only, too: keys come into it.
fn close_to_others(dir: &Path) -> anyhow::Result<()> {
    let closing = || -> std::io::Result<()> {
        let mode = fs::metadata(dir)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            fs::set_permissions(dir, fs::Permissions::from_mode(mode & !0o077))?;
        }
        Ok(())
    };
    closing().with_context(|| format!("closing the folder {} to other users (chmod 700)", dir.display()))
}

/// Text of a file that holds a key, and is for its owner's eyes only.
pub(crate) fn key(path: &Path) -> anyhow::Result<String> {
    let doing = || format!("reading {}", path.display());
    let about = fs::metadata(path).with_context(doing)?;
    if about.is_dir() {
        bail!("{} is a folder: name the file in it", path.display());
    }
    let mode = about.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "{} has mode {mode:o}, and other users may have read it: `chmod 600` it; if they may have, make new keys",
            path.display()
        );
    }
    fs::read_to_string(path).with_context(doing)
}

/// The authority of the cloud in `dir`.
pub(crate) fn authority(dir: &Path) -> anyhow::Result<CertificateAuthority> {
    // Harmless where a change of the authority was not cut short.
    let _ = CertificateAuthority::tidy(dir);
    CertificateAuthority::load(dir).with_context(|| {
        format!("there is no usable cloud in {}: `engawa-cloud init` makes one", dir.display())
    })
}

/// The authority of another cloud, which is not being changed: of two, the new cloud would have one.
fn authority_alone(dir: &Path) -> anyhow::Result<CertificateAuthority> {
    let authority = authority(dir)?;
    if authority.next_pin().is_some() {
        bail!("the authority in {} is being changed: finish that first", dir.display());
    }
    Ok(authority)
}

/// A claim, as it is noted. Instants are µs since 1970, UTC.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) property: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) secret: &'a str,
    pub(crate) now: i64,
    pub(crate) expires: i64,
}

/// `engawa-cloud claim`.
pub(crate) fn claim(
    home: &Home,
    property: &str,
    gateway: &str,
    name: Option<&str>,
    hours: u32,
    as_json: bool,
) -> anyhow::Result<()> {
    for (what, text) in [("--property", property), ("--gateway", gateway)] {
        if !gateways::good_name(text) {
            bail!(
                "{what} `{text}`: expected up to 64 letters, digits, `-`, `_` or `.`, beginning with a letter or digit"
            );
        }
    }
    if name.is_some_and(|name| {
        name.is_empty() || name.chars().count() > MOST_NAME || name.chars().any(char::is_control)
    }) {
        bail!("--name: expected 1 to {MOST_NAME} characters, none of them a control character");
    }
    let authority = authority(&home.dir)?;
    let code = ClaimCode::new(authority.pin()).context("the system gives no random bytes")?;
    let now = Timestamp::now();
    let expires = now + jiff::SignedDuration::from_hours(i64::from(hours));
    let enrolled = home.desk()?.claim(&Claim {
        property,
        gateway,
        name,
        secret: &code.secret,
        now: now.as_microsecond(),
        expires: expires.as_microsecond(),
    })?;
    if enrolled {
        note(&format!(
            "`{gateway}` is enrolled already: this code is for a new machine in its place; once it is used, the old \
             machine's certificates are revoked"
        ));
    }
    if as_json {
        let code = code.to_string();
        return say(&json!({ "property": property, "gateway": gateway, "code": code, "expires": expires })
            .to_string());
    }
    say(&code.to_string())?;
    note(&format!("good once, until {expires:.0}; on the gateway: engawa enroll {code}"));
    Ok(())
}

/// `engawa-cloud revoke`.
pub(crate) fn revoke(home: &Home, gateway: &str, serial: Option<&str>) -> anyhow::Result<()> {
    if let Some(serial) = serial {
        let serial = serial.replace(':', "").to_ascii_lowercase();
        home.desk()?.revoke_certificate(gateway, &serial)?;
        return say(&format!(
            "certificate {serial} of gateway `{gateway}` is revoked: a session with it ends within seconds"
        ));
    }
    home.desk()?.revoke(gateway, Timestamp::now().as_microsecond())?;
    say(&format!("gateway `{gateway}` is revoked: it is turned out within seconds, for good"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_cloud_are_hosts_or_addresses() {
        let long = format!("{}.example", "x".repeat(64));
        for name in ["cloud.example.com", "localhost", "a", "x1-y.example", "192.0.2.7", "::1", "2001:db8::7"]
        {
            assert!(checked(vec![name.to_owned()]).is_ok(), "{name}");
        }
        for name in [
            "",
            "a b",
            "https://x",
            "host:8443",
            "[::1]",
            "*.example.com",
            "-x",
            "x-",
            "a..b",
            "1.2.3",
            "café",
            &long,
        ] {
            assert!(checked(vec![name.to_owned()]).is_err(), "{name}");
        }
        assert_eq!(checked(vec!["a".into(), "a".into()]).unwrap(), ["a"]);
        assert!(own_names().len() >= 3);
    }
}
