//! The sqlite directory: an embedded database, opened for reading only.
//!
//! Connections are reopened when another file has taken the database's place: an open one would
//! read the old file for ever. A query that outlives its deadline is interrupted.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use serde_json::{Map, Number, Value};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Decode, Executor, Row, SqlSafeStr, Sqlite, Statement,
    TypeInfo, ValueRef,
};

use super::super::cache::Answer;
use super::super::error::SourceError;
use super::super::key::Key;
use super::blacklist::{self, ListedToken};
use super::idle::{Idle, Kept};
use super::parameters::{Dialect, Parameter, Query};
use super::sessions::{self, FoundSession};
use super::{NOBODY, Queries, one_row, one_tenant};
use crate::config::DirectoryLimits;
use crate::ids::TenantId;

/// Most connections; each has a thread of its own.
const MAX_CONNECTIONS: usize = 4;

/// How many virtual machine steps pass between two looks at the deadline.
const STEPS: i32 = 4096;

#[derive(Debug)]
pub(in crate::directory) struct SqliteSource {
    path: PathBuf,
    queries: Queries,
    idle: Idle<Opened>,
    timeout: Duration,
}

/// A connection, and the device and inode of the file that it has open.
#[derive(Debug)]
struct Opened {
    connection: SqliteConnection,
    file: (u64, u64),
}

impl SqliteSource {
    pub(super) fn build(path: &Path, queries: Queries, limits: &DirectoryLimits) -> Self {
        Self {
            path: path.to_owned(),
            queries,
            idle: Idle::new(limits.concurrent.min(MAX_CONNECTIONS)),
            timeout: limits.timeout,
        }
    }

    pub(super) fn lookups(&self) -> Vec<Arc<str>> {
        self.queries.names()
    }

    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        let query = self.queries.lookup(&key.lookup)?;
        let values = query.values(Some(key.subject.as_str()), Some(key.tenant.as_str()), None);
        one_row(self.ask(&query.text, values).await?, key)
    }

    pub(super) async fn tenant_of_domain(
        &self,
        query: &Arc<str>,
        host: &str,
    ) -> Result<Option<TenantId>, SourceError> {
        let query = self.queries.domain(query)?;
        let values = query.values(None, None, Some(host));
        one_tenant(self.ask(&query.text, values).await?)
    }

    pub(super) async fn tenant_is_known(
        &self,
        query: &Arc<str>,
        tenant: &TenantId,
    ) -> Result<bool, SourceError> {
        let query = self.queries.known(query)?;
        let mut values = query.values(None, Some(tenant.as_str()), None);
        values.push(tenant.as_str().to_owned());
        let text = format!(
            "SELECT 1 FROM (\n{}\n) WHERE CAST(tenant AS TEXT) = {} LIMIT 1",
            query.text,
            Query::placeholder(Dialect::Sqlite, values.len())
        );
        Ok(!self.ask(&text.into(), values).await?.is_empty())
    }

    pub(super) async fn session(
        &self,
        store: usize,
        key: &str,
    ) -> Result<FoundSession, SourceError> {
        let query = self.queries.session(store)?;
        let values = query.values(None, None, Some(key));
        sessions::one_session(self.ask(&query.text, values).await?, key)
    }

    pub(super) async fn token(&self, id: &str) -> Result<ListedToken, SourceError> {
        let query = self.queries.blacklist()?;
        let values = query.values(None, None, Some(id));
        blacklist::one_token(&self.ask(&query.text, values).await?, id)
    }

    /// Prepares every query, looks at its columns, and runs it for nobody.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for (what, query, columns) in self.queries.all() {
            if let Err(problem) = self.try_query(query, columns).await {
                problems.push(format!("{what}: {problem}"));
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    async fn try_query(&self, query: &Query, columns: &[&str]) -> Result<(), String> {
        let mut kept = self.connection().await.map_err(|e| e.to_string())?;
        let connection = &mut kept.connection.connection;
        let statement = connection
            .prepare(AssertSqlSafe(Arc::clone(&query.text)).into_sql_str())
            .await
            .map_err(|e| e.to_string())?;
        let names: Vec<&str> = statement.columns().iter().map(Column::name).collect();
        if let Some(missing) = columns.iter().find(|column| !names.contains(column)) {
            return Err(format!("the query has no column `{missing}`"));
        }
        drop(statement);
        self.idle.put(kept);
        let values = query.values(Some(NOBODY), Some(NOBODY), Some(NOBODY));
        self.ask(&query.text, values)
            .await
            .map(drop)
            .map_err(|e| e.to_string())
    }

    /// Runs one query and gives its first two rows.
    async fn ask(
        &self,
        text: &Arc<str>,
        values: Vec<String>,
    ) -> Result<Vec<Map<String, Value>>, SourceError> {
        let _place = self.idle.place().await;
        let mut kept = self.connection().await?;
        let deadline = Instant::now() + self.timeout;
        let connection = &mut kept.connection.connection;
        connection
            .lock_handle()
            .await
            .map_err(|e| failed(&e))?
            .set_progress_handler(STEPS, move || Instant::now() < deadline);
        let mut query = sqlx::query::<Sqlite>(AssertSqlSafe(Arc::clone(text)));
        for value in values {
            query = query.bind(value);
        }
        let mut rows = Vec::new();
        {
            let mut found = query.fetch(&mut *connection);
            while rows.len() < 2
                && let Some(row) = found.try_next().await.map_err(|e| failed(&e))?
            {
                rows.push(object(&row)?);
            }
        }
        self.idle.put(kept);
        Ok(rows)
    }

    async fn connection(&self) -> Result<Kept<Opened>, SourceError> {
        let meta = std::fs::metadata(&self.path)
            .map_err(|e| SourceError::new(format!("the database file: {e}")))?;
        let file = (meta.dev(), meta.ino());
        while let Some(kept) = self.idle.take() {
            if kept.connection.file == file {
                return Ok(kept);
            }
        }
        let connection = SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(self.timeout)
            .disable_statement_logging()
            .connect()
            .await
            .map_err(|e| failed(&e))?;
        Ok(Kept::new(Opened { connection, file }))
    }
}

