//! Spaces: where answers are held, each a concurrent map of bounded size.
//!
//! All that is asked of moka stands here. What is relied on: whoever asks after an `insert` or an
//! `invalidate` of a key has returned finds what these left, or nothing; and of every entry that
//! goes, the listener hears once, after it has gone. Not relied on: when anything is evicted, and
//! that `invalidate_all` takes effect at once (it compares clock readings). The tests of
//! `schedules/` put a map in its place that keeps these promises and no others.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

/// A map of bounded size.
pub(super) type Space<K, V> = moka::sync::Cache<K, V, ahash::RandomState>;

/// A space for at most `capacity` entries.
pub(super) fn bounded<K, V>(capacity: u64) -> Space<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder()
        .max_capacity(capacity)
        .build_with_hasher(ahash::RandomState::new())
}

/// The same; an entry goes once `kept` has passed, and `gone` hears of every one that goes.
pub(super) fn listened<K, V>(
    capacity: u64,
    kept: Duration,
    gone: impl Fn(&K, &V) + Send + Sync + 'static,
) -> Space<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder()
        .max_capacity(capacity)
        .time_to_live(kept)
        .eviction_listener(move |key: Arc<K>, value, _| gone(&key, &value))
        .build_with_hasher(ahash::RandomState::new())
}
