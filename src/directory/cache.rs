//! The cache: answers of the source, and the proof that none outlives an invalidation.
//!
//! moka alone does not give that: a fill that is under way while its key is invalidated is stored
//! afterwards and served for its whole life. So every fill takes a [`Ticket`] with the sequence
//! number of the newest invalidation, and [`Cache::store`] refuses the row when the [`Ring`] holds,
//! or has lost, anything newer that covers it. One lock is held across that check and the
//! insertion, and across all of [`Cache::invalidate`], so no invalidation can fall between the two.
//! A hit takes no lock of ours.
//!
//! "No such user" lives in a space of its own, so that a flood of unknown users evicts no known
//! one. Failures never get here.
//!
//! Locks are taken in this order: flights, this one, moka's own, the index.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::binding::Binding;
use super::index::Index;
use super::invalidation::Invalidation;
use super::key::{Key, KeyRef, Placed, PlacedRef};
use super::record::Record;
use super::ring::Ring;
use super::space::{Space, listened};
use super::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard};
use crate::config;

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
    rows_index: Arc<Index>,
    missing: Space<Placed, Missing>,
    missing_index: Arc<Index>,
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
}

impl Cache {
    pub(super) fn new(config: &config::DirectoryCache) -> Self {
        let longest = config.ttl.max(config.ttl_without_push);
        let kept = longest.saturating_add(config.stale_if_error);
        let rows_index = Arc::new(Index::default());
        let missing_index = Arc::new(Index::default());
        let rows = space(config.capacity, kept, {
            let index = Arc::clone(&rows_index);
            move |placed, row: &Arc<Binding>| {
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
        }
    }

    /// The answer, unless it is past its life.
    pub(super) fn get(&self, key: KeyRef<'_>, now: Instant) -> Option<Cached> {
        let key = self.place(key);
        if let Some(row) = self.row(key) {
            let life = self.life(self.row_life(), row.generation());
            if now.saturating_duration_since(row.read_at()) < life {
                return Some(Cached::Known(row));
            }
        }
        let missing = self.missing.get(&key)?;
        let life = self.life(self.lives.negative_ttl, missing.generation);
        let fresh = self.stands(missing.generation)
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
                self.rows_index.add(key, Some(&record), generation);
                let before = self.row(sought);
                let record = match before {
                    Some(row) if **row.record() == *record => Arc::clone(row.record()),
                    _ => Arc::from(record),
                };
                let row = Arc::new(Binding::new(
                    Arc::clone(key),
                    record,
                    generation,
                    ticket.asked_at,
                ));
                self.rows.insert(sought.own(key), Arc::clone(&row));
                self.missing.invalidate(&sought);
                Cached::Known(row)
            }
            Answer::Absent(absence) => {
                self.missing_index.add(key, None, generation);
                let missing = Missing {
                    absence,
                    generation,
                    asked_at: ticket.asked_at,
                };
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
                self.remove(&self.rows, &self.rows_index.of_tenant(tenant));
                self.remove(&self.missing, &self.missing_index.of_tenant(tenant));
            }
            Invalidation::User { tenant, user } => {
                self.remove(&self.rows, &self.rows_index.of_user(tenant, user));
                self.remove(&self.missing, &self.missing_index.of_tenant(tenant));
            }
            Invalidation::Account { tenant, account } => {
                self.remove(&self.rows, &self.rows_index.of_account(tenant, account));
                self.remove(&self.missing, &self.missing_index.of_tenant(tenant));
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

    /// How many references the indexes hold: of records, and of absences.
    #[cfg(test)]
    pub(super) fn references(&self) -> [u64; 2] {
        [&self.rows_index, &self.missing_index].map(|index| index.len() as u64)
    }

    /// How many absences are held.
    #[cfg(test)]
    pub(super) fn absences(&self) -> u64 {
        self.missing.entry_count()
    }

    fn remove<V>(&self, space: &Space<Placed, V>, keys: &[Arc<Key>])
    where
        V: Clone + Send + Sync + 'static,
    {
        for key in keys {
            space.invalidate(&self.place(KeyRef::of(key)));
        }
    }

    fn place<'a>(&self, key: KeyRef<'a>) -> PlacedRef<'a> {
        PlacedRef::of(&self.hasher, key)
    }

    fn row(&self, key: PlacedRef<'_>) -> Option<Arc<Binding>> {
        self.rows
            .get(&key)
            .filter(|row| self.stands(row.generation()))
    }

    fn stands(&self, generation: u64) -> bool {
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
