//! The blacklist: what an app's own list says of a token's id, for a short while.
//!
//! SimpleJWT keeps two tables: the tokens that it made and remembers, and those of them that were
//! taken back. The key of an answer is (tenant, subject, id). An answer falls with a change of the
//! subject, of the user whom the list says the token to be, of the tenant, or of everything, and one
//! that was asked for before is never kept (`floors.rs`). Like a session it is kept no longer than
//! what nobody pushes. What is not in the list has a space of its own. A failure is an error, and
//! never "not blacklisted".

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::desk::{Desk, pause};
use super::error::{DirectoryError, SourceError};
use super::flight::{Flights, Seat, fly};
use super::floors::Floors;
use super::gate::Gate;
use super::health::Health;
use super::invalidation::Invalidation;
use super::service::{Directory, HEALTH_POLL};
use super::source::{ListedToken, Source};
use super::spaces::Spaces;
use crate::config::{self, Fault};
use crate::ids::{TenantId, UserId};

/// Most answers of each kind.
const CAPACITY: u64 = 100_000;

/// Questions about tokens get this part of the places for look-ups.
const SHARE: usize = 2;

/// Whose token it is, and which.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    tenant: TenantId,
    subject: UserId,
    id: Box<str>,
}

/// The list, and what is remembered of it.
#[derive(Debug)]
pub(super) struct Blacklist {
    /// `None`: it is in the directory's own database.
    source: Option<Source>,
    health: Health,
    spaces: Spaces<TokenKey, ListedToken>,
    floors: Floors,
    flights: Arc<Flights<TokenKey, ListedToken>>,
    gate: Gate,
}

impl Blacklist {
    /// Prepares it, where one is configured; opens no connection.
    pub(super) fn build(
        config: &config::Directory,
        tenants: &config::Tenants,
    ) -> Result<Option<Self>, Vec<Fault>> {
        let Some(blacklist) = &config.blacklist else {
            return Ok(None);
        };
        let (cache, limits) = (&config.cache, &config.limits);
        let life = cache.ttl.min(cache.ttl_without_push);
        Ok(Some(Self {
            source: Source::of_blacklist(config, blacklist, tenants)?,
            health: Health::of("the blacklist"),
            spaces: Spaces::new((CAPACITY, CAPACITY), life, cache.negative_ttl.min(life)),
            floors: Floors::new(),
            flights: Flights::new(),
            gate: Gate::new(limits.concurrent / SHARE, limits.queue / SHARE),
        }))
    }

    /// Applies an invalidation; when this returns, nothing that it covers is given out any more.
    pub(super) fn invalidate(&self, what: &Invalidation) {
        self.floors.invalidate(what);
    }

    fn stands(&self, number: u64, key: &TokenKey, answer: &ListedToken) -> bool {
        let users = std::iter::once(&key.subject).chain(answer.user());
        self.floors.stands(number, &key.tenant, users)
    }

    fn get(&self, key: &TokenKey, now: Instant) -> Option<ListedToken> {
        self.spaces
            .get(key, now, |number, answer| self.stands(number, key, answer))
    }

    /// Remembers an answer and gives it back, or refuses it because it could be outdated. One that
    /// an invalidation overtakes here does not stand on its first hit.
    fn store(
        &self,
        number: u64,
        asked_at: Instant,
        key: &TokenKey,
        answer: ListedToken,
    ) -> Option<ListedToken> {
        if !self.stands(number, key, &answer) {
            return None;
        }
        let exists = matches!(answer, ListedToken::Made { .. });
        self.spaces
            .put(key.clone(), answer.clone(), exists, (number, asked_at));
        Some(answer)
    }

    /// Tries its own database; the outcome stands in its health.
    async fn probe(&self, desk: &Desk) -> Option<Result<(), String>> {
        let source = self.source.as_ref()?;
        let tried = tokio::time::timeout(desk.timeout, source.probe()).await;
        let tried = tried.unwrap_or_else(|_| Err("no answer within the time limit".into()));
        match &tried {
            Ok(()) => self.health.is_well(),
            Err(problem) => self.health.is_ill(problem),
        }
        Some(tried)
    }
}

