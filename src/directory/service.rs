//! The directory as the other rooms see it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::binding::{Binding, Live};
use super::blacklist::{self, Blacklist};
use super::cache::{Absence, Cache, Cached};
use super::caches;
use super::desk::{Desk, TenantAskRef};
use super::error::{DirectoryError, SourceError};
use super::health::DirectoryStatus;
use super::invalidation::Invalidation;
use super::key::KeyRef;
use super::lease::Leases;
use super::memo::QuestionRef;
use super::near::Near;
use super::push::{Again, Push};
use super::source::{Caches, Source};
use crate::config::{self, Fault};
use crate::ids::{TenantId, UserId};
use crate::telemetry::Metrics;

/// How often a file directory is looked at.
const FILE_POLL: Duration = Duration::from_millis(250);

/// How often a source that does not answer is tried, beside the requests that try it.
pub(super) const HEALTH_POLL: Duration = Duration::from_secs(2);

/// Garbage that means "everything" is applied at most this often.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(1);

/// The live mapping of users to accounts.
#[derive(Debug)]
pub struct Directory {
    desk: Arc<Desk>,
    push: Arc<Push>,
    again: Arc<Again>,
    /// Somebody says that the revocations have grown.
    revoked: Notify,
    control: Handle,
    /// When unreadable messages last cleared everything.
    garbage: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

impl Directory {
    /// Prepares the directory: reads a file directory and every query, opens no connection.
    /// Look-ups will run on `control`.
    pub fn build(
        config: &config::Directory,
        tenants: &config::Tenants,
        metrics: Arc<Metrics>,
        control: Handle,
    ) -> Result<Arc<Self>, Vec<Fault>> {
        let source = Source::build(config, tenants)?;
        let push = Push::build(&config.invalidation)?;
        let beside = (Caches::build(config)?, Blacklist::build(config, tenants)?);
        Ok(Arc::new(Self {
            desk: Arc::new(Desk::new(source, beside, config, metrics)),
            push: Arc::new(push),
            again: Arc::new(Again::new(config.invalidation.replica_lag)),
            revoked: Notify::new(),
            control,
            garbage: tokio::sync::Mutex::default(),
        }))
    }

    /// Starts the background tasks: listening to the push channels, and watching a file or finding
    /// out whether a source answers. They end with the directory.
    pub fn start(self: &Arc<Self>) {
        self.push.start(&Arc::downgrade(self));
        if self.again.is_on() {
            let (desk, again) = (Arc::downgrade(&self.desk), Arc::clone(&self.again));
            self.control.spawn(repeat(desk, again));
        }
        let desk = Arc::downgrade(&self.desk);
        if self.desk.caches.any() {
            self.control.spawn(caches::check(Weak::clone(&desk)));
        }
        self.control.spawn(blacklist::check(Weak::clone(&desk)));
        if self.desk.source.has_snapshot() {
            self.control.spawn(watch(desk));
        } else {
            if !self.desk.source.may_be_probed() {
                self.desk.health.is_presumed();
            }
            self.control.spawn(check(desk));
        }
    }

    /// What a core may keep of this directory.
    #[must_use]
    pub fn near(&self) -> Near {
        self.desk.cache.near()
    }

    /// The live record of a subject.
    pub async fn live(
        &self,
        tenant: &TenantId,
        lookup: &Arc<str>,
        subject: &UserId,
    ) -> Result<Live, DirectoryError> {
        let key = KeyRef {
            tenant,
            lookup,
            subject,
        };
        self.ask(key, Cache::get).await
    }

    /// The same; `near` is the asking core's.
    pub async fn live_near(
        &self,
        tenant: &TenantId,
        lookup: &Arc<str>,
        subject: &UserId,
        near: &Near,
    ) -> Result<Live, DirectoryError> {
        let key = KeyRef {
            tenant,
            lookup,
            subject,
        };
        let get = |cache: &Cache, key: KeyRef<'_>, now| cache.get_near(near, key, now);
        self.ask(key, get).await
    }

