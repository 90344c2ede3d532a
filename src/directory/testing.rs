//! What tests of this room's caches are configured with, and hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::cache::Answer;
use super::invalidation::Invalidation;
use super::key::Key;
use super::record::Record;
use crate::config::{self, DirectoryCache, DirectoryLimits, DirectorySource, KeyPath};
use crate::ids::{AccountId, TenantId, UserId};

/// A subject of the default look-up.
pub(super) fn key(tenant: &str, subject: &str) -> Arc<Key> {
    Arc::new(Key {
        tenant: TenantId::parse(tenant).unwrap(),
        lookup: "default".into(),
        subject: UserId::parse(subject).unwrap(),
    })
}

/// What a source says of somebody who is a member of account `m` as well.
pub(super) fn row(id: &str, account: &str) -> Answer {
    let Value::Object(row) =
        json!({"id": id, "account": account, "active": true, "memberships": ["m"]})
    else {
        unreachable!()
    };
    Answer::Row(Box::new(Record::read(row).unwrap()))
}

/// A message about a user.
pub(super) fn user(tenant: &str, user: &str) -> Invalidation {
    Invalidation::User {
        tenant: TenantId::parse(tenant).unwrap(),
        user: UserId::parse(user).unwrap(),
    }
}

/// A message about an account.
pub(super) fn account(tenant: &str, account: &str) -> Invalidation {
    Invalidation::Account {
        tenant: TenantId::parse(tenant).unwrap(),
        account: AccountId::parse(account).unwrap(),
    }
}

/// A message about a tenant.
pub(super) fn tenant(tenant: &str) -> Invalidation {
    Invalidation::Tenant(TenantId::parse(tenant).unwrap())
}

/// Every kind of message that concerns user 7 of tenant a, who is looked up by his address.
pub(super) fn what_concerns_bob() -> [Invalidation; 6] {
    [
        user("a", "7"),
        user("a", "bob@example.com"),
        account("a", "1"),
        account("a", "m"),
        tenant("a"),
        Invalidation::All,
    ]
}

/// A directory whose unpushed answers live so long, and the absence of one half of it.
pub(super) fn with_life(life: Duration) -> config::Directory {
    config::Directory {
        at: KeyPath::root(),
        source: DirectorySource::File {
            at: KeyPath::root(),
            path: "users.yaml".into(),
        },
        cache: DirectoryCache {
            capacity: 100,
            ttl: life * 10,
            ttl_without_push: life,
            negative_ttl: life / 2,
            stale_if_error: Duration::ZERO,
        },
        limits: DirectoryLimits {
            timeout: life,
            concurrent: 1,
            queue: 1,
        },
        invalidation: config::Invalidation::default(),
        session_tables: BTreeMap::new(),
        session_caches: BTreeMap::new(),
        blacklist: None,
    }
}
