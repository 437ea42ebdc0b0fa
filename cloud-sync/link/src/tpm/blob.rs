//! The file of a key that a TPM has wrapped: TSS2 PRIVATE KEY, as the "ASN.1 Specification for TPM 2.0 Key Files" has it, after
//! a line that says where its TPM is.

use super::wire::Wrapped;
use crate::place::TpmAddress;
use tpm2_protocol::data::TpmRh;
use yasna::Tag;
use yasna::models::ObjectIdentifier;

const LABEL: &str = "TSS2 PRIVATE KEY";
const BEGIN: &str = "-----BEGIN TSS2 PRIVATE KEY-----";
/// What the first line begins with.
const PLACE: &str = "TPM: ";
/// `id-loadablekey`.
const LOADABLE: &[u64] = &[2, 23, 133, 10, 1, 3];

/// True for the text of such a file.
pub(crate) fn is_wrapped(text: &str) -> bool {
    text.contains(BEGIN)
}

pub(super) fn write(at: &TpmAddress, wrapped: &Wrapped) -> String {
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(LOADABLE));
            // It has no password.
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_bool(true));
            writer.next().write_u32(TpmRh::Owner.value());
            writer.next().write_bytes(&wrapped.public);
            writer.next().write_bytes(&wrapped.private);
        });
    });
    format!("{PLACE}{at}\n{}", pem::encode(&pem::Pem::new(LABEL, der)).replace('\r', ""))
}

pub(super) fn read(text: &str) -> Result<(TpmAddress, Wrapped), &'static str> {
    let first = text.lines().next().and_then(|line| line.strip_prefix(PLACE));
    let at = first
        .and_then(|place| TpmAddress::read(place.trim()))
        .ok_or("its first line does not say where the TPM is, such as `TPM: device:/dev/tpmrm0`")?;
    let begin = text.find(BEGIN).ok_or("it is not a TSS2 PRIVATE KEY")?;
    let pem = pem::parse(&text[begin..]).map_err(|_| "its PEM is damaged")?;
    let read = yasna::parse_der(pem.contents(), |reader| {
        reader.read_sequence(|reader| {
            let kind = reader.next().read_oid()?;
            let no_password = reader
                .read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_bool()))?;
            let parent = reader.next().read_u32()?;
            let public = reader.next().read_bytes()?;
            let private = reader.next().read_bytes()?;
            Ok((kind, no_password, parent, Wrapped { public, private }))
        })
    });
    let (kind, no_password, parent, wrapped) = read.map_err(|_| "its ASN.1 is not that of a TPM's key")?;
    if kind != ObjectIdentifier::from_slice(LOADABLE) || no_password != Some(true) {
        return Err(
            "it is a key of a kind that the gateway does not use: a password, a policy, or sealed data",
        );
    }
    if parent != TpmRh::Owner.value() {
        return Err("its parent is not the owner hierarchy");
    }
    Ok((at, wrapped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_comes_back_and_a_damaged_one_is_named() {
        let at = TpmAddress::Device("/dev/tpmrm0".into());
        let wrapped = Wrapped { public: vec![1; 90], private: vec![2; 120] };
        let text = write(&at, &wrapped);
        assert!(is_wrapped(&text) && !is_wrapped("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(read(&text), Ok((at, wrapped)));
        assert!(read(&text.replace("TPM: ", "")).unwrap_err().contains("first line"));
        assert!(read(&text[..text.len() / 2]).is_err());
        assert!(read(&text.replacen("MI", "AA", 1)).is_err() || read(&text.replacen("Bg", "AA", 1)).is_err());
        assert!(read("TPM: device:/dev/tpmrm0\nnonsense").is_err());
    }
}