    async fn ask(
        &self,
        key: KeyRef<'_>,
        get: impl Fn(&Cache, KeyRef<'_>, Instant) -> Option<Cached>,
    ) -> Result<Live, DirectoryError> {
        let start = |key, seat| {
            self.control
                .spawn(Arc::clone(&self.desk).look_up(key, seat));
        };
        live(self.desk.live(key, get, start).await?)
    }

    /// The tenant whose host this is; `query` is the one in the configuration, `host` lower-case and
    /// without a port.
    pub async fn tenant_of_domain(
        &self,
        query: &Arc<str>,
        host: &str,
    ) -> Result<Option<TenantId>, DirectoryError> {
        let question = QuestionRef { query, about: host };
        self.ask_about_tenant(TenantAskRef::Domain(question)).await
    }

    /// Whether the source has this tenant; `query` is the one in the configuration.
    pub async fn tenant_is_known(
        &self,
        query: &Arc<str>,
        tenant: &TenantId,
    ) -> Result<bool, DirectoryError> {
        let question = QuestionRef {
            query,
            about: tenant.as_str(),
        };
        let ask = TenantAskRef::Known(question, tenant);
        Ok(self.ask_about_tenant(ask).await?.is_some())
    }

    /// Forgets what has changed. When this returns the effect holds: no request that begins from now
    /// on gets an answer that the source gave before. A file directory has been read again. What the
    /// source says from now on is believed, so it has to be the one that was changed: a replica that
    /// is behind would give the old row once more, for one life of the cache.
    pub async fn invalidate(&self, what: &Invalidation) {
        if self.desk.source.has_snapshot() {
            let desk = Arc::clone(&self.desk);
            let reread = self.control.spawn(async move {
                for change in desk.source.reread().await {
                    desk.apply(&change);
                }
            });
            // It fails only when the control runtime is shutting down.
            let _ = reread.await;
        }
        self.desk.apply(what);
        self.again.remember(what);
    }

    /// Tells the other replicas what has changed; whether a channel took it.
    pub async fn publish(&self, what: &Invalidation) -> bool {
        self.send(what.message()).await
    }

    /// The same for a revocation, which a replica that knows the word looks up in the store.
    pub(super) async fn publish_revocation(&self, what: &Invalidation) -> bool {
        self.send(what.message_of_revocation()).await
    }

    async fn send(&self, message: String) -> bool {
        let push = Arc::clone(&self.push);
        let published = self
            .control
            .spawn(async move { push.publish(&message).await });
        published.await.unwrap_or(false)
    }

    /// Waits until somebody says that the revocations have grown.
    pub(super) async fn revocation_said(&self) {
        self.revoked.notified().await;
    }

    /// A revocation was said to have been made.
    pub(super) fn hear_revocation(&self) {
        self.revoked.notify_one();
    }

    /// Has every stream that this could concern decided again; forgets nothing.
    pub(super) fn decide_again(&self, what: &Invalidation) {
        self.desk.leases.tell(what);
    }

    /// Reads a message and forgets what it names. What cannot be read means everything, at most once
    /// a second: later garbage waits for its turn, and one clearing serves all who wait.
    pub async fn apply_message(&self, message: &[u8]) -> Invalidation {
        if let Some(what) = Invalidation::read(message) {
            self.invalidate(&what).await;
            return what;
        }
        let arrived = tokio::time::Instant::now();
        let mut last = self.garbage.lock().await;
        if let Some(cleared) = *last {
            if cleared >= arrived {
                return Invalidation::All;
            }
            tokio::time::sleep_until(cleared + GARBAGE_INTERVAL).await;
        }
        *last = Some(tokio::time::Instant::now());
        self.invalidate(&Invalidation::All).await;
        Invalidation::All
    }

    /// A channel has come or gone, which decides how long records live. What rests on records that
    /// have lived longer is told to ask again.
    pub(super) fn push_changed(&self) {
        let up = self.push.up();
        let was_up = self.desk.cache.set_push_up(up);
        self.desk.metrics.push_up.set(i64::from(up));
        if was_up && !up {
            self.desk.leases.tell(&Invalidation::All);
        }
    }

    /// The process's numbers.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.desk.metrics
    }

