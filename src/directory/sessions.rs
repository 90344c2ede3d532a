//! Sessions: what the store said of a session's key, for a short while.
//!
//! The key of an answer is (credential, tenant, session key). As in the cache of records, an answer
//! that was asked for before an invalidation which covers it is never stored (`ring.rs`). Unlike a
//! record it is kept no longer than what nobody pushes, also where its table is pushed: a push ends
//! it at once, but whether the triggers are there is not known, columns that are not watched say
//! nothing, and what stands in a Redis cache has no trigger. What exists and what does not have a
//! space each, since anybody can ask for keys that do not exist. A user's or account's change says
//! nothing here: the session is held against the live record whenever it is used.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use super::desk::Desk;
use super::error::{DirectoryError, SourceError};
use super::flight::{Outcome, Seat, fly};
use super::invalidation::Invalidation;
use super::ring::Ring;
use super::service::Directory;
use super::source::FoundSession;
use super::spaces::Spaces;
use super::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::config;
use crate::ids::TenantId;
use crate::session::{Session, SessionError};
use crate::telemetry::{Redacted, UnixTime};

use zeroize::Zeroizing;

/// Most answers of each kind.
const CAPACITY: u64 = 100_000;
/// Most remembered "no such session".
const ABSENT_CAPACITY: u64 = 10_000;

/// What a store holds of a session.
pub enum SessionData {
    /// The signed text of a row.
    Row(Redacted),
    /// The value of a cache, which nobody signs.
    Cached(Zeroizing<Vec<u8>>),
}

/// Neither is shown.
impl std::fmt::Debug for SessionData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Row(_) => "Row",
            Self::Cached(_) => "Cached",
        })
    }
}

/// A session as its store holds it.
#[derive(Debug)]
pub struct StoredSession {
    /// Until it has been read.
    data: Mutex<Option<SessionData>>,
    expires: UnixTime,
    opened: OnceLock<Result<Session, SessionError>>,
}

impl StoredSession {
    pub(super) fn new(data: SessionData, expires: UnixTime) -> Self {
        Self {
            data: Mutex::new(Some(data)),
            expires,
            opened: OnceLock::new(),
        }
    }

    /// When it ends.
    #[must_use]
    pub const fn expires(&self) -> UnixTime {
        self.expires
    }

    /// What it says; `read` is asked once, however often the session is used, and what it was read
    /// from is not kept any longer.
    pub fn open(
        &self,
        read: impl FnOnce(&SessionData) -> Result<Session, SessionError>,
    ) -> Result<&Session, SessionError> {
        self.opened
            .get_or_init(|| {
                let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
                data.take()
                    .map_or(Err(SessionError::Unknown), |data| read(&data))
            })
            .as_ref()
            .map_err(|error| *error)
    }
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    store: usize,
    tenant: TenantId,
    key: Box<str>,
}

impl SessionKey {
    pub(super) fn new(store: usize, tenant: &TenantId, key: &str) -> Self {
        Self {
            store,
            tenant: tenant.clone(),
            key: key.into(),
        }
    }
}

/// What a store said of a key.
#[derive(Debug, Clone)]
pub(super) enum SessionAnswer {
    Known(Arc<StoredSession>),
    NoSession,
    NoTenant,
}

#[derive(Debug)]
pub(super) struct Sessions {
    spaces: Spaces<SessionKey, SessionAnswer>,
    stores: BTreeSet<usize>,
    /// Those of them that have rows.
    tables: BTreeSet<usize>,
    ring: Mutex<Ring>,
    /// Answers that were asked for below this number are forgotten.
    floor: AtomicU64,
}

impl Sessions {
    pub(super) fn new(config: &config::Directory) -> Self {
        let life = config.cache.ttl.min(config.cache.ttl_without_push);
        Self {
            spaces: Spaces::new(
                (CAPACITY.min(config.cache.capacity), ABSENT_CAPACITY),
                life,
                config.cache.negative_ttl.min(life),
            ),
            stores: {
                let tables = config.session_tables.keys();
                tables
                    .chain(config.session_caches.keys())
                    .copied()
                    .collect()
            },
            tables: config.session_tables.keys().copied().collect(),
            ring: Mutex::default(),
            floor: AtomicU64::new(0),
        }
    }

    /// Whether this credential's sessions have rows.
    fn has_table(&self, store: usize) -> bool {
        self.tables.contains(&store)
    }

    /// The answer, unless it is past its life.
    fn get(&self, key: &SessionKey, now: Instant) -> Option<SessionAnswer> {
        self.spaces.get(key, now, |number, _| {
            number >= self.floor.load(Ordering::Acquire)
        })
    }

    /// Taken before the store is asked.
    fn ticket(&self) -> u64 {
        self.lock().sequence()
    }

