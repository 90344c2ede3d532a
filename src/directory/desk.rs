//! The desk: what a look-up needs, shared by the cores that ask and the tasks that answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::blacklist::Blacklist;
use super::cache::{Answer, Cache, Cached};
use super::error::{Failure, SourceError};
use super::flight::{Flights, Outcome, Seat, fly};
use super::gate::Gate;
use super::health::Health;
use super::invalidation::Invalidation;
use super::key::{Key, KeyRef};
use super::lease::Leases;
use super::memo::{Memo, Question, QuestionRef, Told};
use super::sessions::{SessionAnswer, SessionKey, Sessions};
use super::source::{Caches, Source};
use crate::config;
use crate::ids::TenantId;
use crate::telemetry::Metrics;

/// Questions about tenants get this part of the places for look-ups, since anybody can ask them.
const TENANT_SHARE: usize = 4;

/// And sessions this part, for the same reason.
const SESSION_SHARE: usize = 2;

/// How often a row may come back outdated before the look-up makes a pause.
const PATIENT_AFTER: u32 = 8;

/// That pause.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) source: Source,
    pub(super) cache: Cache,
    pub(super) flights: Arc<Flights<Arc<Key>, Cached>>,
    gate: Gate,
    pub(super) domains: Memo<Question, TenantId>,
    pub(super) known: Memo<Question, ()>,
    pub(super) tenant_flights: Arc<Flights<TenantAsk, Told<TenantId>>>,
    tenant_gate: Gate,
    pub(super) sessions: Sessions,
    pub(super) caches: Caches,
    pub(super) session_flights: Arc<Flights<SessionKey, SessionAnswer>>,
    pub(super) session_gate: Gate,
    pub(super) blacklist: Option<Blacklist>,
    pub(super) leases: Leases,
    pub(super) health: Health,
    pub(super) metrics: Arc<Metrics>,
    pub(super) timeout: Duration,
}

/// A question about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TenantAsk {
    /// Whose host is this?
    Domain(Question),
    /// Does this tenant exist? The answer is the tenant itself.
    Known(Question, TenantId),
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) enum TenantAskRef<'a> {
    Domain(QuestionRef<'a>),
    Known(QuestionRef<'a>, &'a TenantId),
}

impl TenantAskRef<'_> {
    pub(super) fn to_ask(self) -> TenantAsk {
        match self {
            Self::Domain(question) => TenantAsk::Domain(question.to_question()),
            Self::Known(question, tenant) => {
                TenantAsk::Known(question.to_question(), tenant.clone())
            }
        }
    }
}

impl Desk {
    pub(super) fn new(
        source: Source,
        (caches, blacklist): (Caches, Option<Blacklist>),
        config: &config::Directory,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limits = &config.limits;
        // No message says that a domain has moved to another tenant unless the tenant is named, so
        // these live as long as what nobody pushes.
        let life = config.cache.ttl_without_push;
        let negative_life = config.cache.negative_ttl;
        Self {
            source,
            cache: Cache::new(&config.cache),
            flights: Flights::new(),
            gate: Gate::new(limits.concurrent, limits.queue),
            domains: Memo::new(life, negative_life),
            known: Memo::new(life, negative_life),
            tenant_flights: Flights::new(),
            tenant_gate: Gate::new(
                limits.concurrent / TENANT_SHARE,
                limits.queue / TENANT_SHARE,
            ),
            sessions: Sessions::new(config),
            caches,
            session_flights: Flights::new(),
            session_gate: Gate::new(
                limits.concurrent / SESSION_SHARE,
                limits.queue / SESSION_SHARE,
            ),
            blacklist,
            leases: Leases::default(),
            health: Health::of("the directory"),
            metrics,
            timeout: limits.timeout,
        }
    }

    /// A place at the source, for who asks it for a record beside the flights.
    pub(super) async fn enter(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        self.gate.enter().await
    }

