//! JOSE: our reading of a compact JWS (RFC 7515, section 7.1) before any key is touched.
//!
//! Exactly three segments of canonical base64url; a header with a known `alg`, at most one
//! reasonable `kid`, and a `typ` that an access token may have; nothing that changes how the rest is
//! to be read (`crit`, `b64`, `zip`, `enc`). Keys that a token brings along (`jwk`, `jku`, `x5u`,
//! `x5c`) are not looked at, whatever they hold.

use std::cell::RefCell;
use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use smol_str::SmolStr;

use super::crypto::Signature;
use super::error::TokenError;
use super::json::{Json, Object};

/// Longest token in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Longest key id in bytes.
const MAX_KID_BYTES: usize = 256;
/// How many headers a thread remembers, and of which length in base64url.
const REMEMBERED_HEADERS: usize = 8;
const MAX_REMEMBERED_HEADER: usize = 512;
/// Media types (without `application/`) that a client's token may declare: RFC 7519, section 5.1,
/// and RFC 9068, section 2.1.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

const NO_HEADER: TokenError = TokenError::Malformed("the header is not a JSON object");
const NO_PAYLOAD: TokenError = TokenError::Malformed("the payload is not a JSON object");

/// A header that was read.
struct Header {
    segment: String,
    algorithm: Algorithm,
    kid: Option<SmolStr>,
}

/// A token that has been read and not verified.
pub(super) struct Unverified<'a> {
    /// The declared algorithm.
    pub(super) algorithm: Algorithm,
    /// The declared key.
    pub(super) kid: Option<SmolStr>,
    /// What it claims, as JSON.
    pub(super) payload: String,
    /// The bytes that are signed.
    pub(super) message: &'a [u8],
    /// The signature, in base64url.
    signature: &'a str,
    /// The same, decoded.
    signature_bytes: Vec<u8>,
}

impl Unverified<'_> {
    /// What it claims.
    pub(super) fn claims(&self) -> Result<Object<'_>, TokenError> {
        Object::read(&self.payload).map_err(|_| NO_PAYLOAD)
    }

    /// The signature.
    pub(super) fn signature(&self) -> Signature<'_> {
        Signature {
            text: self.signature,
            bytes: &self.signature_bytes,
        }
    }
}

/// Reads a token.
pub(super) fn read(token: &str) -> Result<Unverified<'_>, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::Malformed("the token exceeds 16 KiB"));
    }
    let (message, signature) = token
        .rsplit_once('.')
        .ok_or(TokenError::Malformed("not three segments"))?;
    let (header, payload) = message
        .split_once('.')
        .filter(|(_, payload)| !payload.contains('.'))
        .ok_or(TokenError::Malformed("not three segments"))?;
    let (algorithm, kid) = header_of(header)?;
    let payload = decode(payload)
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or(NO_PAYLOAD)?;
    let signature_bytes =
        decode(signature).ok_or(TokenError::Malformed("the signature is not base64url"))?;
    Ok(Unverified {
        algorithm,
        kid,
        payload,
        message: message.as_bytes(),
        signature,
        signature_bytes,
    })
}

