//! The reader: one configured kind of Django session, with its secrets.

use super::content::Session;
use super::error::SessionError;
use super::signing::Keys;
use crate::config::{DjangoSession, SessionStore};
use crate::telemetry::{Redacted, UnixTime};

/// The salt of stored sessions: `SessionStore.key_salt` is made from the class's name, which all
/// backends share.
const STORED: &str = "django.contrib.sessions.SessionStore";
/// The salt of sessions that are their own cookie.
const COOKIE: &str = "django.contrib.sessions.backends.signed_cookies";
/// `AbstractBaseUser.get_session_auth_hash`.
const HASH: &str = "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash";

/// Reads the sessions of one configured credential.
#[derive(Debug)]
pub struct Reader {
    signed: Keys,
    hash: Keys,
    /// How long a session that is its own cookie lives; `None` where a store says it.
    cookie_age: Option<std::time::Duration>,
    /// Whether the cache writes JSON.
    json: bool,
}

impl Reader {
    /// A reader with these secrets.
    #[must_use]
    pub fn build(config: &DjangoSession) -> Self {
        let secrets = || {
            std::iter::once(&config.secret_key)
                .chain(&config.secret_key_fallbacks)
                .map(|secret| &secret.value)
        };
        let own_cookie = matches!(config.store, SessionStore::SignedCookies);
        let salt = if own_cookie { COOKIE } else { STORED };
        Self {
            signed: Keys::of_signer(salt, secrets()),
            hash: Keys::derived(HASH, secrets()),
            cookie_age: own_cookie.then_some(config.cookie_age),
            json: matches!(&config.store, SessionStore::Redis(redis) if redis.json),
        }
    }

    /// What a row of a database says.
    pub fn stored(&self, data: &str) -> Result<Session, SessionError> {
        let signed = self.signed.open(data)?;
        Session::json(&signed.data, Some(signed.at))
    }

    /// What a cookie that is the session itself says, and when it ends.
    pub fn cookie(&self, data: &str, now: UnixTime) -> Result<(Session, UnixTime), SessionError> {
        let signed = self.signed.open(data)?;
        let session = Session::json(&signed.data, Some(signed.at))?;
        let ends = signed
            .at
            .saturating_add(self.cookie_age.unwrap_or_default());
        // `TimestampSigner` calls it old when its age exceeds the limit.
        if now > ends && session.user().is_some() {
            return Err(SessionError::Expired);
        }
        Ok((session, ends))
    }

    /// What a cache holds, in the form that it writes.
    pub fn cached(&self, data: &[u8]) -> Result<Session, SessionError> {
        if self.json {
            self.json(data)
        } else {
            self.pickled(data)
        }
    }

    /// What a cache holds that pickles.
    pub fn pickled(&self, data: &[u8]) -> Result<Session, SessionError> {
        Session::pickle(data)
    }

    /// What a cache holds that writes JSON.
    pub fn json(&self, data: &[u8]) -> Result<Session, SessionError> {
        Session::json(data, None)
    }

