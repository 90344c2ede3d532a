//! Directories in front of that server, and the tables they look into.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use countersign::config::{self, DirectorySource, KeyPath, KnownTenants, Secret, Tenants};
use countersign::directory::{Directory, DirectoryError, Invalidation, Live};
use countersign::ids::{TenantId, UserId};
use countersign::telemetry::{Metrics, Redacted};

pub(crate) const USERS: &str = "
    CREATE TABLE users (id bigint PRIMARY KEY, account int, active boolean, email text,
        roles text[], memberships jsonb, since timestamptz, score numeric(10,2), key uuid);
    INSERT INTO users VALUES
        (1, 12, true, 'one@example.com', '{staff,admin}', '[12, \"14\"]', '2026-01-01 01:00:00+01', 1.50,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
        (2, NULL, NULL, 'two@example.com', NULL, NULL, NULL, NULL, NULL),
        (3, 1, true, 'twin@example.com', NULL, NULL, NULL, NULL, NULL),
        (4, 1, true, 'twin@example.com', NULL, NULL, NULL, NULL, NULL);
";

pub(crate) const BY_ID: &str = "SELECT id, account, active, email, roles, memberships, score,
        since AS tokens_valid_after
    FROM users WHERE id = $user::bigint; -- by id";

pub(crate) fn configured(url: &str, lookups: &[(&str, &str)]) -> config::Directory {
    config::Directory {
        at: KeyPath::root(),
        source: DirectorySource::Postgres {
            at: KeyPath::root(),
            url: Secret {
                at: KeyPath::root(),
                value: Redacted::new(url.to_owned()),
                file: None,
            },
            max_connections: 2,
            schema_per_tenant: false,
            search_path_also: Vec::new(),
            lookups: lookups
                .iter()
                .map(|(name, query)| (Arc::from(*name), Arc::from(*query)))
                .collect::<BTreeMap<_, _>>(),
        },
        cache: config::DirectoryCache {
            capacity: 1000,
            ttl: Duration::from_mins(10),
            ttl_without_push: Duration::from_mins(10),
            negative_ttl: Duration::from_mins(10),
            stale_if_error: Duration::ZERO,
        },
        limits: config::DirectoryLimits {
            timeout: Duration::from_secs(20),
            concurrent: 4,
            queue: 100,
        },
        session_tables: BTreeMap::new(),
        blacklist: None,
        session_caches: BTreeMap::new(),
        invalidation: config::Invalidation::default(),
    }
}

pub(crate) fn per_schema(config: &mut config::Directory, also: &[&str]) {
    let DirectorySource::Postgres {
        schema_per_tenant,
        search_path_also,
        max_connections,
        ..
    } = &mut config.source
    else {
        panic!("not a postgres directory")
    };
    *schema_per_tenant = true;
    *search_path_also = also.iter().map(ToString::to_string).collect();
    // One connection serves every tenant, so that a search path that stayed on it would be seen.
    *max_connections = 1;
}

pub(crate) fn tenants() -> Tenants {
    Tenants {
        at: KeyPath::root(),
        sources: Vec::new(),
        known: KnownTenants::Any,
        default: None,
        several: true,
    }
}

pub(crate) fn build(config: &config::Directory, tenants: &Tenants) -> Arc<Directory> {
    Directory::build(
        config,
        tenants,
        Arc::new(Metrics::new()),
        tokio::runtime::Handle::current(),
    )
    .unwrap()
}

pub(crate) fn tenant(text: &str) -> TenantId {
    TenantId::parse(text).unwrap()
}

pub(crate) async fn live(
    directory: &Directory,
    of: &str,
    lookup: &str,
    subject: &str,
) -> Result<Live, DirectoryError> {
    let subject = UserId::parse(subject).unwrap();
    directory
        .live(&tenant(of), &Arc::from(lookup), &subject)
        .await
}

/// The account, `none` for none, `unknown` for an unknown user.
pub(crate) async fn account(
    directory: &Directory,
    of: &str,
    user: &str,
) -> Result<String, DirectoryError> {
    Ok(match live(directory, of, "default", user).await? {
        Live::Known(row) => {
            assert_eq!(row.tenant(), &tenant(of));
            assert_eq!(row.user().as_str(), user);
            row.account().map_or("none".into(), ToString::to_string)
        }
        Live::Unknown => "unknown".into(),
    })
}

pub(crate) fn user(user: &str) -> Invalidation {
    Invalidation::User {
        tenant: tenant("a"),
        user: UserId::parse(user).unwrap(),
    }
}
