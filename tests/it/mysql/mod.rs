//! MySQL as a source of records and of pushes: the same promises, against a real MariaDB.

mod outbox;
mod source;

use crate::directory::until;
use crate::harness::{Builder, Gateway, MariaDb, Request, Scene, Token};

const TABLES: &str = r"
CREATE TABLE accounts (id bigint PRIMARY KEY, status varchar(20) NOT NULL DEFAULT 'active', note text);
CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint, is_active boolean NOT NULL DEFAULT true,
  role varchar(50), seen datetime);
INSERT INTO accounts (id) VALUES (12), (13), (14);
INSERT INTO users (id, account_id) VALUES (5, 12), (6, 13), (7, 14);
";

const LOOKUP: &str = "SELECT u.id, u.account_id AS account, u.is_active AS active, a.status = 'active' AS account_active, u.role AS roles FROM users u LEFT JOIN accounts a ON a.id = u.account_id WHERE u.id = $user";

/// A directory with this look-up and these further keys.
fn directory(lookup: &str, more: &str) -> String {
    format!(
        "source:\n  mysql:\n    url: \"${{DATABASE_URL}}\"\n    lookups:\n      default: |\n        {}\n{more}",
        lookup.replace('\n', "\n        ")
    )
}

fn configured(builder: Builder, database: &MariaDb, lookup: &str, more: &str) -> Builder {
    builder
        .env("DATABASE_URL", &database.url())
        .set("directory", &directory(lookup, more))
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

/// The account that the upstream is told, or the reason of the refusal.
fn account_of(scene: &Scene, user: &str) -> String {
    let response = scene.gateway.send(&get(user));
    match response.status() {
        200 => response.json()["account"]
            .as_str()
            .unwrap_or("none")
            .to_owned(),
        _ => response.reason().unwrap_or_default(),
    }
}

#[track_caller]
fn until_account(scene: &Scene, user: &str, account: &str) {
    let mut last = String::new();
    until(&format!("user {user} is {account}"), || {
        last = account_of(scene, user);
        last == account
    });
}

#[track_caller]
fn until_push(gateway: &Gateway, up: bool) {
    until(&format!("push is up: {up}"), || {
        let ready = gateway.admin(&Request::get("/readyz")).json();
        ready["components"]["invalidation"]["ready"] == up
    });
}
