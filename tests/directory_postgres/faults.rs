//! What happens when the server is slow, goes away, or is asked the wrong thing.

use std::sync::Arc;
use std::time::Duration;

use countersign::config::{KnownTenants, TenantSource, Tenants};
use countersign::directory::{DirectoryError, Invalidation};

use crate::server::{Server, execute};
use crate::setup::{BY_ID, USERS, account, build, configured, per_schema, tenant, tenants};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_a_late_row_meets_no_other_question() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let slow = "SELECT id, account, active FROM users WHERE id = $user::bigint
        AND CASE WHEN id = 1 THEN (SELECT pg_advisory_xact_lock_shared(78)::text) IS NOT NULL ELSE true END";
    let mut config = configured(&database.url, &[("default", slow)]);
    config.limits.timeout = Duration::from_millis(300);
    config.limits.concurrent = 1;
    let directory = build(&config, &tenants());
    assert_eq!(account(&directory, "a", "2").await.unwrap(), "none");
    execute(&mut database.admin, "SELECT pg_advisory_lock(78)").await;
    assert!(account(&directory, "a", "1").await.is_err());
    execute(&mut database.admin, "SELECT pg_advisory_unlock(78)").await;
    for (user, expected) in [("3", "1"), ("1", "12"), ("2", "none"), ("9", "unknown")] {
        assert_eq!(account(&directory, "a", user).await.unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_lost_connections_are_replaced() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    for _ in 0..5 {
        let (one, two) = tokio::join!(account(&directory, "a", "1"), account(&directory, "a", "3"));
        assert_eq!((one.unwrap().as_str(), two.unwrap().as_str()), ("12", "1"));
        execute(
            &mut database.admin,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'countersign'",
        )
        .await;
        directory.invalidate(&Invalidation::All).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_server_that_goes_and_comes_back() {
    // Its own, since the others must not notice.
    let server = Server::new();
    let database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    directory.start();
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
    assert!(directory.status().ready);
    server.stop();
    directory.invalidate(&Invalidation::All).await;
    for user in ["1", "9"] {
        assert!(matches!(
            account(&directory, "a", user).await,
            Err(DirectoryError::Unavailable(_))
        ));
    }
    assert!(!directory.status().ready);
    assert!(directory.probe().await.is_err());
    server.start();
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
    assert_eq!(account(&directory, "a", "9").await.unwrap(), "unknown");
    assert!(directory.status().ready);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_are_asked_for() {
    let server = Server::shared();
    let domain = "SELECT schema_name AS tenant FROM domains WHERE domain = $host";
    let known = "SELECT schema_name AS tenant FROM domains";
    let mut database = server
        .database(
            "CREATE TABLE domains (domain text, schema_name text);
             INSERT INTO domains VALUES ('a.example.com', 'acme'), ('www.example.com', 'public'),
                ('two.example.com', 'x'), ('two.example.com', 'y');",
        )
        .await;
    let tenants = Tenants {
        sources: vec![TenantSource::Domain {
            query: domain.into(),
        }],
        known: KnownTenants::Query(known.into()),
        ..tenants()
    };
    let lookup = "SELECT 1 AS id, 1 AS account, true AS active WHERE $user = '1'";
    let mut config = configured(&database.url, &[("default", lookup)]);
    per_schema(&mut config, &[]);
    let directory = build(&config, &tenants);
    directory.probe().await.unwrap();
    let (domain, known) = (Arc::from(domain), Arc::from(known));
    let of = |host: &'static str| directory.tenant_of_domain(&domain, host);
    assert_eq!(of("a.example.com").await, Ok(Some(tenant("acme"))));
    assert_eq!(of("b.example.com").await, Ok(None));
    assert_eq!(of("www.example.com").await, Ok(None));
    assert!(of("two.example.com").await.is_err());
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("acme")).await,
        Ok(true)
    );
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("beta")).await,
        Ok(false)
    );
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("public")).await,
        Ok(false)
    );
    execute(
        &mut database.admin,
        "INSERT INTO domains VALUES ('b.example.com', 'beta')",
    )
    .await;
    assert_eq!(of("b.example.com").await, Ok(None));
    directory
        .invalidate(&Invalidation::Tenant(tenant("beta")))
        .await;
    assert_eq!(of("b.example.com").await, Ok(Some(tenant("beta"))));
    assert_eq!(
        directory.tenant_is_known(&known, &tenant("beta")).await,
        Ok(true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_probe_names_every_query_that_is_wrong() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let lookups = [
        (
            "gone",
            "SELECT id, account, active FROM people WHERE id = $user::bigint",
        ),
        (
            "short",
            "SELECT id, account FROM users WHERE id = $user::bigint",
        ),
        (
            "text",
            "SELECT id, account, email AS active FROM users WHERE id = $user::bigint",
        ),
        (
            "uncast",
            "SELECT id, account, active FROM users WHERE id = $user",
        ),
        ("fine", BY_ID),
    ];
    let directory = build(&configured(&database.url, &lookups), &tenants());
    let problem = directory.probe().await.unwrap_err();
    for expected in [
        "`gone`",
        "people",
        "`short`: the query has no column `active`",
        "`text`: column `active` has the type TEXT",
        "`uncast`",
    ] {
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
    assert!(!problem.contains("`fine`"), "{problem}");
    assert!(!directory.status().ready);
}
