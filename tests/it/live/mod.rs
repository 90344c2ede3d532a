//! Live means live: a change in the app's database is the gateway's answer, pushed and not waited
//! for, whatever happens to the channel on the way.
//!
//! Records live an hour here while push is up, so that nothing but a push explains a new answer.

mod notify;
pub(crate) mod outbox;
mod redis;
mod revocations;
pub(crate) mod triggers;

use crate::harness::{Gateway, Request, Scene, Token, until};

const TABLES: &str = r"
CREATE TABLE accounts (id bigint PRIMARY KEY, status text NOT NULL DEFAULT 'active', note text);
CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint, is_active boolean NOT NULL DEFAULT true,
  role text, seen timestamptz, settings json);
INSERT INTO accounts (id) VALUES (12), (13), (14);
INSERT INTO users (id, account_id) SELECT 5, 12 UNION ALL SELECT 6, 13 UNION ALL SELECT 7, 14;
";

const LOOKUP: &str = "SELECT u.id, u.account_id AS account, u.is_active AS active, a.status = 'active' AS account_active, u.role AS roles FROM users u LEFT JOIN accounts a ON a.id = u.account_id WHERE u.id = $user::bigint";

const PUSHED: &str = "postgres_notify: { channel: countersign, tables: [ { table: users, user: id, watch: [account_id, is_active, role] }, { table: accounts, account: id, watch: [status] } ] }";

/// A directory in this database, with this under `invalidation`; long lives while push is up.
fn directory(invalidation: &str) -> String {
    directory_with(
        invalidation,
        "{ ttl: 1h, ttl_without_push: 100ms, negative_ttl: 1h }",
    )
}

fn directory_with(invalidation: &str, cache: &str) -> String {
    format!(
        "source: {{ postgres: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{LOOKUP}\" }} }} }}\n\
         cache: {cache}\nlimits: {{ timeout: 2s }}\ninvalidation: {{ {invalidation} }}"
    )
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

/// The account that the upstream is told.
pub(crate) fn account_of(scene: &Scene, user: &str) -> String {
    account_for(scene, &get(user))
}

fn account_for(scene: &Scene, request: &Request) -> String {
    let response = scene.gateway.send(request);
    match response.status() {
        200 => response.json()["account"]
            .as_str()
            .unwrap_or("none")
            .to_owned(),
        _ => response.reason().unwrap_or_default(),
    }
}

/// Waits until the answer for this user is this one.
#[track_caller]
pub(crate) fn until_account(scene: &Scene, user: &str, account: &str) {
    let mut last = String::new();
    until(&format!("user {user} is {account}"), || {
        last = account_of(scene, user);
        last == account
    });
}

/// Waits until push is up, or down, everywhere that it is told.
#[track_caller]
pub(crate) fn until_push(gateway: &Gateway, up: bool) {
    until(&format!("push is up: {up}"), || {
        gateway.metric("countersign_push_up") == u64::from(up)
    });
    let ready = gateway
        .admin(&Request::get("/readyz"))
        .expect_status(200)
        .json();
    assert_eq!(ready["components"]["invalidation"]["ready"], up, "{ready}");
    let status = if up { "ready" } else { "degraded" };
    assert_eq!(ready["status"], status, "{ready}");
}
