//! Sessions: from a cookie's value to the user of a live session.
//!
//! The tenant is known before a session is looked for, since its store may be the tenant's own. A
//! session of nobody is no credential; one that names somebody and is dead is an error, never
//! nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;

use crate::config::{Config, DjangoSession, SessionStore};
use crate::credential::{Carried, PresentedToken};
use crate::directory::{Binding, Directory, DirectoryError, SessionData, StoredSession};
use crate::ids::{TenantId, UserId};
use crate::session::{Reader, Session, SessionError, key_is_possible};
use crate::telemetry::{Redacted, UnixTime};

/// Bytes of the hash by which logs know a session.
const HASH: usize = 16;

/// A session that is alive by its store and authentic by its signature.
#[derive(Debug)]
pub struct LiveSession {
    source: Arc<Source>,
    tenant: TenantId,
    user: UserId,
    content: Content,
    ends: UnixTime,
    key: Carried,
    hash: Arc<str>,
}

/// Where the content of a session stands.
#[derive(Debug)]
enum Content {
    Stored(Arc<StoredSession>),
    Cookie(Box<Session>),
}

/// One configured kind of session.
#[derive(Debug)]
struct Source {
    config: Arc<DjangoSession>,
    reader: Reader,
}

/// Every configured kind, by the index of its credential.
#[derive(Debug)]
pub(super) struct Sessions {
    sources: BTreeMap<usize, Arc<Source>>,
}

/// Why a session is not used.
pub(super) enum Unusable {
    Dead(SessionError),
    Directory(DirectoryError),
}

impl Sessions {
    pub(super) fn build(config: &Config) -> Self {
        let source = |credential: &crate::config::Credential| {
            let config = Arc::clone(credential.django_session.as_ref()?);
            let reader = Reader::build(&config);
            Some(Arc::new(Source { config, reader }))
        };
        let sources = config.credentials.iter().map(source).enumerate();
        Self {
            sources: sources
                .filter_map(|(index, source)| Some((index, source?)))
                .collect(),
        }
    }

    /// The live session of `carried` in `tenant`; `None` when it is nobody's.
    pub(super) async fn find(
        &self,
        carried: &PresentedToken,
        tenant: &TenantId,
        directory: &Directory,
        now: UnixTime,
    ) -> Result<Option<LiveSession>, Unusable> {
        let source = self.sources.get(&carried.credential);
        let source = Arc::clone(source.ok_or(Unusable::Dead(SessionError::Unknown))?);
        let (content, ends) = source.load(carried, tenant, directory, now).await?;
        let Some(user) = source.open(&content)?.user().cloned() else {
            return Ok(None);
        };
        if ends <= now {
            return Err(SessionError::Expired.into());
        }
        Ok(Some(LiveSession {
            source,
            tenant: tenant.clone(),
            user,
            content,
            ends,
            key: carried.token.clone(),
            hash: hash(carried.token.expose()),
        }))
    }

    /// Looks for a live session once more: it must still be there, and still its user's. Gives its end.
    pub(super) async fn again(
        &self,
        session: &LiveSession,
        directory: &Directory,
        credential: usize,
        now: UnixTime,
    ) -> Result<UnixTime, Unusable> {
        let carried = PresentedToken {
            credential,
            name: "".into(),
            form: crate::credential::Form::Session,
            token: session.key.clone(),
            rests_on_cookie: true,
        };
        match self.find(&carried, &session.tenant, directory, now).await? {
            Some(found) if found.user == session.user => Ok(found.ends),
            _ => Err(SessionError::Unknown.into()),
        }
    }
}

impl Source {
    async fn load(
        &self,
        carried: &PresentedToken,
        tenant: &TenantId,
        directory: &Directory,
        now: UnixTime,
    ) -> Result<(Content, UnixTime), Unusable> {
        let value = carried.token.expose();
        match &self.config.store {
            SessionStore::Database { .. } | SessionStore::Redis(_) => {
                if !key_is_possible(value) {
                    return Err(SessionError::Unknown.into());
                }
                let stored = directory
                    .session(carried.credential, tenant, value)
                    .await
                    .map_err(Unusable::Directory)?
                    .ok_or(SessionError::Unknown)?;
                let ends = stored.expires();
                Ok((Content::Stored(stored), ends))
            }
            SessionStore::SignedCookies => {
                let (session, ends) = self.reader.cookie(value, now)?;
                Ok((Content::Cookie(Box::new(session)), ends))
            }
        }
    }

    fn open<'c>(&self, content: &'c Content) -> Result<&'c Session, SessionError> {
        match content {
            Content::Stored(stored) => stored.open(|data| match data {
                SessionData::Row(text) => self.reader.stored(text.expose()),
                SessionData::Cached(value) => self.reader.cached(value),
            }),
            Content::Cookie(session) => Ok(session),
        }
    }
}

impl LiveSession {
    /// The user whom it names.
    #[must_use]
    pub const fn user(&self) -> &UserId {
        &self.user
    }

    /// The tenant in whose store it was found.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The look-up that its user goes through.
    #[must_use]
    pub fn lookup(&self) -> &Arc<str> {
        &self.source.config.lookup
    }

    /// When it ends of itself.
    #[must_use]
    pub const fn ends(&self) -> UnixTime {
        self.ends
    }

    /// When it was last saved, where it says so.
    #[must_use]
    pub fn saved_at(&self) -> Option<UnixTime> {
        self.content()?.saved_at()
    }

    /// Its key, which is a secret.
    pub(super) fn key(&self) -> &str {
        self.key.expose()
    }

    /// The hash of its key, by which logs know it.
    #[must_use]
    pub const fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    /// The secret of its CSRF tokens, where the app keeps it in the session.
    #[must_use]
    pub fn csrf_secret(&self) -> Option<&Redacted> {
        self.content()?.csrf_secret()
    }

    /// Whether the app keeps that secret there.
    #[must_use]
    pub fn csrf_in_session(&self) -> bool {
        self.source.config.csrf.in_session
    }

    pub(super) fn confirm(&self, binding: &Binding) -> Result<(), SessionError> {
        let session = self.source.open(&self.content)?;
        self.source.reader.confirms(session, binding.session_auth())
    }

    fn content(&self) -> Option<&Session> {
        self.source.open(&self.content).ok()
    }
}

impl From<SessionError> for Unusable {
    fn from(error: SessionError) -> Self {
        Self::Dead(error)
    }
}

/// The first half of SHA-256, in hexadecimal.
pub(super) fn hash(key: &str) -> Arc<str> {
    let digest = digest::digest(&digest::SHA256, key.as_bytes());
    let mut text = String::with_capacity(2 * HASH);
    for byte in digest.as_ref().iter().take(HASH) {
        let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or('0');
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text.into()
}
