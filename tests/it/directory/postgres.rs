//! A real PostgreSQL: its rows, its locks, its failures.

use std::collections::BTreeSet;

use serde_json::json;

use super::{account_of, five};
use crate::harness::{Database, Request, Scene, Token, until};

const TABLES: &str = r"
CREATE TABLE plans (id bigint PRIMARY KEY, slug text);
CREATE TABLE accounts (id bigint PRIMARY KEY, status text, plan_id bigint);
CREATE TABLE users (id bigint PRIMARY KEY, tenant_id bigint, is_active boolean, role text[], email text, since timestamptz);
INSERT INTO plans VALUES (1, 'pro');
INSERT INTO accounts VALUES (12, 'active', 1), (13, 'closed', NULL), (14, 'active', NULL);
INSERT INTO users VALUES
  (5, 12, true, '{writer,admin}', 'ann@example.test', NULL),
  (6, NULL, true, '{}', NULL, NULL),
  (7, 13, true, NULL, NULL, NULL),
  (8, 14, NULL, '{staff}', NULL, NULL),
  (9, 14, true, '{staff}', NULL, now() + interval '1 hour');
";

const LOOKUP: &str = "SELECT u.id, u.tenant_id AS account, u.is_active AS active,
  COALESCE(a.status = 'active', true) AS account_active, u.role AS roles, u.email, p.slug AS plan,
  u.since AS tokens_valid_after
FROM users u LEFT JOIN accounts a ON a.id = u.tenant_id LEFT JOIN plans p ON p.id = a.plan_id
WHERE u.id = $user::bigint";

fn scene(database: &Database, lookup: &str, more: &str) -> Scene {
    scene_at(&database.url(), lookup, more)
}

fn scene_at(url: &str, lookup: &str, more: &str) -> Scene {
    let lookup = lookup.replace('\n', "\n        ");
    let directory = format!(
        "source:\n  postgres:\n    url: \"${{DATABASE_URL}}\"\n    lookups:\n      default: |\n        {lookup}\n{more}"
    );
    Scene::with(|builder| {
        builder
            .env("DATABASE_URL", url)
            .set(
                "identity",
                "{ attributes: { email: X-Auth-Email, plan: X-Auth-Plan } }",
            )
            .set("directory", &directory)
    })
}

const LONG: &str = "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";
const SHORT: &str =
    "cache: { ttl: 50ms, ttl_without_push: 50ms, negative_ttl: 50ms }\nlimits: { timeout: 1s }";

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

#[test]
fn a_row_is_a_record() {
    let database = Database::with(TABLES);
    let scene = scene(&database, LOOKUP, LONG);
    let (_, seen) = scene.passes(&get("5"));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(seen.header("x-auth-roles"), Some("admin,writer"));
    assert_eq!(seen.header("x-auth-email"), Some("ann@example.test"));
    assert_eq!(seen.header("x-auth-plan"), Some("pro"));
    scene.refuses(&get("6"), 403, "account_missing");
    scene.refuses(&get("7"), 403, "account_inactive");
    scene.refuses(&get("8"), 403, "user_inactive");
    scene.refuses(&get("9"), 401, "token_revoked");
    scene.refuses(&get("10"), 401, "user_unknown");
}

#[test]
fn a_user_that_the_cast_refuses_is_unknown() {
    let database = Database::with(TABLES);
    let scene = scene(&database, LOOKUP, LONG);
    for user in [
        "abc",
        "5.5",
        "99999999999999999999999999",
        "5; DROP TABLE users",
        "' OR 1=1 --",
    ] {
        scene.refuses(&get(user), 401, "user_unknown");
    }
    assert_eq!(database.run("SELECT count(*) FROM users").trim(), "5");
}

#[test]
fn two_rows_are_an_error_and_not_the_first() {
    let database = Database::with(TABLES);
    let lookup = "SELECT u.id, a.id AS account, true AS active FROM users u, accounts a WHERE u.id = $user::bigint";
    let scene = scene(&database, lookup, LONG);
    scene.refuses(&get("5"), 503, "directory_unavailable");
    scene.upstream.assert_untouched();
}

