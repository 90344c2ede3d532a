//! Revocations: tokens that are refused though they verify, by their id or by their user.
//!
//! A revocation by user covers the tokens that were made until then, so that a new login counts; one
//! by id covers that token. Both end at `until`, when the tokens have expired by themselves. With a
//! store, every replica has them and a restarted one reads them before it lets anybody in; a replica
//! that has not heard from the store for [`TOO_OLD`] lets nobody in.

mod set;
mod store;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Handle;

use super::error::{DirectoryError, SourceError};
use super::invalidation::Invalidation;
use super::service::Directory;
use super::strict_json;
use crate::config::{self, Fault};
use crate::ids::{TenantId, UserId};
use crate::telemetry::{Clock, UnixTime};
use crate::token::VerifiedToken;

pub(super) use set::{Revoked, What};

use set::{Made, Set};
use store::Store;

/// A list that is older than this proves nothing.
const TOO_OLD: Duration = Duration::from_secs(30);
/// Deadline of one exchange with the store.
const STORE: Duration = Duration::from_secs(3);
/// Longest `until`, from now on.
const LONGEST: Duration = Duration::from_hours(24 * 366);
/// Longest token id in bytes.
const LONGEST_ID: usize = 1024;

/// Why a revocation was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The message does not say whose tokens, or until when.
    #[error("{0}")]
    Malformed(String),
    /// The store does not have it.
    #[error("the revocation could not be stored: {0}")]
    Store(String),
}

/// What is revoked.
#[derive(Debug)]
pub struct Revocations {
    set: RwLock<Set>,
    /// Whether `set` has anything: mostly it has not, and then no core waits for a lock here.
    any: AtomicBool,
    store: Option<Store>,
    directory: Arc<Directory>,
    control: Handle,
    /// Each issuer's name and `iss`.
    issuers: Vec<(Arc<str>, Option<String>)>,
    interval: Duration,
    /// Why the store could not be read the last time.
    problem: Mutex<Option<String>>,
    started: Instant,
    /// The milliseconds after `started` until which what was last read from the store counts; 0 before the
    /// first reading.
    counts_until: AtomicU64,
}

impl Revocations {
    /// Prepares the list; opens no connection. Without a store it is this process's alone.
    pub fn build(
        config: &config::Revocations,
        issuers: &[config::Issuer],
        directory: Arc<Directory>,
        control: Handle,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let store = config.store.as_ref().map(Store::build).transpose()?;
        let issuers = issuers
            .iter()
            .map(|issuer| (Arc::clone(&issuer.name), issuer.issuer.clone()))
            .collect();
        Ok(Arc::new(Self {
            set: RwLock::default(),
            any: AtomicBool::new(false),
            store,
            directory,
            control,
            issuers,
            interval: config.refresh,
            problem: Mutex::default(),
            started: Instant::now(),
            counts_until: AtomicU64::new(0),
        }))
    }

    /// Starts reading the store, again and again, and at once when a replica says so.
    pub fn start(self: &Arc<Self>) {
        if self.store.is_some() {
            self.control.spawn(follow(Arc::downgrade(self)));
        }
    }

    /// Whether this token is revoked, for the subject that it names and the live user that it led
    /// to. An error when nobody knows.
    pub fn refuses(
        &self,
        tenant: &TenantId,
        token: &VerifiedToken,
        user: Option<&UserId>,
        now: UnixTime,
    ) -> Result<bool, DirectoryError> {
        let users = std::iter::once(token.user()).chain(user);
        self.asked(tenant, &Made::from(token), users, now)
    }

    /// The same for a session, by the users that it names and led to and when it was last saved; one
    /// that does not say when counts as made before. A revocation of one issuer's tokens is none of it.
    pub fn refuses_session(
        &self,
        tenant: &TenantId,
        saved_at: Option<UnixTime>,
        users: [Option<&UserId>; 2],
        now: UnixTime,
    ) -> Result<bool, DirectoryError> {
        let made = Made {
            at: saved_at,
            ..Made::default()
        };
        self.asked(tenant, &made, users.into_iter().flatten(), now)
    }

