//! CSRF: the check of Django's `CsrfViewMiddleware`, for requests whose session the gateway turns
//! into a bearer token.
//!
//! Where the app would have found a session it would have made this check itself; where it finds a
//! bearer token it makes none. The token is read from its header alone: the form field
//! `csrfmiddlewaretoken` stands in the body, which is streamed and never read here.

use aws_lc_rs::constant_time;

/// Characters of a secret.
const SECRET: usize = 32;
/// Characters of a masked token: the mask, then the secret under it.
const MASKED: usize = 2 * SECRET;

/// What a request says that the check asks.
#[derive(Debug, Clone, Default)]
pub struct CsrfFacts {
    /// The secret: the CSRF cookie's value, or what the session holds.
    pub secret: Option<crate::telemetry::Redacted>,
    /// The token that a script has put into the header.
    pub token: Option<crate::telemetry::Redacted>,
    /// Whether `Origin`, where there is one, is the request's own or a trusted one.
    pub origin: Option<bool>,
    /// Whether the client came over TLS, where a missing `Origin` asks for a `Referer`.
    pub secure: bool,
    /// Whether the `Referer`, where there is one, is of the request's own or a trusted origin.
    pub referer: Option<bool>,
}

/// Whether a request with an unsafe method passes.
#[must_use]
pub fn csrf_passes(facts: &CsrfFacts) -> bool {
    let from_here = match (facts.origin, facts.secure) {
        (Some(good), _) => good,
        (None, true) => facts.referer == Some(true),
        (None, false) => true,
    };
    let (Some(secret), Some(token)) = (&facts.secret, &facts.token) else {
        return false;
    };
    let (Some(secret), Some(token)) = (unmasked(secret.expose()), unmasked(token.expose())) else {
        return false;
    };
    from_here && constant_time::verify_slices_are_equal(&secret, &token).is_ok()
}

/// A secret as it is, or from under its mask; `None` where it is neither.
fn unmasked(text: &str) -> Option<Vec<u8>> {
    let places: Vec<u8> = text.bytes().map(place).collect::<Option<_>>()?;
    match places.len() {
        SECRET => Some(places),
        MASKED => {
            let (mask, cipher) = places.split_at_checked(SECRET)?;
            let unmask = |(cipher, mask): (&u8, &u8)| (cipher + 62 - mask) % 62;
            Some(cipher.iter().zip(mask).map(unmask).collect())
        }
        _ => None,
    }
}

/// The place of a character in `a-zA-Z0-9`.
const fn place(byte: u8) -> Option<u8> {
    match byte {
        b'a'..=b'z' => Some(byte - b'a'),
        b'A'..=b'Z' => Some(byte - b'A' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::vectors;
    use crate::telemetry::Redacted;

    fn facts(secret: &str, token: &str) -> CsrfFacts {
        CsrfFacts {
            secret: Some(Redacted::new(secret.into())),
            token: Some(Redacted::new(token.into())),
            ..CsrfFacts::default()
        }
    }

    #[test]
    fn plain_and_masked_tokens_of_the_secret_pass() {
        let vectors = vectors();
        let secret = vectors["csrf"]["secret"].as_str().unwrap();
        assert!(csrf_passes(&facts(secret, secret)));
        for masked in vectors["csrf"]["masked"].as_array().unwrap() {
            let masked = masked.as_str().unwrap();
            assert!(csrf_passes(&facts(secret, masked)), "{masked}");
            // Django before 4.1 kept the secret masked.
            assert!(csrf_passes(&facts(masked, secret)), "{masked}");
        }
        let other = vectors["csrf"]["other"].as_str().unwrap();
        assert!(!csrf_passes(&facts(secret, other)));
    }

    #[test]
    fn what_is_no_token_never_passes() {
        let secret = "abcdefghijklmnopqrstuvwxyzABCDEF";
        for bad in [
            "",
            "x",
            &secret[1..],
            &format!("{secret}a"),
            &secret.to_lowercase(),
            "abcdefghijklmnopqrstuvwxyzABCDE-",
        ] {
            assert!(!csrf_passes(&facts(secret, bad)), "{bad}");
            assert!(
                !csrf_passes(&facts(bad, bad)) || bad.len() == SECRET,
                "{bad}"
            );
        }
        let mut missing = facts(secret, secret);
        missing.token = None;
        assert!(!csrf_passes(&missing));
        missing = facts(secret, secret);
        missing.secret = None;
        assert!(!csrf_passes(&missing));
        assert!(!csrf_passes(&CsrfFacts::default()));
    }

    #[test]
    fn origin_and_over_tls_the_referer_must_be_ours() {
        let secret = "abcdefghijklmnopqrstuvwxyzABCDEF";
        for (origin, secure, referer, passes) in [
            (None, false, None, true),
            (None, false, Some(false), true),
            (Some(true), false, None, true),
            (Some(false), false, None, false),
            (Some(true), true, None, true),
            (Some(false), true, Some(true), false),
            (None, true, None, false),
            (None, true, Some(false), false),
            (None, true, Some(true), true),
        ] {
            let facts = CsrfFacts {
                origin,
                secure,
                referer,
                ..facts(secret, secret)
            };
            assert_eq!(csrf_passes(&facts), passes, "{facts:?}");
        }
    }
}
