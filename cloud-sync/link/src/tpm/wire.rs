//! The TPM's commands and answers as bytes (TCG, TPM 2.0 Library). No I/O.

use tpm2_protocol::basic::{TpmHandle, TpmUint16};
use tpm2_protocol::constant::TPM_MAX_COMMAND_SIZE;
use tpm2_protocol::data::{
    Tpm2bDigest, Tpm2bPrivate, Tpm2bPublic, TpmAlgId, TpmEccCurve, TpmRh, TpmSt, TpmSu, TpmaObject,
    TpmaSession, TpmsAuthCommand, TpmsEccParms, TpmsEccPoint, TpmsSchemeHash, TpmtEccScheme, TpmtKdfScheme,
    TpmtPublic, TpmtSigScheme, TpmtSymDefObject, TpmtTkHashcheck, TpmuAsymScheme, TpmuPublicId,
    TpmuPublicParms, TpmuSigScheme, TpmuSignature, TpmuSymKeyBits, TpmuSymMode,
};
use tpm2_protocol::frame::{
    TpmCreateCommand, TpmCreatePrimaryCommand, TpmCreatePrimaryResponse, TpmCreateResponse,
    TpmFlushContextCommand, TpmFrame, TpmLoadCommand, TpmLoadResponse, TpmResponse, TpmSignCommand,
    TpmSignResponse, TpmStartupCommand, TpmUnmarshalBody, tpm_marshal_command,
};
use tpm2_protocol::{TpmError as Fault, TpmMarshal, TpmUnmarshal, TpmWriter};

/// The longest command or answer, bytes.
pub(super) const MOST: usize = TPM_MAX_COMMAND_SIZE;
/// Bytes of an answer's head: tag, length, response code.
pub(super) const HEAD: usize = 10;
/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;

/// Response codes (part 2, 6.6.3), their format and numbers stripped where they have any.
pub(super) const INITIALIZE: u32 = 0x100;
pub(super) const LOCKOUT: u32 = 0x921;
const RETRY: u32 = 0x922;
const YIELDED: u32 = 0x908;
const TESTING: u32 = 0x90a;
const NV_RATE: u32 = 0x920;
const FORMAT_ONE: u32 = 0x80;
const INTEGRITY: u32 = 0x1f;
const AUTH_FAIL: u32 = 0x0e;
const BAD_AUTH: u32 = 0x22;
const HIERARCHY: u32 = 0x05;

/// A key as its TPM has wrapped it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrapped {
    /// TPM2B_PUBLIC.
    pub(super) public: Vec<u8>,
    /// TPM2B_PRIVATE.
    pub(super) private: Vec<u8>,
}

/// r and s, without a sign.
pub(super) type Signature = (Vec<u8>, Vec<u8>);

/// What a response code means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is done.
    Done,
    /// It was not started since it has power.
    NotStarted,
    /// Ask again.
    Again,
    /// Locked out.
    Lockout,
    /// The password is another one, or the hierarchy is off.
    Owner,
    /// Not of this TPM.
    Foreign,
    /// Something else.
    Other,
}

pub(super) fn meaning(code: u32) -> Meaning {
    match code {
        0 => Meaning::Done,
        INITIALIZE => Meaning::NotStarted,
        RETRY | YIELDED | TESTING | NV_RATE => Meaning::Again,
        LOCKOUT => Meaning::Lockout,
        _ if code & FORMAT_ONE != 0 => match code & 0x3f {
            INTEGRITY => Meaning::Foreign,
            AUTH_FAIL | BAD_AUTH | HIERARCHY => Meaning::Owner,
            _ => Meaning::Other,
        },
        _ => Meaning::Other,
    }
}

/// The name of a response code, as the specification has it.
pub(super) fn name_of(code: u32) -> String {
    tpm2_protocol::data::TpmRc::try_from(code)
        .map_or_else(|_| "a code that is in no specification".to_owned(), |rc| rc.base().to_string())
}

/// The response code of an answer, if it is as long as it says.
pub(super) fn code(answer: &[u8]) -> Option<u32> {
    let length = answer.get(2..6).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())?;
    let code = answer.get(6..HEAD).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok())?;
    (usize::try_from(u32::from_be_bytes(length)) == Ok(answer.len())).then(|| u32::from_be_bytes(code))
}

fn marshal(command: &impl TpmFrame, authorised: bool) -> Result<Vec<u8>, Fault> {
    // The empty password: what keeps the key is that it can't leave its TPM.
    let password = [TpmsAuthCommand {
        session_handle: TpmHandle::new(TpmRh::Pw.value()),
        session_attributes: TpmaSession::CONTINUE_SESSION,
        ..TpmsAuthCommand::default()
    }];
    let (tag, sessions) = match authorised {
        true => (TpmSt::Sessions, &password[..]),
        false => (TpmSt::NoSessions, &password[..0]),
    };
    let mut buffer = [0; MOST];
    let mut writer = TpmWriter::new(&mut buffer);
    tpm_marshal_command(command, tag, sessions, &mut writer)?;
    Ok(writer.as_bytes().to_vec())
}

