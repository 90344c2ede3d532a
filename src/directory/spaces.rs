//! Spaces: what a source said, for a short while; what there is in one, what there is not in another.
//!
//! Anybody can ask for what does not exist, so a flood of that must evict nothing that does. Each
//! answer keeps the number that stood when it was asked for; whether that number still stands is its
//! owner's to say, on every hit.

use std::fmt;
use std::hash::Hash;
use std::time::{Duration, Instant};

use moka::Equivalent;

use super::space::{Space, bounded};

#[derive(Debug, Clone)]
struct Held<A> {
    answer: A,
    number: u64,
    asked_at: Instant,
}

pub(super) struct Spaces<K, A> {
    found: Space<K, Held<A>>,
    missing: Space<K, Held<A>>,
    life: Duration,
    negative_life: Duration,
}

impl<K, A> fmt::Debug for Spaces<K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spaces").finish_non_exhaustive()
    }
}

impl<K, A> Spaces<K, A>
where
    K: Hash + Eq + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// Spaces for so many answers that something exists, and that it does not, and how long each
    /// lives.
    pub(super) fn new(
        (capacity, absent_capacity): (u64, u64),
        life: Duration,
        negative_life: Duration,
    ) -> Self {
        Self {
            found: bounded(capacity.max(1)),
            missing: bounded(absent_capacity.max(1)),
            life,
            negative_life,
        }
    }

    /// The answer, unless it is past its life or its number does not stand any more.
    pub(super) fn get<Q>(
        &self,
        key: &Q,
        now: Instant,
        stands: impl Fn(u64, &A) -> bool,
    ) -> Option<A>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        let fresh = |held: &Held<A>, life| {
            now.saturating_duration_since(held.asked_at) < life && stands(held.number, &held.answer)
        };
        self.found
            .get(key)
            .filter(|held| fresh(held, self.life))
            .or_else(|| {
                self.missing
                    .get(key)
                    .filter(|held| fresh(held, self.negative_life))
            })
            .map(|held| held.answer)
    }

    /// Keeps an answer that was asked for at this time, under this number.
    pub(super) fn put(&self, key: K, answer: A, exists: bool, (number, asked_at): (u64, Instant)) {
        let (space, other) = if exists {
            (&self.found, &self.missing)
        } else {
            (&self.missing, &self.found)
        };
        other.invalidate(&key);
        space.insert(
            key,
            Held {
                answer,
                number,
                asked_at,
            },
        );
    }

    /// Drops what is kept of this key.
    pub(super) fn remove(&self, key: &K) {
        self.found.invalidate(key);
        self.missing.invalidate(key);
    }

    /// Drops everything. What is stored meanwhile may stay: its number has to tell.
    pub(super) fn clear(&self) {
        self.found.invalidate_all();
        self.missing.invalidate_all();
    }
}
