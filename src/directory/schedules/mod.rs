//! Schedules: the directory's concurrent core, run under thousands of orders of its threads.
//!
//! Everything that cores share is the product's own code (cache, ring, index, flights, gate,
//! leases, memos, sessions, and the desk that joins them); what is exchanged is what they stand on:
//! the locks and counters (`../sync.rs`) and the concurrent map (`space.rs`). shuttle runs one
//! thread at a time and chooses the next at every lock and counter, at random and by PCT. It takes
//! every operation on a counter as sequentially consistent: weaker orders than that it cannot find.
//!
//! A failure prints its schedule, which `shuttle::replay` runs again.

mod flights;
mod leases;
mod records;
mod sessions;
mod tenants;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use shuttle::future::{block_on, spawn, spawn_local, yield_now};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use super::desk::Desk;
use super::invalidation::Invalidation;
use super::source::{Caches, Source};
use super::sync::AtomicU64;
use crate::config::{self, DirectorySource, KeyPath, KnownTenants};
use crate::ids::TenantId;
use crate::telemetry::Metrics;

/// Schedules of each kind for each test.
const SCHEDULES: usize = 2000;

/// How often threads are overtaken in a PCT schedule.
const DEPTH: usize = 3;

/// Longer than any schedule: nothing here happens because time passes.
const LONG: Duration = Duration::from_hours(1);

/// Runs `body` under many schedules of either kind.
fn schedules<F: Future<Output = ()> + 'static>(body: impl Fn() -> F + Send + Sync + 'static) {
    // Deadlines want a timer to stand with; this one never runs.
    let timer = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _timer = timer.enter();
    let body = Arc::new(body);
    let config = || {
        let mut config = Config::new();
        config.stack_size = 1024 * 1024;
        config.silence_warnings = true;
        config
    };
    let once = {
        let body = Arc::clone(&body);
        move || block_on(body())
    };
    Runner::new(RandomScheduler::new(SCHEDULES), config()).run(once);
    let once = move || block_on(body());
    Runner::new(PctScheduler::new(DEPTH, SCHEDULES), config()).run(once);
}

/// A desk whose own source is never asked.
fn desk() -> Arc<Desk> {
    static USERS: LazyLock<tempfile::NamedTempFile> = LazyLock::new(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "users: []").unwrap();
        file
    });
    let config = config::Directory {
        at: KeyPath::root(),
        source: DirectorySource::File {
            at: KeyPath::root(),
            path: USERS.path().to_owned(),
        },
        cache: config::DirectoryCache {
            capacity: 1000,
            ttl: LONG,
            ttl_without_push: LONG,
            negative_ttl: LONG,
            stale_if_error: LONG,
        },
        limits: config::DirectoryLimits {
            timeout: LONG,
            concurrent: 4,
            queue: 100,
        },
        session_tables: BTreeMap::from([(0, vec!["django_session".into()])]),
        session_caches: BTreeMap::new(),
        blacklist: None,
        invalidation: config::Invalidation::default(),
    };
    let tenants = config::Tenants {
        at: KeyPath::root(),
        sources: Vec::new(),
        known: KnownTenants::Any,
        default: None,
        several: true,
    };
    let source = Source::build(&config, &tenants).unwrap();
    let beside = (Caches::build(&config).unwrap(), None);
    Arc::new(Desk::new(source, beside, &config, Arc::new(Metrics::new())))
}

fn tenant() -> TenantId {
    TenantId::parse("a").unwrap()
}

/// What the source has, as the number of its state, and the newest state whose invalidation has
/// been acknowledged.
struct Truth {
    desk: Arc<Desk>,
    state: AtomicU64,
    acknowledged: AtomicU64,
}

impl Truth {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            desk: desk(),
            state: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    /// The source answers, some time after it was asked and some time before that is heard.
    async fn read(&self) -> u64 {
        pause().await;
        let state = self.state.load(SeqCst);
        pause().await;
        state
    }

    /// The source changes, and this is said.
    fn change(&self, said: &Invalidation) {
        let state = self.state.fetch_add(1, SeqCst) + 1;
        self.desk.apply(said);
        self.acknowledged.fetch_max(state, SeqCst);
    }

    /// Asks, and makes sure that the answer is no older than what was acknowledged before; `judge`
    /// says whether an answer fits a state. Gives the answer.
    async fn check<A>(&self, ask: impl Future<Output = A>, judge: impl Fn(&A, u64) -> bool) -> A {
        let oldest = self.acknowledged.load(SeqCst);
        let answer = ask.await;
        let newest = self.state.load(SeqCst);
        assert!(
            (oldest..=newest).any(|state| judge(&answer, state)),
            "an answer from before state {oldest} in state {newest}"
        );
        answer
    }
}

/// Lets others run, or not.
async fn pause() {
    while thread_rng().r#gen() {
        yield_now().await;
    }
}

/// Waits for all of them.
async fn all<T: 'static>(tasks: Vec<shuttle::future::JoinHandle<T>>) {
    for task in tasks {
        task.await.unwrap();
    }
}

/// Some of `count` ways, by chance.
fn one_of(count: u32) -> u32 {
    thread_rng().gen_range(0..count)
}

/// A change that is said by a thread of its own.
fn change(truth: &Arc<Truth>, said: Invalidation) -> shuttle::future::JoinHandle<()> {
    let truth = Arc::clone(truth);
    spawn(async move { truth.change(&said) })
}