fn unmarshal<R: TpmUnmarshalBody>(answer: &[u8]) -> Result<R, Fault> {
    TpmResponse::cast(answer)?.unmarshal()
}

fn bytes(value: &impl TpmMarshal) -> Result<Vec<u8>, Fault> {
    let mut buffer = [0; MOST];
    let mut writer = TpmWriter::new(&mut buffer);
    value.marshal(&mut writer)?;
    Ok(writer.as_bytes().to_vec())
}

fn ecc(attributes: TpmaObject, symmetric: TpmtSymDefObject, scheme: TpmtEccScheme) -> Tpm2bPublic {
    let own = TpmaObject::FIXED_TPM
        | TpmaObject::FIXED_PARENT
        | TpmaObject::SENSITIVE_DATA_ORIGIN
        | TpmaObject::USER_WITH_AUTH
        | TpmaObject::NO_DA;
    Tpm2bPublic {
        inner: TpmtPublic {
            object_type: TpmAlgId::Ecc,
            name_alg: TpmAlgId::Sha256,
            object_attributes: own | attributes,
            auth_policy: Tpm2bDigest::default(),
            parameters: TpmuPublicParms::Ecc(TpmsEccParms {
                symmetric,
                scheme,
                curve_id: TpmEccCurve::NistP256,
                kdf: TpmtKdfScheme::default(),
            }),
            unique: TpmuPublicId::Ecc(TpmsEccPoint::default()),
        },
    }
}

/// A TPM that has just got power.
pub(super) fn startup() -> Result<Vec<u8>, Fault> {
    marshal(&TpmStartupCommand { handles: [], startup_type: TpmSu::Clear }, false)
}

/// The storage key under which the gateway's lies: the usual one of P-256, so that other tools find it as well.
pub(super) fn create_primary() -> Result<Vec<u8>, Fault> {
    let aes = TpmtSymDefObject {
        algorithm: TpmAlgId::Aes,
        key_bits: TpmuSymKeyBits::Aes(TpmUint16::new(128)),
        mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
    };
    let command = TpmCreatePrimaryCommand {
        handles: [TpmHandle::new(TpmRh::Owner.value())],
        in_public: ecc(TpmaObject::RESTRICTED | TpmaObject::DECRYPT, aes, TpmtEccScheme::default()),
        ..TpmCreatePrimaryCommand::default()
    };
    marshal(&command, true)
}

/// The handle of the storage key.
pub(super) fn created_primary(answer: &[u8]) -> Result<u32, Fault> {
    let created: TpmCreatePrimaryResponse = unmarshal(answer)?;
    Ok(created.handles[0].value())
}

/// A new key of the gateway: it signs, and nothing else.
pub(super) fn create(parent: u32) -> Result<Vec<u8>, Fault> {
    let none = TpmtSymDefObject { algorithm: TpmAlgId::Null, ..TpmtSymDefObject::default() };
    let ecdsa = TpmtEccScheme {
        scheme: TpmAlgId::Ecdsa,
        details: TpmuAsymScheme::Hash(TpmsSchemeHash { hash_alg: TpmAlgId::Sha256 }),
    };
    let command = TpmCreateCommand {
        handles: [TpmHandle::new(parent)],
        in_sensitive: Default::default(),
        in_public: ecc(TpmaObject::SIGN_ENCRYPT, none, ecdsa),
        outside_info: Default::default(),
        creation_pcr: Default::default(),
    };
    marshal(&command, true)
}

/// The new key, wrapped.
pub(super) fn created(answer: &[u8]) -> Result<Wrapped, Fault> {
    let created: TpmCreateResponse = unmarshal(answer)?;
    Ok(Wrapped { public: bytes(&created.out_public)?, private: bytes(&created.out_private)? })
}

/// The wrapped key into the TPM.
pub(super) fn load(parent: u32, wrapped: &Wrapped) -> Result<Vec<u8>, Fault> {
    let (in_private, _) = Tpm2bPrivate::unmarshal(&wrapped.private)?;
    let (in_public, _) = Tpm2bPublic::unmarshal(&wrapped.public)?;
    marshal(&TpmLoadCommand { handles: [TpmHandle::new(parent)], in_private, in_public }, true)
}

/// Its handle.
pub(super) fn loaded(answer: &[u8]) -> Result<u32, Fault> {
    let loaded: TpmLoadResponse = unmarshal(answer)?;
    Ok(loaded.handles[0].value())
}

/// A signature over a digest of SHA-256.
pub(super) fn sign(key: u32, digest: &[u8]) -> Result<Vec<u8>, Fault> {
    let command = TpmSignCommand {
        handles: [TpmHandle::new(key)],
        digest: Tpm2bDigest::try_from(digest)?,
        in_scheme: TpmtSigScheme {
            scheme: TpmAlgId::Ecdsa,
            details: TpmuSigScheme::Hash(TpmsSchemeHash { hash_alg: TpmAlgId::Sha256 }),
        },
        // The digest was made outside: the ticket that says otherwise is the empty one.
        validation: TpmtTkHashcheck {
            tag: TpmSt::HashCheck,
            hierarchy: TpmRh::Null,
            digest: Tpm2bDigest::default(),
        },
    };
    marshal(&command, true)
}

