//! DER and PEM, as far as a public key needs them (RFC 5280, section 4.1.2.7; RFC 7468).
//!
//! Reads `SubjectPublicKeyInfo`, PKCS #1 and the key of a certificate. Whether the numbers found
//! here are a good key is said by [`super::public_key`]; a private key is never read here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::public_key::{KeyFault, PublicKey};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_ID: u8 = 0x06;

const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2B, 0x65, 0x70];

/// The public key in the first section of a PEM text that has one.
pub(super) fn public_key_from_pem(text: &str) -> Result<PublicKey, KeyFault> {
    let mut rest = text;
    while let Some((label, der, after)) = section(rest)? {
        match label {
            "PUBLIC KEY" => return spki(&der).ok_or(KeyFault::Unsupported)?,
            "RSA PUBLIC KEY" => return pkcs1(&der).ok_or(KeyFault::Unreadable),
            "CERTIFICATE" => {
                let der = CertificateDer::from(der);
                let certificate =
                    ParsedCertificate::try_from(&der).map_err(|_| KeyFault::Unreadable)?;
                let found = certificate.subject_public_key_info();
                return spki(&found).ok_or(KeyFault::Unsupported)?;
            }
            _ if label.ends_with("PRIVATE KEY") => return Err(KeyFault::Private),
            _ => rest = after,
        }
    }
    Err(KeyFault::Unreadable)
}

/// That a PEM text holds exactly one private key, in PKCS #8 (RFC 5958); what is wrong otherwise.
pub(super) fn one_pkcs8(text: &str) -> Result<(), &'static str> {
    let mut found = 0;
    let mut rest = text;
    while let Some((label, _, after)) =
        section(rest).map_err(|_| "it is not a complete PEM text")?
    {
        match label {
            "PRIVATE KEY" => found += 1,
            "ENCRYPTED PRIVATE KEY" => return Err("it is encrypted"),
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" => return Err("it is not in PKCS #8"),
            _ => {}
        }
        rest = after;
    }
    if found == 1 {
        Ok(())
    } else {
        Err("it does not hold exactly one private key")
    }
}

type Section<'a> = (&'a str, Vec<u8>, &'a str);

fn section(text: &str) -> Result<Option<Section<'_>>, KeyFault> {
    let Some((_, begun)) = text.split_once("-----BEGIN ") else {
        return Ok(None);
    };
    let (label, rest) = begun.split_once("-----").ok_or(KeyFault::Unreadable)?;
    let (body, rest) = rest.split_once("-----END ").ok_or(KeyFault::Unreadable)?;
    let after = rest
        .strip_prefix(label)
        .and_then(|rest| rest.strip_prefix("-----"))
        .ok_or(KeyFault::Unreadable)?;
    if label.ends_with("PRIVATE KEY") {
        return Ok(Some((label, Vec::new(), after)));
    }
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| KeyFault::Unreadable)?;
    Ok(Some((label, der, after)))
}

/// `None` for a kind of key that is not supported; an error for a broken one.
fn spki(der: &[u8]) -> Option<Result<PublicKey, KeyFault>> {
    let mut outer = Reader(der).sequence()?;
    let mut algorithm = outer.sequence()?;
    let kind = algorithm.take(OBJECT_ID)?;
    let (unused, key) = outer.take(BIT_STRING)?.split_first()?;
    if *unused != 0 {
        return Some(Err(KeyFault::Unreadable));
    }
    if kind == RSA {
        return Some(pkcs1(key).ok_or(KeyFault::Unreadable));
    }
    if kind == ED25519 {
        return Some(Ok(PublicKey::Ed25519(key.to_vec())));
    }
    let curve = (kind == EC).then(|| algorithm.take(OBJECT_ID))??;
    if curve == P256 {
        Some(Ok(PublicKey::P256(key.to_vec())))
    } else if curve == P384 {
        Some(Ok(PublicKey::P384(key.to_vec())))
    } else {
        None
    }
}

fn pkcs1(der: &[u8]) -> Option<PublicKey> {
    let mut key = Reader(der).sequence()?;
    let modulus = key.take(INTEGER)?.to_vec();
    let exponent = key.take(INTEGER)?.to_vec();
    Some(PublicKey::Rsa { modulus, exponent })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn sequence(&mut self) -> Option<Reader<'a>> {
        self.take(SEQUENCE).map(Reader)
    }

    /// The content of the next element, if it has this tag. Only definite lengths are DER.
    fn take(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let count = usize::from(*first & 0x7F);
            if !(1..=3).contains(&count) {
                return None;
            }
            let (bytes, rest) = rest.split_at_checked(count)?;
            let length = bytes
                .iter()
                .fold(0, |length, byte| (length << 8) | usize::from(*byte));
            (length, rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if *tag != wanted {
            return None;
        }
        self.0 = rest;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_public_key_is_named() {
        let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, fault) in [
            ("", KeyFault::Unreadable),
            ("secret", KeyFault::Unreadable),
            (&private, KeyFault::Private),
            ("-----BEGIN PUBLIC KEY-----\n", KeyFault::Unreadable),
            (
                "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
                KeyFault::Unreadable,
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----",
                KeyFault::Unsupported,
            ),
        ] {
            assert_eq!(public_key_from_pem(text).err(), Some(fault), "{text:.30}");
        }
    }

    #[test]
    fn rsa_is_read_in_both_forms() {
        let pem = &super::super::testing::Pair::rsa().public_pem;
        let key = public_key_from_pem(pem).unwrap();
        let (_, der, _) = section(pem).unwrap().unwrap();
        let mut outer = Reader(&der).sequence().unwrap();
        outer.sequence().unwrap();
        let inner = STANDARD.encode(&outer.take(BIT_STRING).unwrap()[1..]);
        let pkcs1 =
            format!("-----BEGIN RSA PUBLIC KEY-----\n{inner}\n-----END RSA PUBLIC KEY-----\n");
        assert_eq!(public_key_from_pem(&pkcs1), Ok(key));
    }

    #[test]
    fn public_keys_and_certificates_are_read() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let from_key = public_key_from_pem(&pair.public_key_pem()).unwrap();
            let certificate = rcgen::CertificateParams::new(["a".to_owned()])
                .unwrap()
                .self_signed(&pair)
                .unwrap();
            let from_certificate = public_key_from_pem(&certificate.pem()).unwrap();
            assert_eq!(from_key, from_certificate);
            assert!(from_key.decoding_key().is_ok());
        }
    }
}
