//! Recent: a bounded memory of one core for what is dear to make and may be used again.
//!
//! Two generations: what is kept or found goes into the young one; when that is full it becomes the
//! old one, and what was old is forgotten. So an entry that is asked for stays, one that is not goes
//! after two turns, and nothing is ever searched for a victim. Whether an entry may still be used is
//! not known here: whoever asks says so each time.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// What an entry costs beside its own bytes.
const OVERHEAD: usize = 128;

/// A memory of at most so many bytes, for one core alone.
pub struct Recent<K, V> {
    /// Most bytes of one generation; 0 remembers nothing.
    most: usize,
    generations: RefCell<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, Entry<V>, ahash::RandomState>,
    old: HashMap<K, Entry<V>, ahash::RandomState>,
    /// Bytes of the young one.
    held: usize,
}

struct Entry<V> {
    value: V,
    bytes: usize,
}

impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and values may be secrets.
        f.debug_struct("Recent")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl<K, V> Default for Generations<K, V> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            held: 0,
        }
    }
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// A memory of about so many bytes; with 0 it remembers nothing.
    #[must_use]
    pub fn of_bytes(bytes: usize) -> Self {
        Self {
            most: bytes / 2,
            generations: RefCell::default(),
        }
    }

    /// Whether it remembers anything at all.
    #[must_use]
    pub const fn remembers(&self) -> bool {
        self.most > 0
    }

    /// What `read` takes from what is remembered under `key`, if `holds` says that it may still be
    /// used.
    pub fn find<Q, T>(
        &self,
        key: &Q,
        holds: impl FnOnce(&V) -> bool,
        read: impl FnOnce(&V) -> T,
    ) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut generations = self.generations.borrow_mut();
        if let Some(entry) = generations.young.get(key) {
            return holds(&entry.value).then(|| read(&entry.value));
        }
        let (key, entry) = generations.old.remove_entry(key)?;
        if !holds(&entry.value) {
            return None;
        }
        let found = read(&entry.value);
        generations.insert(self.most, key, entry);
        Some(found)
    }

    /// Remembers `value`, which takes `bytes`.
    pub fn keep(&self, key: K, value: V, bytes: usize) {
        let bytes = bytes + OVERHEAD;
        if bytes <= self.most {
            let mut generations = self.generations.borrow_mut();
            generations.insert(self.most, key, Entry { value, bytes });
        }
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, most: usize, key: K, entry: Entry<V>) {
        if self.held + entry.bytes > most {
            self.old = std::mem::take(&mut self.young);
            self.held = 0;
        }
        self.held += entry.bytes;
        if let Some(replaced) = self.young.insert(key, entry) {
            self.held -= replaced.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(recent: &Recent<u32, u32>) -> Vec<u32> {
        let mut kept: Vec<u32> = (0..1000)
            .filter(|key| {
                let generations = recent.generations.borrow();
                generations.young.contains_key(key) || generations.old.contains_key(key)
            })
            .collect();
        kept.sort_unstable();
        kept
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let recent = Recent::of_bytes(20 * (OVERHEAD + 100));
        for key in 0..1000 {
            recent.keep(key, key * 2, 100);
            assert_eq!(
                recent.find(&0, |_| true, |value| *value),
                Some(0),
                "after {key}"
            );
            assert!(kept(&recent).len() <= 20, "after {key}");
        }
        assert_eq!(recent.find(&999, |_| true, |value| *value), Some(1998));
        assert_eq!(recent.find(&500, |_| true, |value| *value), None);
    }

    #[test]
    fn what_does_not_hold_is_not_found() {
        let recent = Recent::of_bytes(10_000);
        recent.keep(1, 1, 1);
        assert_eq!(recent.find(&1, |_| false, |value| *value), None);
        assert_eq!(
            recent.find(&1, |value| *value == 1, |value| *value),
            Some(1)
        );
        recent.keep(1, 2, 1);
        assert_eq!(recent.find(&1, |_| true, |value| *value), Some(2));
    }

    #[test]
    fn nothing_is_kept_without_room() {
        let recent = Recent::of_bytes(0);
        recent.keep(1, 1, 1);
        assert_eq!(recent.find(&1, |_| true, |value| *value), None);
        let small = Recent::of_bytes(1_000);
        small.keep(1, 1, 500);
        assert_eq!(
            small.find(&1, |_| true, |value| *value),
            None,
            "larger than a generation"
        );
    }

    /// The same key again and again must not count as growth.
    #[test]
    fn a_replaced_entry_gives_its_bytes_back() {
        let recent = Recent::of_bytes(10 * (OVERHEAD + 100));
        recent.keep(1, 1, 100);
        for value in 0..100 {
            recent.keep(2, value, 100);
        }
        let generations = recent.generations.borrow();
        assert!(
            generations.young.contains_key(&1),
            "not turned out by one key"
        );
        assert_eq!(generations.held, 2 * (OVERHEAD + 100));
    }
}
