//! PostgreSQL: how the source, push and the outbox connect to it, and how its errors are told.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::config::{Fault, Secret};

/// Reads a URL; `name` is what the server lists the connection by.
pub(super) fn options(url: &Secret, name: &str) -> Result<PgConnectOptions, Vec<Fault>> {
    // The error can quote the URL, and so a password.
    let options = PgConnectOptions::from_str(url.value.expose()).map_err(|_| {
        vec![Fault::new(
            &url.at,
            "not a PostgreSQL URL",
            "postgres://user:password@host:5432/database?sslmode=verify-full",
        )]
    })?;
    Ok(options.application_name(name).disable_statement_logging())
}

/// The error as the log and `/readyz` tell it; it never holds the URL.
pub(super) fn blamed(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => match database.code() {
            Some(code) => format!("{} (SQLSTATE {code})", database.message()),
            None => database.message().to_owned(),
        },
        // Only where sqlx wants a pool around the one connection, as for LISTEN.
        sqlx::Error::PoolTimedOut => "the server does not answer".into(),
        error => error.to_string(),
    }
}
