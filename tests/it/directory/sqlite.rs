//! SQLite: the embedded database, asked by real SQL.

use super::{account_of, five};
use crate::harness::{Recorder, Request, Scene, Token, execute_sqlite};

const TABLES: &str = r#"
CREATE TABLE users (id INTEGER PRIMARY KEY, tenant TEXT, account INTEGER, active INTEGER, roles TEXT, email TEXT);
INSERT INTO users VALUES (5, 'default', 12, 1, '["writer","admin"]', 'ann@example.test');
INSERT INTO users VALUES (6, 'default', NULL, 1, NULL, NULL);
INSERT INTO users VALUES (7, 'default', 14, 0, 'staff', NULL);
INSERT INTO users VALUES (8, 'default', 14, NULL, 'staff', NULL);
"#;

fn scene() -> Scene {
    let upstream = Recorder::start();
    Scene::before(upstream, |builder| {
        execute_sqlite(&builder.folder().join("app.db"), TABLES);
        builder
            .set("identity", "{ attributes: { email: X-Auth-Email } }")
            .set(
                "directory",
                "source:
  sqlite:
    path: app.db
    lookups:
      default: SELECT id, account, active, roles, email FROM users WHERE id = $user AND tenant = $tenant
cache: { ttl: 1h, ttl_without_push: 1h }",
            )
    })
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

#[test]
fn a_row_is_a_record() {
    let scene = scene();
    let (_, seen) = scene.passes(&get("5"));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(seen.header("x-auth-roles"), Some("admin,writer"));
    assert_eq!(seen.header("x-auth-email"), Some("ann@example.test"));
    scene.refuses(&get("6"), 403, "account_missing");
    scene.refuses(&get("7"), 403, "user_inactive");
    scene.refuses(&get("8"), 403, "user_inactive");
    scene.refuses(&get("9"), 401, "user_unknown");
    scene.refuses(&get("5 OR 1=1"), 401, "user_unknown");
}

#[test]
fn a_changed_row_counts_as_soon_as_it_is_said() {
    let scene = scene();
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    let path = scene.gateway.folder().join("app.db");
    execute_sqlite(&path, "UPDATE users SET account = 14 WHERE id = 5");
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"), "cached");
    scene
        .gateway
        .invalidate(&serde_json::json!({ "tenant": "default", "account": "12" }));
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("14"));
}
