//! MySQL and MariaDB: how the source and the outbox connect to it.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError};

use crate::config::{Fault, Secret};

/// The error number of a statement that names an unknown variable.
pub(super) const UNKNOWN_VARIABLE: u16 = 1193;

/// Reads a URL. Texts come in UTF-8 and times in UTC; otherwise the session is as the server makes
/// it, so that a query means what it means elsewhere.
pub(super) fn options(url: &Secret) -> Result<MySqlConnectOptions, Vec<Fault>> {
    // The error can quote the URL, and so a password.
    let options = MySqlConnectOptions::from_str(url.value.expose()).map_err(|_| {
        vec![Fault::new(
            &url.at,
            "not a MySQL URL",
            "mysql://user:password@host:3306/database?ssl-mode=VERIFY_IDENTITY",
        )]
    })?;
    Ok(options
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .disable_statement_logging())
}

/// The number of a server's error.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// The error as the log and `/readyz` tell it; it never holds the URL.
pub(super) fn blamed(error: &sqlx::Error) -> String {
    match (error, number(error)) {
        (sqlx::Error::Database(database), Some(number)) => {
            format!("{} (error {number})", database.message())
        }
        (error, _) => error.to_string(),
    }
}
