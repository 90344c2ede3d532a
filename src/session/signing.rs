//! Signing, as `django.core.signing` does it.
//!
//! `data ":" base62(time) ":" base64url(HMAC-SHA256)`, the key being SHA-256 of salt, `signer` and
//! the secret, the message everything before the last colon. A leading `.` marks compressed data.
//! The secret may have been an older one (`SECRET_KEY_FALLBACKS`).

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::SessionError;
use super::inflate::inflate;
use crate::telemetry::{Redacted, UnixTime};

/// Longest signed text in bytes.
pub(super) const MAX_SIGNED: usize = 1 << 20;

/// The keys of one salt: that of the secret, then those of its fallbacks.
pub(super) struct Keys(Vec<hmac::Key>);

/// What was signed, and when.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) data: Vec<u8>,
    pub(super) at: UnixTime,
}

impl Keys {
    /// The keys of `Signer(salt=salt)`.
    pub(super) fn of_signer<'s>(
        salt: &str,
        secrets: impl IntoIterator<Item = &'s Redacted>,
    ) -> Self {
        Self::derived(&format!("{salt}signer"), secrets)
    }

    /// The keys of `salted_hmac(key_salt, …)`.
    pub(super) fn derived<'s>(
        key_salt: &str,
        secrets: impl IntoIterator<Item = &'s Redacted>,
    ) -> Self {
        let derive = |secret: &Redacted| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(key_salt.as_bytes());
            context.update(secret.expose().as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, context.finish().as_ref())
        };
        Self(secrets.into_iter().map(derive).collect())
    }

    /// Whether `tag` is that of `message` under any of the keys, in constant time for each.
    pub(super) fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        self.0
            .iter()
            .any(|key| hmac::verify(key, message, tag).is_ok())
    }

    /// Opens what `django.core.signing.dumps` made.
    pub(super) fn open(&self, text: &str) -> Result<Signed, SessionError> {
        if text.len() > MAX_SIGNED {
            return Err(SessionError::Unreadable("it is too long"));
        }
        let (message, tag) = text.rsplit_once(':').ok_or(SessionError::Signature)?;
        let tag = URL_SAFE_NO_PAD
            .decode(tag)
            .map_err(|_| SessionError::Signature)?;
        if !self.verify(message.as_bytes(), &tag) {
            return Err(SessionError::Signature);
        }
        let (data, time) = message
            .rsplit_once(':')
            .ok_or(SessionError::Unreadable("it has no time"))?;
        let at = base62(time).ok_or(SessionError::Unreadable("its time is none"))?;
        let (data, compressed) = data
            .strip_prefix('.')
            .map_or((data, false), |rest| (rest, true));
        let data = URL_SAFE_NO_PAD
            .decode(data)
            .map_err(|_| SessionError::Unreadable("it is not base64url"))?;
        let data = if compressed { inflate(&data)? } else { data };
        Ok(Signed {
            data,
            at: UnixTime::from_secs(at),
        })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// A number in `0-9A-Za-z`.
fn base62(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0_u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::{secret, vectors};

    const SALT: &str = "django.contrib.sessions.SessionStore";

    fn keys() -> Keys {
        Keys::of_signer(SALT, [&secret("secret")])
    }

    #[test]
    fn what_django_signed_is_opened() {
        let vectors = vectors();
        let signed = keys()
            .open(vectors["stored"]["anonymous"].as_str().unwrap())
            .unwrap();
        assert_eq!(signed.data, br#"{"cart":[1,2,3]}"#);
        assert_eq!(
            signed.at.as_secs(),
            vectors["now"].as_u64().unwrap(),
            "the time of the signature"
        );
        for name in ["login", "compressed", "unicode"] {
            let text = vectors["stored"][name].as_str().unwrap();
            assert!(keys().open(text).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_other_byte_is_refused() {
        let vectors = vectors();
        let good = vectors["stored"]["login"].as_str().unwrap();
        for at in 0..good.len() {
            for other in [b'A', b'z', b':', b'.', b'=', b' '] {
                let mut bytes = good.as_bytes().to_vec();
                if bytes[at] == other {
                    continue;
                }
                bytes[at] = other;
                let bad = String::from_utf8(bytes).unwrap();
                // The last character of base64 has bits that say nothing; a strict reader refuses
                // all but one of them.
                assert!(keys().open(&bad).is_err(), "{at}: {bad}");
            }
        }
        for bad in [
            "",
            ":",
            "::",
            "a:b",
            "a:b:c",
            &format!("{good}:"),
            &good[1..],
        ] {
            assert_eq!(keys().open(bad), Err(SessionError::Signature), "{bad}");
        }
    }

    #[test]
    fn the_salt_and_the_secret_are_part_of_the_key() {
        let vectors = vectors();
        let good = vectors["stored"]["login"].as_str().unwrap();
        let salt = "django.contrib.sessions.backends.signed_cookies";
        let other_salt = Keys::of_signer(salt, [&secret("secret")]);
        assert_eq!(other_salt.open(good), Err(SessionError::Signature));
        let other_secret = Keys::of_signer(SALT, [&secret("old_secret")]);
        assert_eq!(other_secret.open(good), Err(SessionError::Signature));
        let rotated = Keys::of_signer(SALT, [&secret("old_secret"), &secret("secret")]);
        assert!(rotated.open(good).is_ok(), "a fallback");
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let vectors = vectors();
        let bomb = vectors["stored"]["bomb"].as_str().unwrap();
        assert!(bomb.len() < 50_000);
        assert_eq!(
            keys().open(bomb),
            Err(SessionError::Unreadable("it inflates beyond the bound"))
        );
    }

    #[test]
    fn base62_is_djangos() {
        assert_eq!(base62("0"), Some(0));
        assert_eq!(base62("z"), Some(61));
        assert_eq!(base62("10"), Some(62));
        assert_eq!(base62("1xocE4"), Some(1_800_000_000));
        for bad in ["", "-1", "1 ", "é", "zzzzzzzzzzzz"] {
            assert_eq!(base62(bad), None, "{bad}");
        }
    }
}
