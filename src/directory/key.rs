//! Keys: whose record it is, as a struct of its parts.
//!
//! Never a formatted string: tenant `a:b` with user `c` and tenant `a` with user `b:c` are two.

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

/// The same, borrowed, so that a hit touches no reference count of a shared id. Its derived hash
/// is the owned key's, since both hash the same texts in the same order.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct KeyRef<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) lookup: &'a Arc<str>,
    pub(super) subject: &'a UserId,
}

impl KeyRef<'_> {
    pub(super) fn to_key(self) -> Arc<Key> {
        Arc::new(Key {
            tenant: self.tenant.clone(),
            lookup: Arc::clone(self.lookup),
            subject: self.subject.clone(),
        })
    }
}

impl Equivalent<Arc<Key>> for KeyRef<'_> {
    fn equivalent(&self, key: &Arc<Key>) -> bool {
        *self.subject == key.subject && *self.tenant == key.tenant && *self.lookup == key.lookup
    }
}

#[cfg(test)]
impl<'a> KeyRef<'a> {
    /// Borrows an owned key.
    pub(super) fn of(key: &'a Key) -> Self {
        Self {
            tenant: &key.tenant,
            lookup: &key.lookup,
            subject: &key.subject,
        }
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
                assert_eq!(KeyRef::of(a).equivalent(b), i == j);
            }
        }
    }

    #[test]
    fn borrowed_and_owned_hash_alike() {
        let hasher = ahash::RandomState::new();
        let key = key("a", "default", "5");
        assert_eq!(hasher.hash_one(&key), hasher.hash_one(KeyRef::of(&key)));
    }
}