fn failed(error: &sqlx::Error) -> SourceError {
    SourceError::new(error.to_string())
}

/// A row as JSON, each value by the type it is stored with.
fn object(row: &SqliteRow) -> Result<Map<String, Value>, SourceError> {
    let mut members = Map::new();
    for (index, column) in row.columns().iter().enumerate() {
        let value = row
            .try_get_raw(index)
            .map_err(|e| failed(&e))
            .and_then(|value| json(value, column.name()))?;
        if members.insert(column.name().to_owned(), value).is_some() {
            return Err(SourceError::new(format!(
                "the query has two columns `{}`",
                column.name()
            )));
        }
    }
    Ok(members)
}

fn json(value: SqliteValueRef<'_>, column: &str) -> Result<Value, SourceError> {
    let unreadable = || SourceError::new(format!("column `{column}` cannot be read"));
    if value.is_null() {
        return Ok(Value::Null);
    }
    let kind = value.type_info().name().to_owned();
    match kind.as_str() {
        "REAL" => <f64 as Decode<Sqlite>>::decode(value)
            .ok()
            .and_then(Number::from_f64)
            .map(Value::Number)
            .ok_or_else(unreadable),
        "BLOB" => Err(SourceError::new(format!(
            "column `{column}` is a BLOB; select text or numbers"
        ))),
        "TEXT" => <String as Decode<Sqlite>>::decode(value)
            .map(Value::String)
            .map_err(|_| unreadable()),
        _ => <i64 as Decode<Sqlite>>::decode(value)
            .map(|number| Value::Number(number.into()))
            .map_err(|_| unreadable()),
    }
}

impl Query {
    /// What is bound, in the order of the placeholders.
    pub(super) fn values(
        &self,
        user: Option<&str>,
        tenant: Option<&str>,
        other: Option<&str>,
    ) -> Vec<String> {
        let value = |parameter: &Parameter| match parameter {
            Parameter::User => user,
            Parameter::Tenant => tenant,
            Parameter::Host | Parameter::Session | Parameter::Token => other,
        };
        let values = self.parameters.iter().map(value);
        values.map(|v| v.unwrap_or_default().to_owned()).collect()
    }
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