/// r and s of the signature; `None` where it is of another kind.
pub(super) fn signed(answer: &[u8]) -> Result<Option<Signature>, Fault> {
    let signed: TpmSignResponse = unmarshal(answer)?;
    let TpmuSignature::Ecdsa(signature) = &signed.signature.signature else { return Ok(None) };
    Ok(Some((signature.signature_r.to_vec(), signature.signature_s.to_vec())))
}

/// A handle that is not needed any more.
pub(super) fn flush(handle: u32) -> Result<Vec<u8>, Fault> {
    marshal(&TpmFlushContextCommand { handles: [], flush_handle: TpmHandle::new(handle) }, false)
}

/// The public point of a wrapped key, uncompressed. A key that could leave its TPM, or is no P-256, is none of ours.
pub(super) fn point(public: &[u8]) -> Result<[u8; 1 + 2 * COORDINATE], &'static str> {
    let (public, rest) = Tpm2bPublic::unmarshal(public).map_err(|_| "its public part can't be read")?;
    let attributes = public.inner.object_attributes.bits();
    let wanted = (TpmaObject::FIXED_TPM | TpmaObject::FIXED_PARENT | TpmaObject::SIGN_ENCRYPT).bits();
    let parameters = matches!(&public.inner.parameters,
        TpmuPublicParms::Ecc(parameters) if parameters.curve_id == TpmEccCurve::NistP256);
    let TpmuPublicId::Ecc(place) = &public.inner.unique else { return Err("it is not a key of P-256") };
    if !rest.is_empty() || !parameters || attributes & wanted != wanted {
        return Err("it is not a signing key of P-256 that is fixed to its TPM");
    }
    let mut point = [0; 1 + 2 * COORDINATE];
    point[0] = 4;
    for (n, coordinate) in [&place.x, &place.y].into_iter().enumerate() {
        // A TPM may leave out zeros in front.
        let coordinate: &[u8] = coordinate.as_ref();
        let end = 1 + (n + 1) * COORDINATE;
        let begin = end.checked_sub(coordinate.len()).filter(|begin| *begin > n * COORDINATE);
        point[begin.ok_or("its point is too long")?..end].copy_from_slice(coordinate);
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_specification_says() {
        for (code, wanted) in [
            (0, Meaning::Done),
            (0x100, Meaning::NotStarted),
            (0x922, Meaning::Again),
            (0x921, Meaning::Lockout),
            // Parameter 1: integrity. Session 1: bad password. Handle 1: hierarchy.
            (0x1df, Meaning::Foreign),
            (0x9a2, Meaning::Owner),
            (0x98e, Meaning::Owner),
            (0x185, Meaning::Owner),
            (0x101, Meaning::Other),
            (0x84, Meaning::Other),
        ] {
            assert_eq!(meaning(code), wanted, "{code:#x}");
        }
        assert_eq!(name_of(0x921), "TPM_RC_LOCKOUT");
        assert!(!name_of(0xffff_fff0).is_empty());
    }

    #[test]
    fn an_answer_that_is_cut_or_longer_than_it_says_has_no_code() {
        let answer = [0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0];
        assert_eq!(code(&answer), Some(0x100));
        assert_eq!(code(&answer[..9]), None);
        assert_eq!(code(&[&answer[..], &[0]].concat()), None);
        assert_eq!(code(&[]), None);
        for cut in 0..answer.len() {
            assert!(created_primary(&answer[..cut]).is_err() && signed(&answer[..cut]).is_err());
        }
    }

    #[test]
    fn a_key_that_could_leave_its_tpm_is_none_of_ours() {
        let none = TpmtSymDefObject { algorithm: TpmAlgId::Null, ..TpmtSymDefObject::default() };
        let mut public = ecc(TpmaObject::SIGN_ENCRYPT, none, TpmtEccScheme::default());
        public.inner.unique = TpmuPublicId::Ecc(TpmsEccPoint {
            x: [7; 32].as_slice().try_into().unwrap(),
            y: [9; 31].as_slice().try_into().unwrap(),
        });
        let found = point(&bytes(&public).unwrap()).unwrap();
        assert_eq!((found[0], found[1], found[33], found[34]), (4, 7, 0, 9));
        public.inner.unique = TpmuPublicId::Ecc(TpmsEccPoint {
            x: [7; 32].as_slice().try_into().unwrap(),
            y: [9; 33].as_slice().try_into().unwrap(),
        });
        assert!(point(&bytes(&public).unwrap()).is_err());
        public.inner.object_attributes = TpmaObject::SIGN_ENCRYPT;
        assert!(point(&bytes(&public).unwrap()).is_err());
        assert!(point(b"nonsense").is_err());
    }
}
