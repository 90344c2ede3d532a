//! A space that promises what `../space.rs` relies on and nothing more: entries go whenever the
//! schedule likes, in whichever thread is there, and `invalidate_all` takes what it likes.

use std::fmt;
use std::hash::Hash;
use std::sync::PoisonError;
use std::time::Duration;

use moka::Equivalent;
use shuttle::rand::{Rng, thread_rng};

use super::sync::{Mutex, MutexGuard};

type Gone<K, V> = Box<dyn Fn(&K, &V) + Send + Sync>;

pub(super) struct Space<K, V> {
    held: Mutex<Vec<(K, V)>>,
    gone: Gone<K, V>,
}

impl<K, V> fmt::Debug for Space<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").finish_non_exhaustive()
    }
}

pub(super) fn bounded<K, V>(_capacity: u64) -> Space<K, V> {
    Space {
        held: Mutex::new(Vec::new()),
        gone: Box::new(|_, _| {}),
    }
}

pub(super) fn listened<K, V>(
    _capacity: u64,
    _kept: Duration,
    gone: impl Fn(&K, &V) + Send + Sync + 'static,
) -> Space<K, V> {
    Space {
        held: Mutex::new(Vec::new()),
        gone: Box::new(gone),
    }
}

impl<K: Hash + Eq, V: Clone> Space<K, V> {
    pub(super) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        self.evict();
        let held = self.lock();
        held.iter()
            .find(|(held, _)| key.equivalent(held))
            .map(|(_, value)| value.clone())
    }

    pub(super) fn insert(&self, key: K, value: V) {
        let replaced = {
            let mut held = self.lock();
            let at = held.iter().position(|(other, _)| *other == key);
            let replaced = at.map(|at| held.swap_remove(at));
            held.push((key, value));
            replaced
        };
        self.tell(replaced);
        self.evict();
    }

    pub(super) fn invalidate<Q>(&self, key: &Q)
    where
        Q: Equivalent<K> + Hash + ?Sized,
    {
        let gone = {
            let mut held = self.lock();
            let at = held.iter().position(|(held, _)| key.equivalent(held));
            at.map(|at| held.swap_remove(at))
        };
        self.tell(gone);
    }

    pub(super) fn invalidate_all(&self) {
        while self.entry_count() > 0 && thread_rng().r#gen() {
            self.run_pending_tasks();
        }
    }

    /// Something goes.
    pub(super) fn run_pending_tasks(&self) {
        let gone = {
            let mut held = self.lock();
            let count = held.len();
            (count > 0).then(|| held.swap_remove(thread_rng().gen_range(0..count)))
        };
        self.tell(gone);
    }

    pub(super) fn entry_count(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Something goes, or nothing.
    fn evict(&self) {
        if thread_rng().gen_ratio(1, 8) {
            self.run_pending_tasks();
        }
    }

    fn tell(&self, gone: Option<(K, V)>) {
        if let Some((key, value)) = gone {
            (self.gone)(&key, &value);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, V)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