    fn asked<'a>(
        &self,
        tenant: &TenantId,
        made: &Made<'_>,
        users: impl Iterator<Item = &'a UserId>,
        now: UnixTime,
    ) -> Result<bool, DirectoryError> {
        if self.store.is_some()
            && millis(self.started.elapsed()) >= self.counts_until.load(Ordering::Acquire)
        {
            let why = self.problem().clone();
            let why = why.unwrap_or_else(|| "the revocations are not read yet".into());
            return Err(DirectoryError::Unavailable(SourceError::new(why)));
        }
        if !self.any.load(Ordering::Acquire) {
            return Ok(false);
        }
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        Ok(set.refuses(tenant, made, users, now))
    }

    /// Revokes what a message names. When this returns the store has it and it is in effect here;
    /// `true` when the other replicas have been told, who else find it within `refresh`.
    pub async fn add(&self, message: &[u8], now: UnixTime) -> Result<bool, RevokeError> {
        let revoked = self.read(message, now).map_err(RevokeError::Malformed)?;
        if !self.has_room(now) {
            return Err(RevokeError::Store("too many revocations".into()));
        }
        if let Some(store) = self.store.clone() {
            let revoked = revoked.clone();
            let put = self.control.spawn(async move {
                match tokio::time::timeout(STORE, store.put(&revoked)).await {
                    Ok(done) => done,
                    Err(_) => Err("the store does not answer".into()),
                }
            });
            let put = put.await.unwrap_or_else(|error| Err(error.to_string()));
            put.map_err(RevokeError::Store)?;
        }
        let what = revoked.concerns();
        self.take(vec![revoked], now);
        Ok(self.store.is_some() && self.directory.publish_revocation(&what).await)
    }

    /// Whether the store is read, and why not; `None` without a store.
    #[must_use]
    pub fn status(&self) -> Option<Result<usize, String>> {
        self.store.as_ref()?;
        Some(match &*self.problem() {
            Some(problem) => Err(problem.clone()),
            None if self.counts_until.load(Ordering::Acquire) == 0 => Err("not read yet".into()),
            None => Ok(self.count()),
        })
    }

    fn count(&self) -> usize {
        self.set
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    fn has_room(&self, now: UnixTime) -> bool {
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        set.has_room(now)
    }

    /// Puts these into effect, and has every stream that they could concern decided again.
    fn take(&self, revoked: Vec<Revoked>, now: UnixTime) {
        let mut concerned: Vec<Invalidation> = Vec::new();
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        for one in revoked {
            let what = one.concerns();
            if set.add(one, now) && !concerned.contains(&what) {
                concerned.push(what);
            }
        }
        self.any.store(set.len() > 0, Ordering::Release);
        drop(set);
        for what in &concerned {
            self.directory.decide_again(what);
        }
    }

    async fn sync(&self, store: &Store) {
        let read = match tokio::time::timeout(STORE, store.read()).await {
            Ok(read) => read,
            Err(_) => Err("the store does not answer".into()),
        };
        match (read, Clock.now()) {
            (Ok(revoked), Ok(now)) => {
                self.take(revoked, now);
                if !self.has_room(now) {
                    // What had no room is not in effect, and nobody knows whose it is.
                    *self.problem() = Some("too many revocations".into());
                    return;
                }
                let mut before = self.problem();
                if before.take().is_some() {
                    tracing::info!("the revocations are read again");
                }
                let until = millis(self.started.elapsed() + TOO_OLD);
                self.counts_until.store(until, Ordering::Release);
            }
            (Err(problem), _) => {
                let mut before = self.problem();
                if before.is_none() {
                    tracing::error!(problem, "the revocations cannot be read");
                }
                *before = Some(problem);
            }
            (Ok(_), Err(error)) => *self.problem() = Some(error.to_string()),
        }
    }

    fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, message: &[u8], now: UnixTime) -> Result<Revoked, String> {
        let members = strict_json::object(message)?;
        let given = |name: &str| members.get(name).filter(|value| !value.is_null());
        let known = ["tenant", "jti", "user", "issuer", "until"];
        if let Some(other) = members.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(format!("unknown member `{}`", other.escape_debug()));
        }
        let tenant = given("tenant").ok_or("`tenant` is missing")?;
        let tenant = TenantId::from_json(tenant).map_err(|error| format!("`tenant`: {error}"))?;
        let what = match (given("jti"), given("user")) {
            (Some(Value::String(jti)), None) if !jti.is_empty() && jti.len() <= LONGEST_ID => {
                What::Token(jti.clone())
            }
            (Some(_), None) => return Err("`jti` is not a token's id".into()),
            (None, Some(user)) => What::User {
                user: UserId::from_json(user).map_err(|error| format!("`user`: {error}"))?,
                made_until: now,
            },
            (None, None) => return Err("`jti` or `user` is missing".into()),
            (Some(_), Some(_)) => return Err("`jti` and `user` exclude each other".into()),
        };
        let issuer = match given("issuer") {
            None => None,
            Some(Value::String(named)) => Some(self.issuer(named)?),
            Some(_) => return Err("`issuer` is not text".into()),
        };
        let until = match given("until") {
            None => return Err("`until` is missing".into()),
            Some(Value::String(text)) => UnixTime::parse_rfc3339(text),
            Some(Value::Number(number)) => number.as_f64().and_then(UnixTime::from_secs_f64),
            Some(_) => None,
        };
        let until = until.ok_or("`until` is neither RFC 3339 nor seconds since 1970")?;
        if until <= now {
            return Err("`until` is over".into());
        }
        if until.since(now) > LONGEST {
            return Err("`until` is more than a year ahead".into());
        }
        Ok(Revoked {
            tenant,
            issuer,
            what,
            until,
        })
    }

    /// By its name in the configuration, or by its `iss`.
    fn issuer(&self, named: &str) -> Result<Arc<str>, String> {
        let by_name = self.issuers.iter().find(|(name, _)| **name == *named);
        let by_iss = || {
            let mut issuers = self.issuers.iter();
            issuers.find(|(_, iss)| iss.as_deref() == Some(named))
        };
        by_name
            .or_else(by_iss)
            .map(|(name, _)| Arc::clone(name))
            .ok_or_else(|| "`issuer` is none of the configured ones".into())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

async fn follow(revocations: Weak<Revocations>) {
    loop {
        let Some(this) = revocations.upgrade() else {
            return;
        };
        let Some(store) = &this.store else { return };
        this.sync(store).await;
        let (directory, interval) = (Arc::clone(&this.directory), this.interval);
        drop(this);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = directory.revocation_said() => {}
        }
    }
}
