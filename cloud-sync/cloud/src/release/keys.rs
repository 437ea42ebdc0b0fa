//! Keys in files: Ed25519 in PKCS #8, as PEM (RFC 8410, RFC 5958), which OpenSSL reads too; encrypted with a passphrase
//! (PBES2 with scrypt and AES-256) or for the owner's eyes only.

use crate::release::folder::write_new;
use crate::setup;
use anyhow::{Context, bail};
use engawa_tuf::{Ed25519Signer, PublicKey, Signer};
use pkcs8::der::Decode;
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::zeroize::Zeroizing;
use pkcs8::pkcs5::pbes2;
use pkcs8::pkcs5::scrypt::Params;
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, LineEnding, ObjectIdentifier, PrivateKeyInfo,
    SecretDocument,
};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::{Path, PathBuf};

/// Where the passphrase of key files is, where no file is named.
pub(crate) const PASSPHRASE: &str = "ENGAWA_RELEASE_PASSPHRASE";
/// Ed25519 (RFC 8410, section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const PLAIN_LABEL: &str = "PRIVATE KEY";
const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
/// How hard a passphrase is to guess: 16 MiB and five passes, which OpenSSL bears without being told to.
fn scrypt() -> anyhow::Result<Params> {
    Params::new(14, 8, 5, 32).map_err(|error| anyhow::anyhow!("the key can't be encrypted: {error}"))
}

/// The shortest passphrase, characters.
const SHORTEST: usize = 12;

/// The passphrase: the first line of a file, or from the environment.
pub(crate) fn passphrase(file: Option<&Path>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let text = match file {
        Some(file) => Some(Zeroizing::new(setup::key(file)?)),
        None => std::env::var(PASSPHRASE).ok().map(Zeroizing::new),
    };
    let line = text.map(|text| Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()));
    if line.as_ref().is_some_and(|line| line.is_empty()) {
        match file {
            Some(file) => bail!("{} has no passphrase in its first line", file.display()),
            None => bail!("{PASSPHRASE} is empty: unset it for a key without a passphrase"),
        }
    }
    Ok(line)
}

/// The file with the public half of the key in `path`.
pub(crate) fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Makes a key, and beside it a file with its public half.
pub(crate) fn generate(path: &Path, passphrase: Option<&str>) -> anyhow::Result<PublicKey> {
    if passphrase.is_some_and(|passphrase| passphrase.chars().count() < SHORTEST) {
        bail!("the passphrase is shorter than {SHORTEST} characters: whoever finds the file would guess it");
    }
    let no_chance = |_| anyhow::anyhow!("the system has no random numbers");
    let random = SystemRandom::new();
    let mut seed = Zeroizing::new([0_u8; 32]);
    random.fill(seed.as_mut()).map_err(no_chance)?;
    let signer = Ed25519Signer::from_seed(&seed)?;
    // The key is an OCTET STRING in the OCTET STRING (RFC 8410, section 7).
    let inner = Zeroizing::new([&[0x04, 0x20], seed.as_slice()].concat());
    let info = PrivateKeyInfo::new(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, &inner);
    let wrong = |error: pkcs8::Error| anyhow::anyhow!("the key can't be written: {error}");
    let (label, document) = match passphrase {
        None => (PLAIN_LABEL, SecretDocument::try_from(info).map_err(wrong)?),
        Some(passphrase) => {
            let (mut salt, mut iv) = ([0_u8; 16], [0_u8; 16]);
            random.fill(&mut salt).map_err(no_chance)?;
            random.fill(&mut iv).map_err(no_chance)?;
            let parameters = pbes2::Parameters::scrypt_aes256cbc(scrypt()?, &salt, &iv)
                .map_err(|error| anyhow::anyhow!("the key can't be encrypted: {error}"))?;
            (ENCRYPTED_LABEL, info.encrypt_with_params(parameters, passphrase).map_err(wrong)?)
        }
    };
    let pem = document
        .to_pem(label, LineEnding::LF)
        .map_err(|error| anyhow::anyhow!("the key can't be written: {error}"))?;
    write_new(path, pem.as_bytes(), 0o600)?;
    write_public(&public_path(path), signer.key())?;
    Ok(signer.key().clone())
}