#[test]
fn a_record_of_another_user_is_an_error() {
    let database = Database::with(TABLES);
    let lookup = "SELECT id, tenant_id AS account, is_active AS active FROM users WHERE id = $user::bigint + 4";
    let scene = scene(&database, lookup, LONG);
    let response = scene.gateway.send(&get("5"));
    // A look-up by another key answers the live id; a look-up by id cannot answer another one.
    if response.status() == 200 {
        assert_eq!(scene.upstream.only().header("x-auth-user-id"), Some("9"));
    } else {
        scene.check_refusal(&response, 503, "directory_unavailable");
    }
}

#[test]
fn a_change_counts_as_soon_as_it_is_said() {
    let database = Database::with(TABLES);
    let scene = scene(&database, LOOKUP, LONG);
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    for (sql, message, account) in [
        (
            "UPDATE users SET tenant_id = 14 WHERE id = 5",
            json!({ "tenant": "default", "user": "5" }),
            "14",
        ),
        (
            "UPDATE users SET tenant_id = 12 WHERE id = 5",
            json!({ "tenant": "default", "account": "14" }),
            "12",
        ),
        (
            "UPDATE users SET tenant_id = 14 WHERE id = 5",
            json!({ "tenant": "default" }),
            "14",
        ),
        (
            "UPDATE users SET tenant_id = 12 WHERE id = 5",
            json!({}),
            "12",
        ),
    ] {
        database.run(sql);
        let before = account_of(&scene, &five());
        assert_ne!(before.as_deref(), Some(account), "cached until it is said");
        scene.gateway.invalidate(&message);
        assert_eq!(
            account_of(&scene, &five()).as_deref(),
            Some(account),
            "{message}"
        );
    }
}

#[test]
fn a_push_for_others_forgets_nothing() {
    let database = Database::with(TABLES);
    let scene = scene(&database, LOOKUP, LONG);
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    database.run("UPDATE users SET tenant_id = 14 WHERE id = 5");
    for message in [
        json!({ "tenant": "default", "user": "6" }),
        json!({ "tenant": "other", "user": "5" }),
        json!({ "tenant": "default", "account": "13" }),
        json!({ "tenant": "other" }),
    ] {
        scene.gateway.invalidate(&message);
        assert_eq!(
            account_of(&scene, &five()).as_deref(),
            Some("12"),
            "{message}"
        );
    }
}

/// A look-up that has its row but is held back by a lock, as a slow server would.
const HELD: &str = "SELECT id, tenant_id AS account, is_active AS active FROM users
WHERE id = $user::bigint AND pg_advisory_xact_lock_shared(7)::text IS NOT NULL";

#[test]
fn e16_a_row_read_before_a_push_is_not_used_after_it() {
    for message in [
        json!({ "tenant": "default", "user": "5" }),
        json!({ "tenant": "default", "account": "12" }),
        json!({ "tenant": "default" }),
        json!({}),
    ] {
        let database = Database::with(TABLES);
        let more = format!("{LONG}\nlimits: {{ timeout: 15s }}");
        let scene = scene(&database, HELD, &more);
        let mut holder = database.session();
        holder.run("BEGIN");
        holder.run("SELECT pg_advisory_xact_lock(7)");
        let address = scene.gateway.address();
        let early =
            std::thread::spawn(move || crate::harness::Client::connect(address).exchange(&five()));
        database.wait_for_blocked_session();
        database.run("UPDATE users SET tenant_id = 14 WHERE id = 5");
        scene.gateway.invalidate(&message);
        holder.run("COMMIT");
        let early = early.join().expect("no panic").expect_status(200);
        assert_eq!(
            early.json()["account"],
            "14",
            "the early one, after {message}"
        );
        assert_eq!(
            account_of(&scene, &five()).as_deref(),
            Some("14"),
            "the next one, after {message}"
        );
    }
}

#[test]
fn lost_connections_are_survived() {
    let database = Database::with(TABLES);
    let scene = scene(&database, LOOKUP, SHORT);
    for _ in 0..5 {
        scene.gateway.send(&five()).expect_status(200);
        database.cut_connections();
        until("the look-up works again", || {
            scene.gateway.send(&five()).status() == 200
        });
    }
    for seen in scene.upstream.requests() {
        assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    }
}

