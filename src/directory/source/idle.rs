//! Idle connections: a pool of the smallest kind.
//!
//! A connection is taken out, used, and put back only after its work has ended cleanly. Whatever
//! else happens to the future that uses it (a deadline, an error, a caller who goes away) drops the
//! connection, and dropping closes it: an answer that comes too late has no socket to arrive on,
//! so it can never be read as the answer to somebody else's question.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Longest life of a connection, so that a database that moved is followed.
const LONGEST_LIFE: Duration = Duration::from_mins(30);

/// Longest time that a connection is kept unused.
const LONGEST_IDLE: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) struct Idle<C> {
    places: Semaphore,
    idle: Mutex<Vec<Kept<C>>>,
}

#[derive(Debug)]
pub(super) struct Kept<C> {
    pub(super) connection: C,
    opened: Instant,
    used: Instant,
}

impl<C> Kept<C> {
    pub(super) fn new(connection: C) -> Self {
        let now = Instant::now();
        Self {
            connection,
            opened: now,
            used: now,
        }
    }
}

impl<C> Idle<C> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::default(),
        }
    }

    /// Waits until one more connection may be in use. `None` never happens: nobody closes the
    /// semaphore.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }

    /// The connection that was used last, if one is there and not too old.
    pub(super) fn take(&self) -> Option<Kept<C>> {
        let now = Instant::now();
        let mut idle = self.lock();
        idle.retain(|kept| {
            now.saturating_duration_since(kept.opened) < LONGEST_LIFE
                && now.saturating_duration_since(kept.used) < LONGEST_IDLE
        });
        idle.pop()
    }

    /// Keeps a connection whose work has ended cleanly.
    pub(super) fn put(&self, mut kept: Kept<C>) {
        kept.used = Instant::now();
        self.lock().push(kept);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Kept<C>>> {
        // Nothing that runs under the lock panics half-way through a change.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
