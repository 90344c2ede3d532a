//! Again: what was invalidated is invalidated once more, a while later.
//!
//! Where the directory is a replica, a message can arrive before the row that it speaks of; the
//! look-up that follows then reads the old row. The second invalidation ends that after the time
//! that the replica is allowed to be behind.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::directory::invalidation::Invalidation;

/// Most that waits; more is everything.
const WAITING: usize = 4096;

#[derive(Debug)]
pub(in crate::directory) struct Again {
    after: Duration,
    waiting: Mutex<VecDeque<(Instant, Invalidation)>>,
    wake: Notify,
}

impl Again {
    pub(in crate::directory) fn new(after: Duration) -> Self {
        Self {
            after,
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Whether anything is ever applied again.
    pub(in crate::directory) const fn is_on(&self) -> bool {
        !self.after.is_zero()
    }

    /// Remembers what has just been applied.
    pub(in crate::directory) fn remember(&self, what: &Invalidation) {
        if !self.is_on() {
            return;
        }
        let due = Instant::now() + self.after;
        let mut waiting = self.lock();
        if waiting.back().is_some_and(|(_, last)| last == what) {
            waiting.pop_back();
        }
        let what = if waiting.len() >= WAITING {
            waiting.clear();
            Invalidation::All
        } else {
            what.clone()
        };
        waiting.push_back((due, what));
        drop(waiting);
        self.wake.notify_one();
    }

    /// Waits for the next one that is due.
    pub(in crate::directory) async fn next(&self) -> Invalidation {
        loop {
            let due = self.lock().front().map(|(due, _)| *due);
            match due {
                None => self.wake.notified().await,
                Some(due) if due > Instant::now() => tokio::time::sleep_until(due).await,
                Some(_) => {
                    if let Some((_, what)) = self.lock().pop_front() {
                        return what;
                    }
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, Invalidation)>> {
        // Each change under the lock leaves the queue whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TenantId;

    fn tenant(n: usize) -> Invalidation {
        Invalidation::Tenant(TenantId::parse(&format!("t{n}")).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn e17_each_comes_again_in_its_order_after_the_time() {
        let again = Again::new(Duration::from_secs(5));
        let start = Instant::now();
        again.remember(&tenant(1));
        again.remember(&tenant(2));
        again.remember(&tenant(2));
        assert_eq!(again.next().await, tenant(1));
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(again.next().await, tenant(2));
        assert!(again.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn e21_too_many_are_everything() {
        let again = Again::new(Duration::from_secs(5));
        for n in 0..=WAITING {
            again.remember(&tenant(n));
        }
        assert_eq!(again.lock().len(), 1);
        assert_eq!(again.next().await, Invalidation::All);
    }

    #[test]
    fn without_a_lag_nothing_is_kept() {
        let again = Again::new(Duration::ZERO);
        again.remember(&tenant(1));
        assert!(again.lock().is_empty());
    }
}