/// What the header segment says. All tokens of a key have the same one, so that each thread remembers
/// the last ones that were read, by their very text.
fn header_of(segment: &str) -> Result<(Algorithm, Option<SmolStr>), TokenError> {
    thread_local! {
        static READ: RefCell<VecDeque<Header>> = const { RefCell::new(VecDeque::new()) };
    }
    let known = READ.with_borrow(|read| {
        let known = read.iter().find(|known| known.segment == segment)?;
        Some((known.algorithm, known.kid.clone()))
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let text = decode(segment)
        .and_then(|text| String::from_utf8(text).ok())
        .ok_or(NO_HEADER)?;
    let header = Object::read(&text).map_err(|_| NO_HEADER)?;
    let (algorithm, kid) = read_header(&header)?;
    if segment.len() <= MAX_REMEMBERED_HEADER {
        READ.with_borrow_mut(|read| {
            read.truncate(REMEMBERED_HEADERS - 1);
            read.push_front(Header {
                segment: segment.to_owned(),
                algorithm,
                kid: kid.clone(),
            });
        });
    }
    Ok((algorithm, kid))
}

/// Canonical base64url without padding: stray trailing bits, padding and white space are refused.
fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

fn read_header(header: &Object<'_>) -> Result<(Algorithm, Option<SmolStr>), TokenError> {
    // RFC 7515, section 4.1.11: what is critical and not understood must be refused, and nothing
    // critical is understood here. The others change how payload or signature are read.
    for name in ["crit", "b64", "zip", "enc"] {
        if header.get(name).is_some() {
            return Err(TokenError::Malformed(
                "the header has crit, b64, zip or enc",
            ));
        }
    }
    match header.get("typ") {
        None => {}
        Some(Json::Text(typ)) if is_token_type(typ) => {}
        Some(_) => return Err(TokenError::Malformed("typ is not that of a token")),
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Json::Text(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.as_ref().into()),
        Some(_) => return Err(TokenError::Malformed("kid is not a text of 256 bytes")),
    };
    let algorithm = match header.get("alg") {
        Some(Json::Text(name)) => name.parse().map_err(|_| TokenError::AlgorithmNotAllowed)?,
        _ => return Err(TokenError::Malformed("alg is absent or not a text")),
    };
    Ok((algorithm, kid))
}

/// RFC 7515, section 4.1.9: media types compare without case, and `application/` may be left out.
fn is_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    TYPES.contains(&typ)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    fn token(header: &str, payload: &str) -> String {
        format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        )
    }

    fn refused(token: &str) -> Option<Reason> {
        let read = read(token).and_then(|read| read.claims().map(drop));
        read.err().map(|error| error.reason())
    }

    fn header(text: &str) -> Option<Reason> {
        refused(&token(text, "{}"))
    }

    /// Which of them a thread remembers must not be seen.
    #[test]
    fn many_headers_in_turn_are_each_read_as_they_are() {
        for _ in 0..3 {
            for number in 0..2 * REMEMBERED_HEADERS {
                let (name, algorithm) = match number % 3 {
                    0 => ("HS256", Algorithm::HS256),
                    1 => ("RS256", Algorithm::RS256),
                    _ => ("ES256", Algorithm::ES256),
                };
                let token = token(&format!(r#"{{"alg":"{name}","kid":"{number}"}}"#), "{}");
                let read = read(&token).unwrap();
                assert_eq!(read.algorithm, algorithm);
                assert_eq!(read.kid.as_deref(), Some(&*number.to_string()));
                assert_eq!(
                    header(r#"{"alg":"HS256","crit":[]}"#),
                    Some(Reason::CredentialMalformed)
                );
            }
        }
    }

    #[test]
    fn a01_alg_none_is_refused_in_any_case() {
        for alg in ["none", "None", "nOnE", "NONE"] {
            let text = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(header(&text), Some(Reason::AlgorithmNotAllowed));
            let encoded = URL_SAFE_NO_PAD.encode(&text);
            for shape in [format!("{encoded}.e30"), encoded.clone()] {
                assert_eq!(refused(&shape), Some(Reason::CredentialMalformed));
            }
            assert_eq!(
                refused(&format!("{encoded}.e30.")),
                Some(Reason::AlgorithmNotAllowed)
            );
        }
    }

    #[test]
    fn a02_alg_is_one_exact_name() {
        for text in [r#"{"alg":"hs256"}"#, r#"{"alg":"ES512"}"#, r#"{"alg":""}"#] {
            assert_eq!(header(text), Some(Reason::AlgorithmNotAllowed), "{text}");
        }
        for text in [
            "{}",
            r#"{"alg":5}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
        ] {
            assert_eq!(header(text), Some(Reason::CredentialMalformed), "{text}");
        }
    }

    #[test]
    fn a11_kid_is_a_bounded_text() {
        for kid in ["../../dev/null", "' UNION SELECT", "a\\r\\n\\u0000"] {
            let text = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
            assert_eq!(header(&text), None, "{kid}");
        }
        let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
        for text in [r#"{"alg":"HS256","kid":5}"#, &long] {
            assert_eq!(header(text), Some(Reason::CredentialMalformed));
        }
    }

    #[test]
    fn a12_keys_that_a_token_brings_are_not_looked_at() {
        assert_eq!(
            header(
                r#"{"alg":"RS256","jwk":{"kty":"XX"},"jku":5,"x5u":"http://127.0.0.1:1/","x5c":{}}"#
            ),
            None
        );
    }

    #[test]
    fn a13_crit_is_refused() {
        for crit in [
            r#"["x-foo"],"x-foo":"1""#,
            "[]",
            r#"["exp"]"#,
            r#"["b64"]"#,
            "null",
        ] {
            let text = format!(r#"{{"alg":"HS256","crit":{crit}}}"#);
            assert_eq!(header(&text), Some(Reason::CredentialMalformed), "{crit}");
        }
    }

    #[test]
    fn a14_a18_what_changes_the_reading_is_refused() {
        for extra in [
            r#""b64":false"#,
            r#""b64":true"#,
            r#""zip":"DEF""#,
            r#""enc":"A128GCM""#,
        ] {
            let text = format!(r#"{{"alg":"HS256",{extra}}}"#);
            assert_eq!(header(&text), Some(Reason::CredentialMalformed), "{extra}");
        }
    }

    #[test]
    fn a15_unknown_parameters_of_any_type_pass() {
        assert_eq!(
            header(r#"{"alg":"HS256","exp":123,"signer":{"a":[1.5,null]},"x":true}"#),
            None
        );
    }

    #[test]
    fn a16_typ_is_that_of_an_access_token() {
        for typ in [
            "JWT",
            "jwt",
            "at+jwt",
            "application/at+JWT",
            "application/jwt",
        ] {
            assert_eq!(header(&format!(r#"{{"alg":"HS256","typ":"{typ}"}}"#)), None);
        }
        for typ in [
            r#""logout+jwt""#,
            r#""dpop+jwt""#,
            r#""JOSE+JSON""#,
            r#""JOSE""#,
            r#""countersign+jwt""#,
            r#""""#,
            r#"" JWT""#,
            "null",
            "5",
        ] {
            let text = format!(r#"{{"alg":"HS256","typ":{typ}}}"#);
            assert_eq!(header(&text), Some(Reason::CredentialMalformed), "{typ}");
        }
    }

    #[test]
    fn a17_only_the_compact_form_with_three_segments_is_read() {
        let good = token(r#"{"alg":"HS256"}"#, "{}");
        let (header, _) = good.split_once('.').unwrap();
        for text in [
            String::new(),
            "a".to_owned(),
            format!("{header}..c2ln"),
            format!("{good}.e30"),
            format!("{good}.e30.e30"),
            ".".repeat(10_000),
            format!("{}{good}", ".".repeat(100)),
            r#"{"payload":"e30","signatures":[]}"#.to_owned(),
        ] {
            assert_eq!(
                refused(&text),
                Some(Reason::CredentialMalformed),
                "{text:.40}"
            );
        }
        assert_eq!(
            refused(&"a".repeat(MAX_TOKEN_BYTES + 1)),
            Some(Reason::CredentialMalformed)
        );
    }

    #[test]
    fn a33_base64url_is_canonical() {
        let good = token(r#"{"alg":"HS256"}"#, r#"{"a":"??>"}"#);
        assert_eq!(refused(&good), None);
        let parts: Vec<&str> = good.split('.').collect();
        for position in 0..3 {
            for broken in [
                format!("{}=", parts[position]),
                format!("{}\n", parts[position]),
                format!(" {}", parts[position]),
                format!("{}\0", parts[position]),
                format!("{}+/", parts[position]),
                format!("{}A", parts[position]),
            ] {
                let mut text: Vec<&str> = parts.clone();
                text[position] = &broken;
                // One more character can be canonical base64 of other bytes: then it is JSON that
                // breaks, and for a signature the check of it.
                if position < 2 || URL_SAFE_NO_PAD.decode(&broken).is_err() {
                    assert_eq!(
                        refused(&text.join(".")),
                        Some(Reason::CredentialMalformed),
                        "{broken:?}"
                    );
                }
            }
        }
        // "e30" is {}, "e31" the same bytes with stray trailing bits.
        let stray = good.replace(parts[1], "e31");
        assert_eq!(refused(&stray), Some(Reason::CredentialMalformed));
    }
}