    /// Remembers an answer and gives it back, or refuses it because it could be outdated.
    fn store(
        &self,
        sequence: u64,
        asked_at: Instant,
        key: &SessionKey,
        answer: SessionAnswer,
    ) -> Option<SessionAnswer> {
        let ring = self.lock();
        if ring.outdates_session(sequence, &key.tenant, &key.key) {
            return None;
        }
        let exists = matches!(answer, SessionAnswer::Known(_));
        self.spaces
            .put(key.clone(), answer.clone(), exists, (sequence, asked_at));
        drop(ring);
        Some(answer)
    }

    /// Applies an invalidation; when this returns, nothing that it covers is given out any more.
    pub(super) fn invalidate(&self, what: &Invalidation) {
        let mut ring = self.lock();
        match what {
            Invalidation::Session { tenant, key } => {
                for store in &self.stores {
                    self.spaces.remove(&SessionKey::new(*store, tenant, key));
                }
            }
            // A tenant's sessions are not listed anywhere, so all are forgotten; they live shortly.
            Invalidation::Tenant(_) | Invalidation::All => {
                self.floor.store(ring.sequence() + 1, Ordering::Release);
                self.spaces.clear();
            }
            Invalidation::User { .. } | Invalidation::Account { .. } => return,
        }
        ring.push(what.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // The ring is changed last and in one step, so a panic elsewhere leaves it whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// The session of this key in the table of this credential; `None` when there is none. It may
    /// have expired: that is the caller's to judge.
    pub async fn session(
        &self,
        store: usize,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<Arc<StoredSession>>, DirectoryError> {
        let (desk, control) = self.parts();
        let key = SessionKey::new(store, tenant, key);
        let start = |seat| {
            control.spawn(Arc::clone(desk).look_up_session(key.clone(), seat));
        };
        match desk.session(&key, start).await? {
            SessionAnswer::Known(session) => Ok(Some(session)),
            SessionAnswer::NoSession => Ok(None),
            SessionAnswer::NoTenant => Err(DirectoryError::TenantUnknown),
        }
    }
}

impl Desk {
    /// What the store says of a session, or said a short while ago; `start` starts the look-up of a
    /// new flight.
    pub(super) async fn session(
        &self,
        key: &SessionKey,
        start: impl Fn(Seat<SessionKey, SessionAnswer>),
    ) -> Outcome<SessionAnswer> {
        let cached = || self.sessions.get(key, Instant::now());
        if let Some(answer) = cached() {
            self.metrics.directory_hits.inc();
            return Ok(answer);
        }
        self.session_flights
            .ask(key, self.timeout, cached, start, || None)
            .await
    }

    /// Lands one flight of a session.
    async fn look_up_session(
        self: Arc<Self>,
        key: SessionKey,
        seat: Seat<SessionKey, SessionAnswer>,
    ) {
        let table_asked = AtomicBool::new(false);
        let find = || self.find_session(&key, &table_asked);
        self.fill_session(&key, seat, &table_asked, find).await;
    }

    /// The same, whoever is asked; `table_asked` is raised once that is the source of the records.
    pub(super) async fn fill_session<F>(
        &self,
        key: &SessionKey,
        seat: Seat<SessionKey, SessionAnswer>,
        table_asked: &AtomicBool,
        find: impl Fn() -> F,
    ) where
        F: Future<Output = Result<FoundSession, SourceError>>,
    {
        let enter = async |number| {
            super::desk::pause(number).await;
            self.session_gate.enter().await
        };
        let attempt = async |_permit| {
            let (sequence, asked_at) = (self.sessions.ticket(), Instant::now());
            self.metrics.directory_lookups.inc();
            let answer = match find().await? {
                FoundSession::Session(session) => SessionAnswer::Known(Arc::from(session)),
                FoundSession::NoSession => SessionAnswer::NoSession,
                FoundSession::NoTenant => SessionAnswer::NoTenant,
            };
            Ok((sequence, asked_at, answer))
        };
        fly(seat, self.timeout, enter, attempt, |outcome| {
            if table_asked.load(Ordering::Relaxed) {
                self.hear(&outcome);
            } else if outcome.is_err() {
                self.metrics.directory_errors.inc();
            }
            match outcome {
                Ok((sequence, asked_at, answer)) => {
                    self.sessions.store(sequence, asked_at, key, answer).map(Ok)
                }
                Err(failure) => Some(Err(failure)),
            }
        })
        .await;
    }

    /// The cache's word, or the table's where the credential has no cache. With Django's engine
    /// `cached_db` a row counts where the cache has nothing; also where it does not answer, since a
    /// log-out deletes the row first.
    async fn find_session(
        &self,
        key: &SessionKey,
        table_asked: &AtomicBool,
    ) -> Result<FoundSession, SourceError> {
        let cached = self.caches.session(key.store, &key.tenant, &key.key).await;
        let has_table = self.sessions.has_table(key.store);
        match cached {
            Some(Ok(Some(session))) => return Ok(FoundSession::Session(Box::new(session))),
            Some(Ok(None)) if !has_table => return Ok(FoundSession::NoSession),
            Some(Err(error)) if !has_table => return Err(error),
            _ => {}
        }
        table_asked.store(true, Ordering::Relaxed);
        self.source.session(key.store, &key.tenant, &key.key).await
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