    /// What the source says, or said not too long ago; `get` is the way to what is cached, `start` starts
    /// the look-up of a new flight.
    pub(super) async fn live(
        &self,
        key: KeyRef<'_>,
        get: impl Fn(&Cache, KeyRef<'_>, Instant) -> Option<Cached>,
        start: impl Fn(Arc<Key>, Seat<Arc<Key>, Cached>),
    ) -> Outcome<Cached> {
        let cached = || get(&self.cache, key, Instant::now());
        if let Some(cached) = cached() {
            self.metrics.directory_hits.inc();
            return Ok(cached);
        }
        let owned = key.to_key();
        let start = |seat| start(Arc::clone(&owned), seat);
        let stale = || {
            let stale = self.cache.stale(key, Instant::now())?;
            self.metrics.directory_stale.inc();
            Some(Cached::Known(stale))
        };
        self.flights
            .ask(&owned, self.timeout, cached, start, stale)
            .await
    }

    /// Lands one flight of a record.
    pub(super) async fn look_up(self: Arc<Self>, key: Arc<Key>, seat: Seat<Arc<Key>, Cached>) {
        self.fill(&key, seat, || self.source.find(&key)).await;
    }

    /// The same, whoever is asked.
    pub(super) async fn fill<F>(
        &self,
        key: &Arc<Key>,
        seat: Seat<Arc<Key>, Cached>,
        find: impl Fn() -> F,
    ) where
        F: Future<Output = Result<Answer, SourceError>>,
    {
        let enter = async |number| {
            pause(number).await;
            self.gate.enter().await
        };
        let attempt = async |_permit| {
            let ticket = self.cache.ticket(Instant::now());
            self.metrics.directory_lookups.inc();
            Ok((ticket, find().await?))
        };
        fly(seat, self.timeout, enter, attempt, |outcome| {
            self.hear(&outcome);
            match outcome {
                Ok((ticket, answer)) => self.cache.store(ticket, key, answer).map(Ok),
                Err(failure) => Some(Err(failure)),
            }
        })
        .await;
    }

    /// What is said about a tenant; `start` starts the look-up of a new flight.
    pub(super) async fn told(
        &self,
        ask: TenantAskRef<'_>,
        start: impl Fn(TenantAsk, Seat<TenantAsk, Told<TenantId>>),
    ) -> Outcome<Told<TenantId>> {
        let remembered = || self.remembered(ask);
        if let Some(told) = remembered() {
            self.metrics.directory_hits.inc();
            return Ok(told);
        }
        let owned = ask.to_ask();
        let start = |seat| start(owned.clone(), seat);
        self.tenant_flights
            .ask(&owned, self.timeout, remembered, start, || None)
            .await
    }

    /// Lands one flight of a question about a tenant.
    pub(super) async fn look_up_tenant(
        self: Arc<Self>,
        ask: TenantAsk,
        seat: Seat<TenantAsk, Told<TenantId>>,
    ) {
        self.fill_tenant(&ask, seat, || self.find_tenant(&ask))
            .await;
    }

    /// The same, whoever is asked.
    pub(super) async fn fill_tenant<F>(
        &self,
        ask: &TenantAsk,
        seat: Seat<TenantAsk, Told<TenantId>>,
        find: impl Fn() -> F,
    ) where
        F: Future<Output = Result<Told<TenantId>, SourceError>>,
    {
        let enter = async |number| {
            pause(number).await;
            self.tenant_gate.enter().await
        };
        let attempt = async |_permit| {
            let (number, asked_at) = (self.number(ask), Instant::now());
            self.metrics.directory_lookups.inc();
            Ok((number, asked_at, find().await?))
        };
        fly(seat, self.timeout, enter, attempt, |outcome| {
            self.hear(&outcome);
            match outcome {
                Ok((number, asked_at, answer)) => self
                    .remember(ask, answer.clone(), number, asked_at)
                    .then_some(Ok(answer)),
                Err(failure) => Some(Err(failure)),
            }
        })
        .await;
    }

    fn remember(
        &self,
        ask: &TenantAsk,
        answer: Told<TenantId>,
        number: u64,
        asked_at: Instant,
    ) -> bool {
        match ask {
            TenantAsk::Domain(question) => {
                self.domains
                    .store(question.clone(), answer, number, asked_at)
            }
            TenantAsk::Known(question, _) => {
                let exists = answer.map(|_| ());
                self.known.store(question.clone(), exists, number, asked_at)
            }
        }
    }

    /// What is remembered about a question.
    fn remembered(&self, ask: TenantAskRef<'_>) -> Option<Told<TenantId>> {
        let now = Instant::now();
        match ask {
            TenantAskRef::Domain(question) => self.domains.get(&question, now),
            TenantAskRef::Known(question, tenant) => self
                .known
                .get(&question, now)
                .map(|exists| exists.map(|()| tenant.clone())),
        }
    }

    /// Applies an invalidation: first to what is cached, then to who rests on it.
    pub(super) fn apply(&self, what: &Invalidation) {
        self.cache.invalidate(what);
        self.sessions.invalidate(what);
        if let Some(blacklist) = &self.blacklist {
            blacklist.invalidate(what);
        }
        if matches!(what, Invalidation::Tenant(_) | Invalidation::All) {
            self.domains.forget();
            self.known.forget();
        }
        self.leases.tell(what);
        self.metrics.invalidations.inc();
    }

    fn number(&self, ask: &TenantAsk) -> u64 {
        match ask {
            TenantAsk::Domain(_) => self.domains.number(),
            TenantAsk::Known(..) => self.known.number(),
        }
    }

    async fn find_tenant(&self, ask: &TenantAsk) -> Result<Told<TenantId>, SourceError> {
        let found = match ask {
            TenantAsk::Domain(question) => {
                self.source
                    .tenant_of_domain(question.query(), question.about())
                    .await?
            }
            TenantAsk::Known(question, tenant) => {
                let known = self
                    .source
                    .tenant_is_known(question.query(), tenant)
                    .await?;
                known.then(|| tenant.clone())
            }
        };
        Ok(found.map_or(Told::Missing, Told::Found))
    }

    pub(super) fn hear<T>(&self, outcome: &Outcome<T>) {
        self.hear_of(&self.health, outcome);
    }

    /// The same of a source with this health.
    pub(super) fn hear_of<T>(&self, health: &Health, outcome: &Outcome<T>) {
        match outcome {
            Ok(_) => health.is_well(),
            Err(Failure::Source(error)) => {
                health.is_ill(&error.to_string());
                self.metrics.directory_errors.inc();
            }
            // That says nothing about the source.
            Err(Failure::Overloaded) => {
                self.metrics.directory_errors.inc();
            }
        }
    }
}

/// Rows that are outdated on arrival again and again are no reason to ask without a break.
pub(super) async fn pause(number: u32) {
    if number >= PATIENT_AFTER {
        tokio::time::sleep(PAUSE).await;
    }
}
