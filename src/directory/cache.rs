//! The cache: answers of the source, and the proof that none outlives an invalidation.
//!
//! moka alone does not give that: a fill that is under way while its key is invalidated is stored
//! afterwards and served for its whole life. So every fill takes a [`Ticket`] with the sequence
//! number of the newest invalidation, and [`Cache::store`] refuses the row when the [`Ring`] holds,
//! or has lost, anything newer that covers it. One lock is held across that check and the
//! insertion, and across all of [`Cache::invalidate`], so no invalidation can fall between the two.
//! A hit takes no lock of ours.
//!
//! What a core holds on to by itself ([`Near`]) could outlive its entry. So a row says itself when it
//! may no longer be given out ([`Binding::is_withdrawn`]), and every row that does not say so is in
//! the index, where an invalidation finds it: it is entered before anybody can have it, and leaves after
//! it was withdrawn.
//!
//! "No such user" lives in a space of its own, so that a flood of unknown users evicts no known
//! one. Failures never get here.
//!
//! Locks are taken in this order: flights, this one, moka's own, the index.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::binding::{Binding, Edition};
use super::index::Index;
use super::invalidation::Invalidation;
use super::key::{Key, KeyRef, Placed, PlacedRef};
use super::near::Near;
use super::record::Record;
use super::ring::Ring;
use super::space::{Space, listened};
use super::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::config;
use crate::ids::TenantId;

/// Most remembered "no such user".
const ABSENT_CAPACITY: u64 = 10_000;

/// Lives are shortened by up to this many 1024ths, so that what was read together does not expire
/// together. Never lengthened: the configured life is a promise.
const JITTER: u64 = 102;

/// Longest life that moka is told; ours are checked on every hit.
const LONGEST_KEPT: Duration = Duration::from_hours(365 * 24);

/// What a source answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Row(Box<Record>),
    Absent(Absence),
}

/// What a source does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    User,
    Tenant,
}

/// An answer as it is handed out.
#[derive(Debug, Clone)]
pub(super) enum Cached {
    Known(Arc<Binding>),
    Absent(Absence),
}

/// Taken before the source is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket {
    sequence: u64,
    asked_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    absence: Absence,
    generation: u64,
    asked_at: Instant,
}

#[derive(Debug)]
pub(super) struct Cache {
    rows: Space<Placed, Arc<Binding>>,
    rows_index: Arc<Index<Arc<Binding>>>,
    missing: Space<Placed, Missing>,
    missing_index: Arc<Index<Arc<Key>>>,
    ring: Mutex<Ring>,
    /// The generation of the newest entry.
    generation: AtomicU64,
    /// Entries up to this generation are gone; moka's own `invalidate_all` compares clock readings.
    floor: AtomicU64,
    /// Whether a push channel is up.
    push_up: AtomicBool,
    lives: config::DirectoryCache,
    /// Of keys, and of generations for their jitter.
    hasher: ahash::RandomState,
    /// By which a [`Near`] knows that it is of this cache.
    mark: Arc<()>,
}

impl Cache {
    pub(super) fn new(config: &config::DirectoryCache) -> Self {
        let longest = config.ttl.max(config.ttl_without_push);
        let kept = longest.saturating_add(config.stale_if_error);
        let rows_index = Arc::<Index<Arc<Binding>>>::default();
        let missing_index = Arc::<Index<Arc<Key>>>::default();
        let rows = space(config.capacity, kept, {
            let index = Arc::clone(&rows_index);
            move |placed, row: &Arc<Binding>| {
                row.withdraw();
                index.remove(placed.key(), Some(row.record()), row.generation());
            }
        });
        let missing = space(ABSENT_CAPACITY, config.negative_ttl, {
            let index = Arc::clone(&missing_index);
            move |placed, missing: &Missing| {
                index.remove(placed.key(), None, missing.generation);
            }
        });
        Self {
            rows,
            rows_index,
            missing,
            missing_index,
            ring: Mutex::default(),
            generation: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            push_up: AtomicBool::new(false),
            lives: *config,
            hasher: ahash::RandomState::new(),
            mark: Arc::default(),
        }
    }