impl Directory {
    /// Whether the app's blacklist has the token of this id and subject; `false` where none is
    /// configured.
    pub async fn is_blacklisted(
        &self,
        tenant: &TenantId,
        subject: &UserId,
        id: &str,
    ) -> Result<bool, DirectoryError> {
        let (desk, control) = self.parts();
        let Some(blacklist) = &desk.blacklist else {
            return Ok(false);
        };
        let key = TokenKey {
            tenant: tenant.clone(),
            subject: subject.clone(),
            id: id.into(),
        };
        let cached = || blacklist.get(&key, Instant::now());
        let answer = if let Some(answer) = cached() {
            desk.metrics.directory_hits.inc();
            answer
        } else {
            let start = |seat| {
                control.spawn(look_up(Arc::clone(desk), key.clone(), seat));
            };
            blacklist
                .flights
                .ask(&key, desk.timeout, cached, start, || None)
                .await?
        };
        match answer {
            ListedToken::Made { blacklisted, .. } => Ok(blacklisted),
            ListedToken::Unknown => Ok(false),
            ListedToken::NoTenant => Err(DirectoryError::TenantUnknown),
        }
    }

    /// Whether a blacklist in a database of its own answers; `None` where there is none.
    #[must_use]
    pub fn blacklist(&self) -> Option<Result<(), String>> {
        let blacklist = self.parts().0.blacklist.as_ref()?;
        blacklist.source.as_ref()?;
        let health = &blacklist.health;
        let problem = || health.problem().unwrap_or_default();
        Some(health.ready().then_some(()).ok_or_else(problem))
    }

    /// Tries the database of a blacklist that has its own; `None` where there is none.
    pub async fn probe_blacklist(&self) -> Option<Result<String, String>> {
        let (desk, control) = self.parts();
        let desk = Arc::clone(desk);
        let probe = control.spawn(async move {
            match &desk.blacklist {
                Some(blacklist) => blacklist.probe(&desk).await,
                None => None,
            }
        });
        let shutting_down = || Some(Err("the gateway is shutting down".to_owned()));
        let tried = probe.await.unwrap_or_else(|_| shutting_down());
        tried.map(|tried| tried.map(|()| "ok".to_owned()))
    }
}

/// Lands one flight of a token.
async fn look_up(desk: Arc<Desk>, key: TokenKey, seat: Seat<TokenKey, ListedToken>) {
    let Some(blacklist) = &desk.blacklist else {
        return;
    };
    let enter = async |number| {
        pause(number).await;
        blacklist.gate.enter().await
    };
    let attempt = async |_permit| {
        let (number, asked_at) = (blacklist.floors.number(), Instant::now());
        desk.metrics.directory_lookups.inc();
        let source = blacklist.source.as_ref().unwrap_or(&desk.source);
        let answer: Result<ListedToken, SourceError> = source.token(&key.tenant, &key.id).await;
        Ok((number, asked_at, answer?))
    };
    fly(seat, desk.timeout, enter, attempt, |outcome| {
        let own = blacklist.source.as_ref().map(|_| &blacklist.health);
        desk.hear_of(own.unwrap_or(&desk.health), &outcome);
        match outcome {
            Ok((number, asked_at, answer)) => {
                blacklist.store(number, asked_at, &key, answer).map(Ok)
            }
            Err(failure) => Some(Err(failure)),
        }
    })
    .await;
}

/// Tries a blacklist in a database of its own until it answers, and again whenever it has stopped.
pub(super) async fn check(desk: Weak<Desk>) {
    loop {
        {
            let Some(desk) = desk.upgrade() else { return };
            let Some(blacklist) = &desk.blacklist else {
                return;
            };
            if !blacklist.health.ready() && blacklist.probe(&desk).await.is_none() {
                return;
            }
        }
        tokio::time::sleep(HEALTH_POLL).await;
    }
}

#[cfg(test)]
#[path = "blacklist_tests.rs"]
mod tests;
