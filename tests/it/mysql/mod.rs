//! MySQL as a source of records and of pushes: the same promises, against a real MariaDB.

pub(crate) mod outbox;
mod source;

use crate::harness::{Builder, MariaDb, Request, Token};
use crate::live::{account_of, until_account, until_push};

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