    /// Whether the session is its user's still: its hash is the one that the live password column
    /// makes with one of the secrets. In constant time.
    pub fn confirms(
        &self,
        session: &Session,
        password: Option<&Redacted>,
    ) -> Result<(), SessionError> {
        let password = password.ok_or(SessionError::NoPassword)?;
        let hash = session.hash().ok_or(SessionError::Untied)?;
        if self.hash.verify(password.expose().as_bytes(), hash) {
            Ok(())
        } else {
            Err(SessionError::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{DjangoCsrf, KeyPath, Secret};
    use crate::session::testing::{pickled, secret, vectors};

    fn configured(name: &str, fallbacks: &[&str], store: SessionStore) -> Reader {
        let named = |name: &str| Secret {
            at: KeyPath::root(),
            value: secret(name),
            file: None,
        };
        Reader::build(&DjangoSession {
            at: KeyPath::root(),
            secret_key: named(name),
            secret_key_fallbacks: fallbacks.iter().map(|name| named(name)).collect(),
            store,
            path: "/".into(),
            domain: None,
            cookie_age: Duration::from_hours(336),
            lookup: "default".into(),
            csrf: DjangoCsrf {
                cookie: "csrftoken".into(),
                header: http::HeaderName::from_static("x-csrftoken"),
                in_session: false,
            },
        })
    }

    fn stored(name: &str, fallbacks: &[&str]) -> Reader {
        configured(
            name,
            fallbacks,
            SessionStore::Database { table: Vec::new() },
        )
    }

    fn text<'v>(vectors: &'v serde_json::Value, path: &str) -> &'v str {
        vectors.pointer(path).unwrap().as_str().unwrap()
    }

    fn password(name: &str) -> Redacted {
        secret(name)
    }

    #[test]
    fn a_stored_login_is_its_users_and_the_live_password_confirms_it() {
        let vectors = vectors();
        let reader = stored("secret", &[]);
        for name in ["login", "compressed", "unicode", "numeric_id"] {
            let session = reader
                .stored(text(&vectors, &format!("/stored/{name}")))
                .unwrap();
            assert_eq!(session.user().unwrap().as_str(), "5", "{name}");
            assert_eq!(
                reader.confirms(&session, Some(&password("password"))),
                Ok(())
            );
            assert_eq!(
                reader.confirms(&session, Some(&password("other_password"))),
                Err(SessionError::Hash)
            );
            let empty = Redacted::new(String::new());
            assert_eq!(
                reader.confirms(&session, Some(&empty)),
                Err(SessionError::Hash)
            );
            assert_eq!(
                reader.confirms(&session, None),
                Err(SessionError::NoPassword)
            );
        }
        for name in ["anonymous", "empty"] {
            let session = reader
                .stored(text(&vectors, &format!("/stored/{name}")))
                .unwrap();
            assert!(session.user().is_none(), "{name}");
            assert_eq!(
                reader.confirms(&session, Some(&password("password"))),
                Err(SessionError::Untied)
            );
        }
        for (name, error) in [
            ("without_hash", SessionError::Untied),
            ("without_backend", SessionError::Untied),
            ("list", SessionError::Unreadable("it is no JSON object")),
        ] {
            let read = reader.stored(text(&vectors, &format!("/stored/{name}")));
            assert_eq!(read.err(), Some(error), "{name}");
        }
    }

    #[test]
    fn a_rotated_secret_counts_while_it_is_a_fallback() {
        let vectors = vectors();
        let old = text(&vectors, "/stored/old_secret");
        assert_eq!(
            stored("secret", &[]).stored(old).err(),
            Some(SessionError::Signature)
        );
        let reader = stored("secret", &["old_secret"]);
        let session = reader.stored(old).unwrap();
        assert_eq!(
            reader.confirms(&session, Some(&password("password"))),
            Ok(())
        );
    }

    #[test]
    fn a_cookie_session_lives_as_long_as_its_age() {
        let vectors = vectors();
        let reader = configured("secret", &[], SessionStore::SignedCookies);
        let now = UnixTime::from_secs(vectors["now"].as_u64().unwrap());
        let cookie = text(&vectors, "/cookie/login");
        let age = Duration::from_hours(336);
        let (session, ends) = reader.cookie(cookie, now).unwrap();
        assert_eq!(session.user().unwrap().as_str(), "5");
        assert_eq!(ends, now.saturating_add(age));
        assert!(reader.cookie(cookie, ends).is_ok());
        let late = ends.saturating_add(Duration::from_secs(1));
        assert_eq!(
            reader.cookie(cookie, late).err(),
            Some(SessionError::Expired)
        );
        let compressed = text(&vectors, "/cookie/compressed");
        assert!(reader.cookie(compressed, now).is_ok());
        // One that was nobody's is nobody's still.
        let anonymous = text(&vectors, "/cookie/anonymous");
        assert!(reader.cookie(anonymous, late).unwrap().0.user().is_none());
        // A stored session is no cookie, nor the other way round.
        let row = text(&vectors, "/stored/login");
        assert_eq!(reader.cookie(row, now).err(), Some(SessionError::Signature));
        assert_eq!(
            stored("secret", &[]).stored(cookie).err(),
            Some(SessionError::Signature)
        );
    }

    #[test]
    fn a_pickled_login_is_tied_by_its_hash_alone() {
        let vectors = vectors();
        let reader = stored("secret", &[]);
        for (name, value) in vectors["pickle"].as_object().unwrap() {
            let session = reader.pickled(&pickled(value)).unwrap();
            if name == "anonymous" {
                assert!(session.user().is_none());
                continue;
            }
            assert_eq!(
                reader.confirms(&session, Some(&password("password"))),
                Ok(())
            );
            let other = stored("old_secret", &[]);
            assert_eq!(
                other.confirms(&session, Some(&password("password"))),
                Err(SessionError::Hash)
            );
        }
    }
}