    /// What a core may keep of this cache.
    pub(super) fn near(&self) -> Near {
        Near::new(&self.mark, self.lives.capacity)
    }

    /// The answer, unless it is past its life.
    pub(super) fn get(&self, key: KeyRef<'_>, now: Instant) -> Option<Cached> {
        self.get_placed(self.place(key), now)
    }

    /// The same by way of what this core has used lately.
    pub(super) fn get_near(&self, near: &Near, key: KeyRef<'_>, now: Instant) -> Option<Cached> {
        let key = self.place(key);
        if let Some(row) = self.row_near(near, key, now) {
            return Some(Cached::Known(row));
        }
        let found = self.get_placed(key, now);
        if let Some(Cached::Known(row)) = &found {
            near.keep(&self.mark, key.hash(), row);
        }
        found
    }

    /// What the core finds by itself, if it may still be given out.
    fn row_near(&self, near: &Near, key: PlacedRef<'_>, now: Instant) -> Option<Arc<Binding>> {
        near.find(&self.mark, key.hash())
            .filter(|row| key.key().names(row.key()) && self.stands(row) && self.is_fresh(row, now))
    }

    fn get_placed(&self, key: PlacedRef<'_>, now: Instant) -> Option<Cached> {
        if let Some(row) = self.row(key).filter(|row| self.is_fresh(row, now)) {
            return Some(Cached::Known(row));
        }
        let missing = self.missing.get(&key)?;
        let life = self.life(self.lives.negative_ttl, missing.generation);
        let fresh = self.is_above_floor(missing.generation)
            && now.saturating_duration_since(missing.asked_at) < life;
        fresh.then_some(Cached::Absent(missing.absence))
    }

    /// A record past its life that may serve while the source fails.
    pub(super) fn stale(&self, key: KeyRef<'_>, now: Instant) -> Option<Arc<Binding>> {
        let row = self.row(self.place(key))?;
        let life = self
            .life(self.row_life(), row.generation())
            .saturating_add(self.lives.stale_if_error);
        (now.saturating_duration_since(row.read_at()) < life).then_some(row)
    }

    /// Taken before the source is asked.
    pub(super) fn ticket(&self, now: Instant) -> Ticket {
        Ticket {
            sequence: self.lock().sequence(),
            asked_at: now,
        }
    }

    /// Stores an answer and gives it back, or refuses it because it could be outdated: then the
    /// source has to be asked again, with a new ticket.
    pub(super) fn store(&self, ticket: Ticket, key: &Arc<Key>, answer: Answer) -> Option<Cached> {
        let ring = self.lock();
        let record = match &answer {
            Answer::Row(record) => Some(&**record),
            Answer::Absent(_) => None,
        };
        if ring.outdates(ticket.sequence, &key.tenant, &key.subject, record) {
            return None;
        }
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let sought = self.place(KeyRef::of(key));
        let cached = match answer {
            Answer::Row(record) => {
                let before = self.row(sought);
                let same = before.filter(|row| *row.record() == *record);
                let row = Arc::new(Binding::new(
                    Key::clone(key),
                    *record,
                    same.map_or_else(Edition::new, |row| row.edition()),
                    generation,
                    ticket.asked_at,
                ));
                self.withdraw(key);
                self.rows_index
                    .add(key, Some(row.record()), generation, &row);
                // Before it can be had: who has had it must not be told of the absence once it is evicted.
                self.missing.invalidate(&sought);
                self.rows.insert(sought.own(key), Arc::clone(&row));
                Cached::Known(row)
            }
            Answer::Absent(absence) => {
                self.missing_index.add(key, None, generation, key);
                let missing = Missing {
                    absence,
                    generation,
                    asked_at: ticket.asked_at,
                };
                self.withdraw(key);
                self.missing.insert(sought.own(key), missing);
                self.rows.invalidate(&sought);
                Cached::Absent(absence)
            }
        };
        drop(ring);
        Some(cached)
    }