/// Writes the public half as TUF has it.
pub(crate) fn write_public(path: &Path, key: &PublicKey) -> anyhow::Result<()> {
    write_new(path, format!("{:#}\n", key.value()).as_bytes(), 0o644)
}

/// The public half in a file.
pub(crate) fn read_public(path: &Path) -> anyhow::Result<PublicKey> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no public key: expected the .pub file that `engawa-cloud release keygen` writes",
            path.display()
        )
    })?;
    PublicKey::from_value(&value).with_context(|| path.display().to_string())
}

/// The key in a file.
pub(crate) fn read(path: &Path, passphrase: Option<&str>) -> anyhow::Result<Ed25519Signer> {
    let text = Zeroizing::new(setup::key(path)?);
    let whole = || format!("{} is no key in PEM, as `engawa-cloud release keygen` writes it", path.display());
    let (label, document) = SecretDocument::from_pem(&text).ok().with_context(whole)?;
    let plain = match (label, passphrase) {
        (PLAIN_LABEL, _) => document,
        (ENCRYPTED_LABEL, Some(passphrase)) => EncryptedPrivateKeyInfo::from_der(document.as_bytes())
            .ok()
            .with_context(whole)?
            .decrypt(passphrase)
            .map_err(|_| {
                anyhow::anyhow!("{}: the passphrase is wrong, or the file is damaged", path.display())
            })?,
        (ENCRYPTED_LABEL, None) => bail!(
            "{} is encrypted: name a file with its passphrase by --passphrase-file, or set {PASSPHRASE}",
            path.display()
        ),
        _ => bail!(whole()),
    };
    let info = PrivateKeyInfo::from_der(plain.as_bytes()).ok().with_context(whole)?;
    if info.algorithm.oid != ED25519 || OctetStringRef::from_der(info.private_key).is_err() {
        bail!("{} is not an Ed25519 key: make one with `engawa-cloud release keygen`", path.display());
    }
    Ed25519Signer::from_pkcs8(plain.as_bytes()).with_context(|| path.display().to_string())
}

/// A key that signs: a file, or a token by its `pkcs11:` URI.
pub(crate) fn signer(name: &str, passphrase: Option<&str>) -> anyhow::Result<Box<dyn Signer>> {
    #[cfg(feature = "pkcs11")]
    if name.starts_with("pkcs11:") {
        return Ok(Box::new(crate::release::token::open(name)?));
    }
    #[cfg(not(feature = "pkcs11"))]
    if name.starts_with("pkcs11:") {
        bail!("this build can't use tokens: build engawa-cloud with the feature pkcs11");
    }
    Ok(Box::new(read(Path::new(name), passphrase)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_goes_into_a_file_and_back() {
        let dir = tempfile::tempdir().unwrap();
        for (name, passphrase) in [("plain.key", None), ("secret.key", Some("correct horse battery"))] {
            let path = dir.path().join(name);
            let key = generate(&path, passphrase).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let signer = read(&path, passphrase).unwrap();
            assert_eq!(signer.key(), &key);
            assert_eq!(read_public(&public_path(&path)).unwrap(), key);
            assert!(key.verifies(b"text", &signer.sign(b"text").unwrap()));
            assert!(generate(&path, None).unwrap_err().to_string().contains("is there already"));
        }
        let secret = dir.path().join("secret.key");
        assert!(read(&secret, None).unwrap_err().to_string().contains("--passphrase-file"));
        assert!(
            read(&secret, Some("wrong horse battery"))
                .unwrap_err()
                .to_string()
                .contains("passphrase is wrong")
        );
        assert!(generate(&dir.path().join("short.key"), Some("short")).is_err());
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&secret, None).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn openssl_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, passphrase) = (dir.path().join("a.key"), "correct horse battery");
        let key = generate(&path, Some(passphrase)).unwrap();
        let ran = std::process::Command::new("openssl")
            .args(["pkey", "-pubout", "-outform", "DER", "-passin", &format!("pass:{passphrase}"), "-in"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let public = data_encoding::HEXLOWER.encode(&ran.stdout[ran.stdout.len() - 32..]);
        assert_eq!(key.value()["keyval"]["public"], public);
    }
}
