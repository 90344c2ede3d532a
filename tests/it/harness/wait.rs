//! Waiting for events: a value that wakes those who wait for it, always with a bound.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. Generous: it is only spent by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks: so short that no test waits for it, and leaves the processor to who is waited
/// for.
const PAUSE: Duration = Duration::from_millis(5);

/// A value whose changes can be awaited.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// What `find` finds, as soon as it does, or nothing once `patience` is over.
    pub(crate) fn within<R>(
        &self,
        patience: Duration,
        mut find: impl FnMut(&T) -> Option<R>,
    ) -> Option<R> {
        let deadline = Instant::now() + patience;
        let mut value = self.lock();
        loop {
            if let Some(found) = find(&value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = self
                .changed
                .wait_timeout(value, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks again and again until it is so: for what no event tells, as what another process counts.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Holds others back until it is opened, once and for all.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Watched<bool>>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.update(|open| *open = true);
    }

    /// Waits until the gate is open.
    pub(crate) fn pass(&self) {
        self.0
            .within(PATIENCE, |open| open.then_some(()))
            .expect("the gate was never opened");
    }
}