    /// The cached record, if it is within its life; asks nobody.
    #[must_use]
    pub fn cached(
        &self,
        tenant: &TenantId,
        lookup: &Arc<str>,
        subject: &UserId,
    ) -> Option<Arc<Binding>> {
        let key = KeyRef {
            tenant,
            lookup,
            subject,
        };
        match self.desk.cache.get(key, Instant::now())? {
            Cached::Known(row) => Some(row),
            Cached::Absent(_) => None,
        }
    }

    /// Asks the source a question about nobody: connects, and tries every query. The error names
    /// each thing that is wrong.
    pub async fn probe(&self) -> Result<(), String> {
        let desk = Arc::clone(&self.desk);
        let probe = self.control.spawn(async move { probe(&desk).await });
        probe
            .await
            .unwrap_or_else(|_| Err("the gateway is shutting down".into()))
    }

    /// How the directory is.
    #[must_use]
    pub fn status(&self) -> DirectoryStatus {
        let desk = &self.desk;
        let from_snapshot = desk.source.has_snapshot();
        DirectoryStatus {
            source: desk.source.kind(),
            ready: from_snapshot || desk.health.ready(),
            problem: if from_snapshot {
                desk.source.snapshot_problem()
            } else {
                desk.health.problem()
            },
            push_up: desk.cache.push_up(),
            channels: self.push.status(),
            entries: desk.cache.entries(),
        }
    }

    /// The leases of long streams.
    #[must_use]
    pub fn leases(&self) -> &Leases {
        &self.desk.leases
    }

    /// The desk, and where its look-ups run.
    pub(super) const fn parts(&self) -> (&Arc<Desk>, &Handle) {
        (&self.desk, &self.control)
    }

    async fn ask_about_tenant(
        &self,
        ask: TenantAskRef<'_>,
    ) -> Result<Option<TenantId>, DirectoryError> {
        let start = |ask, seat| {
            self.control
                .spawn(Arc::clone(&self.desk).look_up_tenant(ask, seat));
        };
        Ok(self.desk.told(ask, start).await?.found())
    }
}

fn live(cached: Cached) -> Result<Live, DirectoryError> {
    match cached {
        Cached::Known(row) => Ok(Live::Known(row)),
        Cached::Absent(Absence::User) => Ok(Live::Unknown),
        Cached::Absent(Absence::Tenant) => Err(DirectoryError::TenantUnknown),
    }
}

async fn probe(desk: &Desk) -> Result<(), String> {
    let tried = tokio::time::timeout(desk.timeout, desk.source.probe()).await;
    let tried = tried
        .unwrap_or_else(|_| Err(SourceError::new("no answer within the time limit").to_string()));
    match &tried {
        Ok(()) => desk.health.is_well(),
        Err(problem) => desk.health.is_ill(problem),
    }
    tried
}

/// Applies again what a replica may have answered too early.
async fn repeat(desk: Weak<Desk>, again: Arc<Again>) {
    loop {
        let what = again.next().await;
        let Some(desk) = desk.upgrade() else { return };
        desk.apply(&what);
    }
}

/// Watches a file directory.
async fn watch(desk: Weak<Desk>) {
    loop {
        tokio::time::sleep(FILE_POLL).await;
        let Some(desk) = desk.upgrade() else { return };
        for change in desk.source.reread_if_changed().await {
            desk.apply(&change);
        }
    }
}

/// Tries a source until it answers, and again whenever it has stopped.
async fn check(desk: Weak<Desk>) {
    loop {
        {
            let Some(desk) = desk.upgrade() else { return };
            if !desk.health.ready() {
                // The outcome stands in the desk's health.
                let _ = probe(&desk).await;
            }
        }
        tokio::time::sleep(HEALTH_POLL).await;
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