    /// Applies an invalidation. When this returns, no answer that was asked for before it and that
    /// it covers is, or will be, given out.
    pub(super) fn invalidate(&self, what: &Invalidation) {
        let mut ring = self.lock();
        match what {
            Invalidation::All => {
                self.floor
                    .store(self.generation.load(Ordering::Acquire), Ordering::Release);
                self.rows.invalidate_all();
                self.missing.invalidate_all();
            }
            Invalidation::Tenant(tenant) => {
                self.remove(&self.rows_index.of_tenant(tenant));
                self.remove_absences(tenant);
            }
            Invalidation::User { tenant, user } => {
                self.remove(&self.rows_index.of_user(tenant, user));
                self.remove_absences(tenant);
            }
            Invalidation::Account { tenant, account } => {
                self.remove(&self.rows_index.of_account(tenant, account));
                self.remove_absences(tenant);
            }
            // Sessions are no records.
            Invalidation::Session { .. } => return,
        }
        ring.push(what.clone());
    }

    /// Tells whether push is up, which decides how long records live, also those that are held
    /// already; gives what it was before.
    pub(super) fn set_push_up(&self, up: bool) -> bool {
        self.push_up.swap(up, Ordering::AcqRel)
    }

    /// Whether a push channel is up.
    pub(super) fn push_up(&self) -> bool {
        self.push_up.load(Ordering::Acquire)
    }

    /// About how many records are held.
    pub(super) fn entries(&self) -> u64 {
        self.rows.entry_count()
    }

    fn remove(&self, rows: &[Arc<Binding>]) {
        for row in rows {
            row.withdraw();
            self.rows.invalidate(&self.place(KeyRef::of(row.key())));
        }
    }

    fn remove_absences(&self, tenant: &TenantId) {
        for key in self.missing_index.of_tenant(tenant) {
            self.missing.invalidate(&self.place(KeyRef::of(&key)));
        }
    }

    /// The rows of this key are no longer the newest, also one that was evicted a moment ago.
    fn withdraw(&self, key: &Key) {
        for row in self.rows_index.of_user(&key.tenant, &key.subject) {
            if row.key() == key {
                row.withdraw();
            }
        }
    }

    fn place<'a>(&self, key: KeyRef<'a>) -> PlacedRef<'a> {
        PlacedRef::of(&self.hasher, key)
    }

    fn row(&self, key: PlacedRef<'_>) -> Option<Arc<Binding>> {
        self.rows.get(&key).filter(|row| self.stands(row))
    }

    fn is_fresh(&self, row: &Binding, now: Instant) -> bool {
        let life = self.life(self.row_life(), row.generation());
        now.saturating_duration_since(row.read_at()) < life
    }

    /// Whether nothing newer has come.
    fn stands(&self, row: &Binding) -> bool {
        !row.is_withdrawn() && self.is_above_floor(row.generation())
    }

    fn is_above_floor(&self, generation: u64) -> bool {
        generation > self.floor.load(Ordering::Acquire)
    }

    /// How long records live as things are now.
    pub(super) fn row_life(&self) -> Duration {
        if self.push_up() {
            self.lives.ttl
        } else {
            self.lives.ttl_without_push
        }
    }

    /// How long they live while nobody pushes.
    pub(super) const fn unpushed_life(&self) -> Duration {
        self.lives.ttl_without_push
    }

    fn life(&self, configured: Duration, generation: u64) -> Duration {
        let shortened = self.hasher.hash_one(generation) % (JITTER + 1);
        let nanos = configured.as_nanos() / 1024 * u128::from(1024 - shortened);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // The ring is changed last and in one step, so a panic elsewhere leaves it whole.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn space<V: Clone + Send + Sync + 'static>(
    capacity: u64,
    kept: Duration,
    gone: impl Fn(&Placed, &V) + Send + Sync + 'static,
) -> Space<Placed, V> {
    // With room for none, moka drops insertions without telling the listener.
    let capacity = capacity.max(1);
    // A second more than any of our own lives, so that ours decide.
    let kept = kept.min(LONGEST_KEPT) + Duration::from_secs(1);
    listened(capacity, kept, gone)
}

#[cfg(test)]
#[path = "cache_model.rs"]
mod model;
#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
