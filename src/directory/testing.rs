//! What tests of this room's caches are configured with.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{self, DirectoryCache, DirectoryLimits, DirectorySource, KeyPath};

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
