//! Keys: whose record it is, as a struct of its parts.
//!
//! Never a formatted string: tenant `a:b` with user `c` and tenant `a` with user `b:c` are two.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use moka::Equivalent;

use crate::ids::{TenantId, UserId};

/// The owned key of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) tenant: TenantId,
    pub(super) lookup: Arc<str>,
    pub(super) subject: UserId,
}

/// The same, borrowed, so that a hit touches no reference count of a shared id.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) lookup: &'a Arc<str>,
    pub(super) subject: &'a UserId,
}

impl<'a> KeyRef<'a> {
    /// Borrows an owned key.
    pub(super) const fn of(key: &'a Key) -> Self {
        Self {
            tenant: &key.tenant,
            lookup: &key.lookup,
            subject: &key.subject,
        }
    }

    /// Whether that is the owned form.
    pub(super) fn names(self, key: &Key) -> bool {
        *self.subject == key.subject && *self.tenant == key.tenant && *self.lookup == key.lookup
    }

    pub(super) fn to_key(self) -> Arc<Key> {
        Arc::new(Key {
            tenant: self.tenant.clone(),
            lookup: Arc::clone(self.lookup),
            subject: self.subject.clone(),
        })
    }
}

/// A key as a space holds it. Among many users nothing of one is in the processor's caches, and a space
/// meets other keys on its way to the one it wants: the hash beside the key tells most of those apart
/// without a look at theirs. Hashes alone make no two keys equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    hash: u64,
    key: Arc<Key>,
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlacedRef<'a> {
    hash: u64,
    key: KeyRef<'a>,
}

impl Placed {
    pub(super) const fn key(&self) -> &Arc<Key> {
        &self.key
    }
}

impl<'a> PlacedRef<'a> {
    /// A key with its hash; all keys of a space take theirs from one `hasher`.
    pub(super) fn of(hasher: &ahash::RandomState, key: KeyRef<'a>) -> Self {
        let hash = hasher.hash_one(key);
        Self { hash, key }
    }

    pub(super) const fn hash(self) -> u64 {
        self.hash
    }

    pub(super) const fn key(self) -> KeyRef<'a> {
        self.key
    }

    /// The owned form, of the `key` that it was borrowed from or one equal to that.
    pub(super) fn own(self, key: &Arc<Key>) -> Placed {
        debug_assert!(self.key.names(key), "another key's hash");
        let key = Arc::clone(key);
        Placed {
            hash: self.hash,
            key,
        }
    }
}

impl Hash for Placed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for PlacedRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Placed> for PlacedRef<'_> {
    fn equivalent(&self, placed: &Placed) -> bool {
        self.hash == placed.hash && self.key.names(&placed.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str, lookup: &str, subject: &str) -> Arc<Key> {
        Arc::new(Key {
            tenant: TenantId::parse(tenant).unwrap(),
            lookup: lookup.into(),
            subject: UserId::parse(subject).unwrap(),
        })
    }

    #[test]
    fn e14_parts_do_not_run_together() {
        let keys = [
            key("a:b", "default", "c"),
            key("a", "default", "b:c"),
            key("a", "defaultb", ":c"),
            key("A", "default", "b:c"),
        ];
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(a == b, i == j);
                // As if all had one hash.
                let sought = PlacedRef {
                    hash: 1,
                    key: KeyRef::of(a),
                };
                let placed = Placed {
                    hash: 1,
                    key: Arc::clone(b),
                };
                assert_eq!(sought.equivalent(&placed), i == j);
                assert_eq!(sought.own(a) == placed, i == j);
            }
        }
    }

    #[test]
    fn borrowed_and_owned_hash_alike() {
        let hasher = ahash::RandomState::new();
        let key = key("a", "default", "5");
        let sought = PlacedRef::of(&hasher, KeyRef::of(&key));
        let placed = sought.own(&key);
        assert_eq!(hasher.hash_one(sought), hasher.hash_one(&placed));
        assert!(sought.equivalent(&placed));
    }
}