#[test]
fn e22_a_database_that_is_down_refuses_and_comes_back() {
    let database = Database::alone_with(TABLES);
    let scene = scene(&database, LOOKUP, SHORT);
    scene.gateway.send(&five()).expect_status(200);
    database.stop();
    until("its absence is noticed", || {
        scene.gateway.send(&five()).status() == 503
    });
    let before = scene.upstream.bytes();
    let response = scene.refuses(&five(), 503, "directory_unavailable");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    // An unknown user is not made up either.
    scene.refuses(&get("10"), 503, "directory_unavailable");
    assert_eq!(scene.upstream.bytes(), before);
    let ready = scene.gateway.admin(&Request::get("/readyz"));
    assert_eq!(ready.status(), 503, "{}", ready.text());
    database.start_again();
    until("it comes back", || {
        scene.gateway.send(&five()).status() == 200
    });
    until("it is ready again", || {
        scene.gateway.admin(&Request::get("/readyz")).status() == 200
    });
}

/// Each way to fail, what brings it about, and what mends it.
const FAILURES: [(&str, &str, &str); 5] = [
    (
        "another schema",
        "ALTER TABLE users RENAME COLUMN tenant_id TO account_id",
        "ALTER TABLE users RENAME COLUMN account_id TO tenant_id",
    ),
    (
        "no table",
        "ALTER TABLE plans RENAME TO gone",
        "ALTER TABLE gone RENAME TO plans",
    ),
    (
        "no right",
        "REVOKE SELECT ON users FROM app",
        "GRANT SELECT ON users TO app",
    ),
    (
        "no connection",
        "ALTER ROLE app CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'",
        "ALTER ROLE app CONNECTION LIMIT -1",
    ),
    (
        "two rows",
        "ALTER TABLE users DROP CONSTRAINT users_pkey; INSERT INTO users SELECT * FROM users WHERE id = 5; INSERT INTO users SELECT 10, 12, true FROM generate_series(1, 2)",
        "DELETE FROM users a USING users b WHERE a.ctid < b.ctid AND a.id = b.id; DELETE FROM users WHERE id = 10",
    ),
];

#[test]
fn e22_whatever_fails_is_503_with_a_time_to_come_back_and_never_an_answer() {
    let database = Database::alone_with(TABLES);
    database.run("CREATE ROLE app LOGIN; GRANT SELECT ON users, accounts, plans TO app");
    let url = database.url().replace("postgres@", "app@");
    let scene = scene_at(&url, LOOKUP, SHORT);
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    let mut waits = BTreeSet::new();
    let mut refused = |what: &str| {
        until(what, || scene.gateway.send(&five()).status() == 503);
        // Somebody who does not exist is not told so while nobody can know.
        for user in ["5", "10", "5", "10"] {
            until("the last answer is forgotten", || {
                scene.gateway.send(&get(user)).status() == 503
            });
            let response = scene.refuses(&get(user), 503, "directory_unavailable");
            let wait = response.header("retry-after").expect("when to come back");
            waits.insert(wait.parse::<u64>().expect("seconds"));
        }
    };
    let passes = |what: &str| {
        until(what, || scene.gateway.send(&five()).status() == 200);
        until(what, || scene.gateway.send(&get("10")).status() == 401);
    };
    for (what, sql, undo) in FAILURES {
        database.run(sql);
        refused(what);
        database.run(undo);
        passes(what);
    }
    let mut holder = database.session();
    holder.run("BEGIN");
    holder.run("LOCK TABLE users");
    refused("no answer in time");
    holder.run("COMMIT");
    passes("an answer again");
    assert!(waits.iter().all(|wait| (1..=3).contains(wait)), "{waits:?}");
    assert!(waits.len() > 1, "all come back together: {waits:?}");
}

#[test]
fn f6_the_database_password_is_never_written() {
    let port = crate::harness::free_port();
    let gateway = crate::harness::Builder::new()
        .not_ready()
        .set("upstreams", "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]")
        .env("DATABASE_URL", &format!("postgres://app:canary-pass-77@127.0.0.1:{port}/x"))
        .set(
            "directory",
            "source: { postgres: { url: \"${DATABASE_URL}\", lookups: { default: \"SELECT id, account, active FROM users WHERE id = $user::bigint\" } } }",
        )
        .start();
    let response = gateway.send(&five());
    assert_eq!(response.status(), 503);
    gateway.audit(|line| line["reason"] == "directory_unavailable");
    for text in [
        gateway.log(),
        gateway.audit_text(),
        response.text(),
        gateway.admin(&Request::get("/readyz")).text(),
    ] {
        assert!(!text.contains("canary-pass-77"), "{text}");
    }
}
