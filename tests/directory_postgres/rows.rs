//! What rows say, whose they are, and that an invalidation is not outlived.

use std::sync::Arc;

use countersign::directory::{DirectoryError, Invalidation, Live};
use countersign::ids::AccountId;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::server::{Server, execute, until_blocked};
use crate::setup::{
    BY_ID, USERS, account, build, configured, live, per_schema, tenant, tenants, user,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_every_type_are_read() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let lookups = [
        ("default", BY_ID),
        (
            "mail",
            "SELECT id, account, active FROM users WHERE email = $user",
        ),
        (
            "key",
            "SELECT id, account, active FROM users WHERE key = $user::uuid",
        ),
        (
            "by_key",
            "SELECT key AS id, account, active FROM users WHERE key = $user::uuid",
        ),
        (
            "twice",
            "SELECT u.*, v.id FROM users u, users v WHERE u.id = $user::bigint AND v.id = 2",
        ),
        (
            "tenant",
            "WITH x AS (SELECT $tenant || '$user' AS id) SELECT id, 1 AS account, true AS active FROM x WHERE $user <> ''",
        ),
    ];
    let directory = build(&configured(&database.url, &lookups), &tenants());
    directory.probe().await.unwrap();
    let Ok(Live::Known(one)) = live(&directory, "a", "default", "1").await else {
        panic!("no row")
    };
    assert_eq!(one.account().unwrap().as_str(), "12");
    assert_eq!(one.roles(), [Arc::from("admin"), Arc::from("staff")]);
    let memberships: Vec<&str> = one.memberships().iter().map(AccountId::as_str).collect();
    assert_eq!(memberships, ["12", "14"]);
    assert_eq!(one.tokens_valid_after().unwrap().as_secs(), 1_767_225_600);
    assert_eq!(one.attributes().get("email").unwrap(), "one@example.com");
    assert!(one.active() && one.account_active());
    let Ok(Live::Known(two)) = live(&directory, "a", "mail", "two@example.com").await else {
        panic!("no row")
    };
    assert!(!two.active() && two.account().is_none());
    assert_eq!(two.user().as_str(), "2");
    assert_eq!(two.subject().as_str(), "two@example.com");
    let key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for lookup in ["key", "by_key"] {
        let found = live(&directory, "a", lookup, key).await;
        assert!(matches!(found, Ok(Live::Known(_))), "{lookup}");
    }
    let respelt = live(&directory, "a", "by_key", &key.to_uppercase()).await;
    assert!(matches!(respelt, Ok(Live::Unknown)));
    let Ok(Live::Known(named)) = live(&directory, "a", "tenant", "1").await else {
        panic!("no row")
    };
    assert_eq!(named.user().as_str(), "a$user");
    for (lookup, subject) in [("mail", "twin@example.com"), ("twice", "1"), ("none", "1")] {
        let error = live(&directory, "a", lookup, subject).await.unwrap_err();
        assert!(matches!(error, DirectoryError::Unavailable(_)), "{lookup}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e13_what_a_cast_refuses_is_an_unknown_user() {
    let server = Server::shared();
    let database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    for subject in [
        "9",
        "x",
        "1.0",
        "01",
        "+1",
        "0x1",
        "99999999999999999999999",
        "1; DROP TABLE users",
        "1' OR '1'='1",
    ] {
        assert_eq!(
            account(&directory, "a", subject).await.unwrap(),
            "unknown",
            "{subject}"
        );
    }
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "12");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_an_invalidation_while_the_table_is_locked() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    let directory = build(
        &configured(&database.url, &[("default", BY_ID)]),
        &tenants(),
    );
    let mut writer = PgConnection::connect(&database.url).await.unwrap();
    execute(
        &mut writer,
        "BEGIN; LOCK TABLE users; UPDATE users SET account = 13 WHERE id = 1",
    )
    .await;
    let asking = {
        let directory = Arc::clone(&directory);
        tokio::spawn(async move { account(&directory, "a", "1").await })
    };
    until_blocked(&mut database.admin, 1).await;
    execute(&mut writer, "COMMIT").await;
    directory.invalidate(&user("1")).await;
    assert_eq!(account(&directory, "a", "1").await.unwrap(), "13");
    assert_eq!(asking.await.unwrap().unwrap(), "13");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e16_an_old_row_that_arrives_after_an_invalidation_is_thrown_away() {
    let server = Server::shared();
    let mut database = server.database(USERS).await;
    // The statement sees the rows as they are when it starts, then waits for the lock.
    let held = "SELECT id, account, active FROM users WHERE id = $user::bigint
        AND (SELECT pg_advisory_xact_lock_shared(77)::text) IS NOT NULL";
    let everything = [
        user("1"),
        Invalidation::Account {
            tenant: tenant("a"),
            account: AccountId::parse("12").unwrap(),
        },
        Invalidation::Tenant(tenant("a")),
        Invalidation::All,
    ];
    for what in everything {
        execute(
            &mut database.admin,
            "UPDATE users SET account = 12 WHERE id = 1",
        )
        .await;
        let directory = build(&configured(&database.url, &[("default", held)]), &tenants());
        let mut holder = PgConnection::connect(&database.url).await.unwrap();
        execute(&mut holder, "SELECT pg_advisory_lock(77)").await;
        let asking = {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { account(&directory, "a", "1").await })
        };
        until_blocked(&mut database.admin, 1).await;
        execute(
            &mut database.admin,
            "UPDATE users SET account = 13 WHERE id = 1",
        )
        .await;
        directory.invalidate(&what).await;
        execute(&mut holder, "SELECT pg_advisory_unlock(77)").await;
        assert_eq!(
            account(&directory, "a", "1").await.unwrap(),
            "13",
            "{what:?}"
        );
        assert_eq!(asking.await.unwrap().unwrap(), "13", "{what:?}");
        assert_eq!(
            account(&directory, "a", "1").await.unwrap(),
            "13",
            "{what:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e1_a_schema_per_tenant_is_that_tenant_alone() {
    let server = Server::shared();
    let weird = "we\"ird, public; --";
    let schemas: Vec<String> = [("acme", 1), ("Acme", 2), ("we\"\"ird, public; --", 3)]
        .iter()
        .map(|(name, account)| {
            format!(
                "CREATE SCHEMA \"{name}\"; CREATE TABLE \"{name}\".users (id bigint, account int, active boolean);
                 INSERT INTO \"{name}\".users VALUES (5, {account}, true);"
            )
        })
        .collect();
    let database = server
        .database(&format!(
            "{} CREATE SCHEMA empty; CREATE SCHEMA shared;
             CREATE TABLE shared.plans (name text); INSERT INTO shared.plans VALUES ('pro');
             CREATE TABLE public.users (id bigint, account int, active boolean);
             INSERT INTO public.users VALUES (5, 99, true);",
            schemas.concat()
        ))
        .await;
    let lookups = [
        (
            "default",
            "SELECT id, account, active FROM users WHERE id = $user::bigint",
        ),
        (
            "plan",
            "SELECT id, account, active, name AS plan FROM users, plans WHERE id = $user::bigint",
        ),
    ];
    let mut config = configured(&database.url, &lookups);
    per_schema(&mut config, &["shared"]);
    let directory = build(&config, &tenants());
    directory.probe().await.unwrap();
    for round in 0..3 {
        assert_eq!(
            account(&directory, "acme", "5").await.unwrap(),
            "1",
            "{round}"
        );
        assert_eq!(account(&directory, "Acme", "5").await.unwrap(), "2");
        assert_eq!(account(&directory, weird, "5").await.unwrap(), "3");
        for unknown in [
            "public",
            "pg_catalog",
            "pg_temp",
            "information_schema",
            "shared",
            "$user",
            "ACME",
            "nowhere",
            &format!("acme{}", "x".repeat(100)),
        ] {
            assert_eq!(
                account(&directory, unknown, "5").await,
                Err(DirectoryError::TenantUnknown),
                "{unknown}"
            );
        }
        // The schema is there and the table is not: the public one does not stand in for it.
        assert!(matches!(
            account(&directory, "empty", "5").await,
            Err(DirectoryError::Unavailable(_))
        ));
        directory.invalidate(&Invalidation::All).await;
    }
    let Ok(Live::Known(row)) = live(&directory, "acme", "plan", "5").await else {
        panic!("no row")
    };
    assert_eq!(row.attributes().get("plan").unwrap(), "pro");
}
