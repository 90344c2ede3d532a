//! Sessions: a question is one read-only transaction on a connection of its own.
//!
//! With a schema per tenant, the search path is set inside that transaction, to the tenant's schema
//! alone, after the schema has been found to exist; it is never set on a connection. A connection is
//! kept only after its transaction has ended cleanly: one that missed its deadline, or failed, is
//! closed, so no late row can meet another question. One that turns out to be dead although it was
//! kept is replaced and the question asked again, since asking changes nothing.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Postgres, Row};

use super::super::super::error::SourceError;
use super::super::idle::{Idle, Kept};
use super::super::reserved::quoted;
use crate::directory::postgres;
use crate::ids::TenantId;

/// What a cast of a parameter answers for a value that it refuses (PostgreSQL manual, appendix A):
/// `invalid_text_representation` and `numeric_value_out_of_range`. Nobody has such an id.
const REFUSED_VALUE: [&str; 2] = ["22P02", "22003"];

#[derive(Debug)]
pub(super) struct Sessions {
    options: PgConnectOptions,
    idle: Idle<PgConnection>,
    connections: usize,
    /// What stands behind the tenant's schema in the search path.
    also: Vec<String>,
    /// Sent at the beginning of each transaction.
    begin: Arc<str>,
}

/// One question.
pub(super) struct Ask {
    pub(super) text: Arc<str>,
    pub(super) values: Vec<String>,
    /// The schema that it is asked in; `None` asks in the connection's own.
    pub(super) schema: Option<Schema>,
}

/// A tenant's schema.
#[derive(Clone)]
pub(super) struct Schema {
    pub(super) tenant: TenantId,
    /// Whether nothing stands behind it in the search path.
    pub(super) alone: bool,
}

/// What a question found.
pub(super) enum Found {
    Rows(Vec<Option<String>>),
    /// A parameter's cast refused its value.
    RefusedValue,
    NoSchema,
}

impl Sessions {
    pub(super) fn new(
        options: PgConnectOptions,
        connections: usize,
        limit: Duration,
        also: Vec<String>,
    ) -> Self {
        let connections = connections.max(1);
        let limit = limit.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        Self {
            options,
            idle: Idle::new(connections),
            connections,
            also,
            begin: format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}").into(),
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
                None => Kept::new(self.connect().await.map_err(|e| blamed(&e))?),
            };
            match self.run(&mut kept.connection, ask).await {
                Ok(found) => {
                    self.idle.put(kept);
                    return Ok(found);
                }
                Err(error) if was_kept && is_disconnect(&error) => {}
                Err(error) => return Err(blamed(&error)),
            }
        }
        Err(SourceError::new("every connection was lost"))
    }

    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    /// One transaction. When this gives `Ok`, the connection is clean.
    pub(super) async fn run(
        &self,
        connection: &mut PgConnection,
        ask: &Ask,
    ) -> Result<Found, sqlx::Error> {
        self.open(connection).await?;
        let found = if self.enter(connection, ask.schema.as_ref()).await? {
            query(connection, ask).await?
        } else {
            Found::NoSchema
        };
        close(connection).await?;
        Ok(found)
    }

    pub(super) async fn open(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(Arc::clone(&self.begin)))
            .execute(connection)
            .await
            .map(drop)
    }

    /// Makes the tenant's schema the search path, until the transaction ends; `false` when there is
    /// no such schema. The cast to `name`, which the index wants, would cut a long name short.
    pub(super) async fn enter(
        &self,
        connection: &mut PgConnection,
        schema: Option<&Schema>,
    ) -> Result<bool, sqlx::Error> {
        let Some(Schema { tenant, alone }) = schema else {
            return Ok(true);
        };
        let also = self.also.iter().filter(|_| !alone).map(String::as_str);
        let path: Vec<String> = std::iter::once(tenant.as_str())
            .chain(also)
            .map(quoted)
            .collect();
        sqlx::query::<Postgres>(
            "SELECT pg_catalog.set_config('search_path', $1, true) \
             FROM pg_catalog.pg_namespace WHERE nspname = $2::name AND nspname::text = $2",
        )
        .bind(path.join(", "))
        .bind(tenant.as_str().to_owned())
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
    }
}

async fn query(connection: &mut PgConnection, ask: &Ask) -> Result<Found, sqlx::Error> {
    let mut query = sqlx::query::<Postgres>(AssertSqlSafe(Arc::clone(&ask.text)));
    for value in &ask.values {
        query = query.bind(value.clone());
    }
    match query.fetch_all(connection).await {
        Ok(rows) => rows
            .iter()
            .map(|row: &PgRow| row.try_get::<Option<String>, _>(0))
            .collect::<Result<_, _>>()
            .map(Found::Rows),
        Err(sqlx::Error::Database(error))
            if error
                .code()
                .is_some_and(|code| REFUSED_VALUE.contains(&&*code)) =>
        {
            Ok(Found::RefusedValue)
        }
        Err(error) => Err(error),
    }
}

/// Ends the transaction, failed or not.
pub(super) async fn close(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK")
        .execute(connection)
        .await
        .map(drop)
}

/// Whether the connection, not the question, is what failed.
fn is_disconnect(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
        // Class 08: connection exception; 57P01 to 57P05: the server shut it down.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        _ => false,
    }
}

/// The error as the log tells it.
pub(super) fn blamed(error: &sqlx::Error) -> SourceError {
    SourceError::new(postgres::blamed(error))
}
