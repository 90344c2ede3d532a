//! Tests of the sqlite directory, on real databases.

use std::collections::BTreeMap;

use super::super::super::cache::Absence;
use super::*;
use crate::config::{self, KeyPath, KnownTenants, TenantSource};
use crate::ids::UserId;

const SCHEMA: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY, tenant TEXT, email TEXT, account INTEGER,
        active BOOLEAN, roles TEXT, since DATETIME, score REAL, photo BLOB);
    INSERT INTO users VALUES
        (5, 'a', 'five@example.com', 12, 1, '[\"b\",\"a\"]', '2026-01-01 00:00:00', 1.5, NULL),
        (6, 'a', 'six@example.com', NULL, 0, 'admin', NULL, NULL, NULL),
        (7, 'b', 'seven@example.com', 12, NULL, NULL, NULL, NULL, x'00ff'),
        (8, 'b', 'twin@example.com', 1, 1, NULL, NULL, NULL, NULL),
        (9, 'b', 'twin@example.com', 2, 1, NULL, NULL, NULL, NULL);
    CREATE TABLE domains (host TEXT, tenant TEXT);
    INSERT INTO domains VALUES ('a.example.com', 'a'), ('two.example.com', 'a'), ('two.example.com', 'b');
";

const BY_ID: &str = "SELECT id, account, active, roles, email, since AS tokens_valid_after, score
    FROM users WHERE id = $user AND tenant = $tenant; -- by id";

const BY_EMAIL: &str = "SELECT id, account, active FROM users WHERE email = $user";

const DOMAIN: &str = "SELECT tenant FROM domains WHERE host = $host";

const KNOWN: &str = "SELECT DISTINCT tenant FROM users";

async fn database(path: &Path, schema: &str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(AssertSqlSafe(schema.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
}

fn tenants() -> config::Tenants {
    config::Tenants {
        at: KeyPath::root().key("tenants"),
        sources: vec![TenantSource::Domain {
            query: DOMAIN.into(),
        }],
        known: KnownTenants::Query(KNOWN.into()),
        default: None,
        several: true,
    }
}

fn source(path: &Path, lookups: &[(&str, &str)], timeout: Duration) -> SqliteSource {
    let lookups: BTreeMap<Arc<str>, Arc<str>> = lookups
        .iter()
        .map(|(name, query)| (Arc::from(*name), Arc::from(*query)))
        .collect();
    let queries = Queries::build(&KeyPath::root(), &lookups, &tenants(), Dialect::Sqlite).unwrap();
    let limits = DirectoryLimits {
        timeout,
        concurrent: 2,
        queue: 10,
    };
    SqliteSource::build(path, queries, &limits)
}

fn key(tenant: &str, lookup: &str, subject: &str) -> Key {
    Key {
        tenant: TenantId::parse(tenant).unwrap(),
        lookup: lookup.into(),
        subject: UserId::parse(subject).unwrap(),
    }
}

const SECOND: Duration = Duration::from_secs(5);

#[tokio::test]
async fn rows_are_read_by_the_type_they_are_stored_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let source = source(&path, &[("default", BY_ID), ("mail", BY_EMAIL)], SECOND);
    source.probe().await.unwrap();
    let Ok(Answer::Row(five)) = source.find(&key("a", "default", "5")).await else {
        panic!("no row")
    };
    assert_eq!(five.user.as_str(), "5");
    assert_eq!(five.account.as_ref().unwrap().as_str(), "12");
    assert!(five.active);
    assert_eq!(*five.roles, [Arc::from("a"), Arc::from("b")]);
    assert_eq!(five.tokens_valid_after.unwrap().as_secs(), 1_767_225_600);
    assert_eq!(five.attributes().get("score").unwrap(), "1.5");
    let Ok(Answer::Row(six)) = source.find(&key("a", "mail", "six@example.com")).await else {
        panic!("no row")
    };
    assert!(six.account.is_none() && !six.active && six.user.as_str() == "6");
    let Ok(Answer::Row(seven)) = source.find(&key("b", "default", "7")).await else {
        panic!("no row")
    };
    assert!(!seven.active);
    assert!(
        source
            .find(&key("b", "mail", "twin@example.com"))
            .await
            .is_err()
    );
    assert!(source.find(&key("b", "other", "7")).await.is_err());
}

#[tokio::test]
async fn e1_e13_whoever_is_not_there_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let source = source(&path, &[("default", BY_ID)], SECOND);
    for (tenant, subject) in [
        ("a", "7"),
        ("b", "5"),
        ("a", "05"),
        ("a", "+5"),
        ("a", "5 OR 1=1"),
        ("a", "x' OR '1'='1"),
    ] {
        assert_eq!(
            source.find(&key(tenant, "default", subject)).await,
            Ok(Answer::Absent(Absence::User)),
            "{tenant} {subject}"
        );
    }
}

