//! Sessions: a question is one statement on a read-only connection of its own.
//!
//! What the server warns of is read behind it: a value that it had to bend to compare it (`5abc` as
//! 5) found no row of its own. A connection is kept only after its question has ended cleanly: one
//! that missed its deadline, or failed, is closed, so no late row can meet another question.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, MySql, Row};

use super::super::super::error::SourceError;
use super::super::super::mysql::{UNKNOWN_VARIABLE, blamed, number};
use super::super::idle::{Idle, Kept};
use super::json;

/// What the server warns of when a value is not what it is compared with (MySQL manual, error
/// reference): `ER_WARN_DATA_OUT_OF_RANGE`, `ER_TRUNCATED_WRONG_VALUE` and its like.
const BENT: [u64; 4] = [1264, 1292, 1366, 1411];

/// A number of at most so many digits is compared as it is.
const SHORT_NUMBER: usize = 15;

#[derive(Debug)]
pub(super) struct Sessions {
    options: MySqlConnectOptions,
    idle: Idle<MySqlConnection>,
    connections: usize,
    limit: Duration,
}

/// One question.
pub(super) struct Ask {
    pub(super) text: Arc<str>,
    pub(super) values: Vec<String>,
}

/// What a question found.
pub(super) enum Found {
    Rows(Vec<Map<String, Value>>),
    /// The server had to bend a value.
    RefusedValue,
}

/// Why a question failed.
pub(super) enum Failed {
    Database(sqlx::Error),
    Answer(SourceError),
}

impl Failed {
    pub(super) fn into_error(self) -> SourceError {
        match self {
            Self::Database(error) => failed(&error),
            Self::Answer(error) => error,
        }
    }
}

impl Sessions {
    pub(super) fn new(options: MySqlConnectOptions, connections: usize, limit: Duration) -> Self {
        let connections = connections.max(1);
        Self {
            options,
            idle: Idle::new(connections),
            connections,
            limit,
        }
    }

    /// Asks, and gives at most two rows.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Found, SourceError> {
        let _place = self.idle.place().await;
        // Every kept connection may have died with the server; after them comes a fresh one.
        for _ in 0..=self.connections {
            let kept = self.idle.take();
            let was_kept = kept.is_some();
            let mut kept = match kept {
                Some(kept) => kept,
                None => Kept::new(self.connect().await?),
            };
            match run(&mut kept.connection, ask).await {
                Ok(found) => {
                    self.idle.put(kept);
                    return Ok(found);
                }
                Err(Failed::Database(error)) if was_kept && is_disconnect(&error) => {}
                Err(error) => return Err(error.into_error()),
            }
        }
        Err(SourceError::new("every connection was lost"))
    }

    pub(super) async fn connect(&self) -> Result<MySqlConnection, SourceError> {
        let connected = MySqlConnection::connect_with(&self.options).await;
        let mut connection = connected.map_err(|e| failed(&e))?;
        let settings = "SET SESSION TRANSACTION READ ONLY; SET SESSION max_error_count = 64";
        for setting in settings.split("; ") {
            let set = sqlx::raw_sql(setting).execute(&mut connection).await;
            set.map_err(|e| failed(&e))?;
        }
        // The deadline is kept here; this ends the work at the server too. Its name there differs.
        let limits = [
            format!(
                "SET SESSION max_statement_time = {:.3}",
                self.limit.as_secs_f64()
            ),
            format!(
                "SET SESSION max_execution_time = {}",
                self.limit.as_millis()
            ),
        ];
        for limit in limits {
            let set = sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut connection);
            match set.await {
                Ok(_) => break,
                Err(error) if number(&error) == Some(UNKNOWN_VARIABLE) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(connection)
    }
}

/// One question. When this gives `Ok`, the connection is clean.
pub(super) async fn run(connection: &mut MySqlConnection, ask: &Ask) -> Result<Found, Failed> {
    let mut query = sqlx::query::<MySql>(AssertSqlSafe(Arc::clone(&ask.text)));
    for value in &ask.values {
        query = query.bind(value.clone());
    }
    let found = query.fetch_all(&mut *connection).await;
    let found = found.map_err(Failed::Database)?;
    let rows = found.iter().map(json::object).collect::<Result<_, _>>();
    let is_short =
        |value: &String| value.len() <= SHORT_NUMBER && value.bytes().all(|b| b.is_ascii_digit());
    if !ask.values.iter().all(is_short) {
        let warnings = sqlx::raw_sql("SHOW WARNINGS").fetch_all(connection).await;
        for warning in warnings.map_err(Failed::Database)? {
            let code = warning.try_get_unchecked::<u64, _>(1);
            if BENT.contains(&code.map_err(Failed::Database)?) {
                return Ok(Found::RefusedValue);
            }
        }
    }
    rows.map(Found::Rows).map_err(Failed::Answer)
}

/// Whether the connection, not the question, is what failed.
fn is_disconnect(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        // The server shuts down, or has ended this connection.
        error => matches!(number(error), Some(1053 | 1077 | 1079 | 1184 | 1317 | 1927)),
    }
}

/// The error as the log tells it.
pub(super) fn failed(error: &sqlx::Error) -> SourceError {
    SourceError::new(blamed(error))
}