#[tokio::test]
async fn tenants_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let source = source(&path, &[("default", BY_ID)], SECOND);
    let a = TenantId::parse("a").unwrap();
    let domain = Arc::from(DOMAIN);
    assert_eq!(
        source.tenant_of_domain(&domain, "a.example.com").await,
        Ok(Some(a.clone()))
    );
    assert_eq!(
        source.tenant_of_domain(&domain, "c.example.com").await,
        Ok(None)
    );
    assert!(
        source
            .tenant_of_domain(&domain, "two.example.com")
            .await
            .is_err()
    );
    let known = Arc::from(KNOWN);
    assert_eq!(source.tenant_is_known(&known, &a).await, Ok(true));
    let other = TenantId::parse("A").unwrap();
    assert_eq!(source.tenant_is_known(&known, &other).await, Ok(false));
}

#[tokio::test]
async fn e22_a_probe_names_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let lookups = [
        (
            "gone",
            "SELECT id, account, active FROM people WHERE id = $user",
        ),
        ("short", "SELECT id, account FROM users WHERE id = $user"),
    ];
    let source = source(&path, &lookups, SECOND);
    assert!(source.probe().await.is_err());
    database(&path, SCHEMA).await;
    let problem = source.probe().await.unwrap_err();
    assert!(problem.contains("people"), "{problem}");
    assert!(problem.contains("no column `active`"), "{problem}");
}

#[tokio::test]
async fn two_columns_of_one_name_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let twice = "SELECT u.id, d.rowid AS id, u.account, u.active FROM users u, domains d WHERE u.id = $user";
    let source = source(&path, &[("default", twice)], SECOND);
    let error = source.find(&key("a", "default", "5")).await.unwrap_err();
    assert!(error.to_string().contains("two columns `id`"), "{error}");
}

#[tokio::test]
async fn a_replaced_database_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let source = source(&path, &[("default", BY_ID)], SECOND);
    let five = key("a", "default", "5");
    assert!(matches!(source.find(&five).await, Ok(Answer::Row(_))));
    let next = folder.path().join("next.db");
    database(
        &next,
        &SCHEMA.replace("'a', 'five@example.com', 12", "'a', 'five@example.com', 13"),
    )
    .await;
    std::fs::rename(&next, &path).unwrap();
    let Ok(Answer::Row(moved)) = source.find(&five).await else {
        panic!("no row")
    };
    assert_eq!(moved.account.unwrap().as_str(), "13");
    std::fs::remove_file(&path).unwrap();
    assert!(source.find(&five).await.is_err());
}

#[tokio::test]
async fn e22_a_query_without_end_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
        SELECT max(x) AS id, 1 AS account, 1 AS active FROM n WHERE x <> $user";
    let source = source(&path, &[("default", endless)], Duration::from_millis(50));
    assert!(source.find(&key("a", "default", "5")).await.is_err());
}

#[tokio::test]
async fn the_database_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    database(&path, SCHEMA).await;
    let writing =
        "WITH x AS (SELECT 1) DELETE FROM users WHERE id = $user RETURNING id, account, active";
    let source = source(&path, &[("default", writing), ("by_id", BY_ID)], SECOND);
    assert!(source.find(&key("a", "default", "5")).await.is_err());
    assert!(matches!(
        source.find(&key("a", "by_id", "5")).await,
        Ok(Answer::Row(_))
    ));
}
