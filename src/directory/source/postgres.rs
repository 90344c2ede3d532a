//! The postgres directory: a look-up is one read-only transaction on a connection of its own.
//!
//! With a schema per tenant, the search path is set inside that transaction, to the tenant's schema
//! alone, after the schema has been found to exist; it is never set on a connection. A connection is
//! kept only after its transaction has ended cleanly: one that missed its deadline, or failed, is
//! closed, so no late row can meet another question. One that turns out to be dead although it was
//! kept is replaced and the question asked again, since asking changes nothing.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Postgres, Row, Statement, Type,
    TypeInfo,
};

use super::super::cache::{Absence, Answer};
use super::super::error::SourceError;
use super::super::key::Key;
use super::super::record::REQUIRED;
use super::super::strict_json;
use super::idle::{Idle, Kept};
use super::parameters::{Dialect, Query};
use super::reserved::{is_reserved, quoted};
use super::{NOBODY, Queries, one_row, one_tenant};
use crate::config::{self, Fault, KnownTenants};
use crate::ids::TenantId;

/// Largest row, as JSON text.
const MAX_ROW: usize = 1024 * 1024;

/// What a cast of a parameter answers for a value that it refuses (PostgreSQL manual, appendix A):
/// `invalid_text_representation` and `numeric_value_out_of_range`. Nobody has such an id.
const REFUSED_VALUE: [&str; 2] = ["22P02", "22003"];

#[derive(Debug)]
pub(in crate::directory) struct PostgresSource {
    options: PgConnectOptions,
    queries: Queries,
    idle: Idle<PgConnection>,
    connections: usize,
    schemas: Option<Schemas>,
    /// Sent at the beginning of each transaction.
    begin: Arc<str>,
}

/// A schema per tenant.
#[derive(Debug)]
struct Schemas {
    /// What stands behind the tenant's schema in the search path.
    also: Vec<String>,
    /// A tenant that is named in the configuration, for the probe.
    example: Option<TenantId>,
}

/// One question.
struct Ask {
    text: Arc<str>,
    values: Vec<String>,
    schema: Option<TenantId>,
}

/// What a question found.
enum Found {
    Rows(Vec<Option<String>>),
    /// A parameter's cast refused its value.
    RefusedValue,
    NoSchema,
}

impl PostgresSource {
    pub(super) fn build(
        config: &config::Directory,
        tenants: &config::Tenants,
        queries: Queries,
    ) -> Result<Self, Vec<Fault>> {
        let config::DirectorySource::Postgres {
            url,
            max_connections,
            schema_per_tenant,
            search_path_also,
            ..
        } = &config.source
        else {
            return Err(Vec::new());
        };
        // The error can quote the URL, and so a password.
        let options = PgConnectOptions::from_str(url.value.expose()).map_err(|_| {
            vec![Fault::new(
                &url.at,
                "not a PostgreSQL URL",
                "postgres://user:password@host:5432/database?sslmode=verify-full",
            )]
        })?;
        let example = match &tenants.known {
            KnownTenants::Listed(listed) => listed.first().cloned(),
            KnownTenants::Any | KnownTenants::Query(_) => None,
        };
        let connections = usize::try_from(*max_connections).unwrap_or(1).max(1);
        let statement_timeout = config.limits.timeout.max(Duration::from_millis(1));
        Ok(Self {
            options: options
                .application_name("countersign")
                .disable_statement_logging(),
            queries,
            idle: Idle::new(connections),
            connections,
            schemas: schema_per_tenant.then(|| Schemas {
                also: search_path_also.clone(),
                example,
            }),
            begin: format!(
                "BEGIN READ ONLY; SET LOCAL statement_timeout = {}",
                statement_timeout
                    .as_millis()
                    .min(i32::MAX.unsigned_abs().into())
            )
            .into(),
        })
    }

    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        let query = self.queries.lookup(&key.lookup)?;
        if self.never_a_tenant(&key.tenant) {
            return Ok(Answer::Absent(Absence::Tenant));
        }
        let found = self
            .ask(Ask {
                text: framed(query),
                values: query.values(Some(key.subject.as_str()), Some(key.tenant.as_str()), None),
                schema: self.schemas.as_ref().map(|_| key.tenant.clone()),
            })
            .await?;
        match found {
            Found::Rows(rows) => one_row(objects(rows)?, key),
            Found::RefusedValue => Ok(Answer::Absent(Absence::User)),
            Found::NoSchema => Ok(Answer::Absent(Absence::Tenant)),
        }
    }

    pub(super) async fn tenant_of_domain(
        &self,
        query: &Arc<str>,
        host: &str,
    ) -> Result<Option<TenantId>, SourceError> {
        let query = self.queries.domain(query)?;
        let found = self
            .ask(Ask {
                text: framed(query),
                values: query.values(None, None, Some(host)),
                schema: None,
            })
            .await?;
        match found {
            Found::Rows(rows) => {
                let tenant = one_tenant(objects(rows)?)?;
                Ok(tenant.filter(|tenant| !self.never_a_tenant(tenant)))
            }
            Found::RefusedValue | Found::NoSchema => Ok(None),
        }
    }

    pub(super) async fn tenant_is_known(
        &self,
        query: &Arc<str>,
        tenant: &TenantId,
    ) -> Result<bool, SourceError> {
        let query = self.queries.known(query)?;
        if self.never_a_tenant(tenant) {
            return Ok(false);
        }
        let mut values = query.values(None, Some(tenant.as_str()), None);
        values.push(tenant.as_str().to_owned());
        let text = format!(
            "SELECT 'known' FROM (\n{}\n) AS countersign_row \
             WHERE countersign_row.tenant::text = {} LIMIT 1",
            query.text,
            Query::placeholder(Dialect::Postgres, values.len())
        );
        let found = self
            .ask(Ask {
                text: text.into(),
                values,
                schema: None,
            })
            .await?;
        Ok(matches!(found, Found::Rows(rows) if !rows.is_empty()))
    }

    /// Connects, prepares every query, looks at its columns, and runs it for nobody.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let mut connection = self.connect().await.map_err(|e| blamed(&e).to_string())?;
        let mut problems = Vec::new();
        let tenants = self
            .queries
            .domains
            .values()
            .chain(self.queries.known.values());
        for query in tenants {
            if let Err(problem) = self
                .try_query(&mut connection, query, &["tenant"], None)
                .await
            {
                problems.push(format!("tenant query: {problem}"));
            }
        }
        let example = self.schemas.as_ref().map(|schemas| &schemas.example);
        for (name, query) in &self.queries.lookups {
            let tried = match example {
                None => {
                    self.try_query(&mut connection, query, &REQUIRED, None)
                        .await
                }
                Some(Some(tenant)) => {
                    self.try_query(&mut connection, query, &REQUIRED, Some(tenant.clone()))
                        .await
                }
                // Without a tenant's name there is no schema to try it in.
                Some(None) => Ok(()),
            };
            if let Err(problem) = tried {
                problems.push(format!("look-up `{name}`: {problem}"));
            }
        }
        drop(connection);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    fn never_a_tenant(&self, tenant: &TenantId) -> bool {
        self.schemas
            .as_ref()
            .is_some_and(|schemas| is_reserved(tenant.as_str(), &schemas.also))
    }

    async fn ask(&self, ask: Ask) -> Result<Found, SourceError> {
        let _place = self.idle.place().await;
        // Every kept connection may have died with the server; after them comes a fresh one.
        for _ in 0..=self.connections {
            let kept = self.idle.take();
            let was_kept = kept.is_some();
            let mut kept = match kept {
                Some(kept) => kept,
                None => Kept::new(self.connect().await.map_err(|e| blamed(&e))?),
            };
            match self.run(&mut kept.connection, &ask).await {
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

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&self.options).await
    }

    /// One transaction. When this gives `Ok`, the connection is clean.
    async fn run(&self, connection: &mut PgConnection, ask: &Ask) -> Result<Found, sqlx::Error> {
        self.open(connection).await?;
        let found = match self.enter(connection, ask.schema.as_ref()).await? {
            true => query(connection, ask).await?,
            false => Found::NoSchema,
        };
        close(connection).await?;
        Ok(found)
    }

    async fn open(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(Arc::clone(&self.begin)))
            .execute(connection)
            .await
            .map(drop)
    }

    /// Makes the tenant's schema the search path, until the transaction ends; `false` when there is
    /// no such schema.
    async fn enter(
        &self,
        connection: &mut PgConnection,
        schema: Option<&TenantId>,
    ) -> Result<bool, sqlx::Error> {
        let (Some(schema), Some(schemas)) = (schema, &self.schemas) else {
            return Ok(true);
        };
        let path: Vec<String> = std::iter::once(schema.as_str())
            .chain(schemas.also.iter().map(String::as_str))
            .map(quoted)
            .collect();
        sqlx::query::<Postgres>(
            "SELECT pg_catalog.set_config('search_path', $1, true) \
             FROM pg_catalog.pg_namespace WHERE nspname::text = $2",
        )
        .bind(path.join(", "))
        .bind(schema.as_str().to_owned())
        .fetch_optional(connection)
        .await
        .map(|row| row.is_some())
    }

    async fn try_query(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        columns: &[&str],
        schema: Option<TenantId>,
    ) -> Result<(), String> {
        let described = self.columns(connection, query, schema.as_ref()).await;
        // A failed statement leaves the transaction failed; ending it makes room for the next.
        let closed = close(connection).await;
        let described = described.map_err(|e| blamed(&e).to_string())?;
        closed.map_err(|e| blamed(&e).to_string())?;
        let Some(described) = described else {
            return Err("the schema of a known tenant does not exist".into());
        };
        wrong_column(&described, columns).map_or(Ok(()), Err)?;
        let ask = Ask {
            text: framed(query),
            values: query.values(Some(NOBODY), Some(NOBODY), Some(NOBODY)),
            schema,
        };
        match self.run(connection, &ask).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = close(connection).await;
                Err(blamed(&error).to_string())
            }
        }
    }

    /// Names and types of the columns; `None` when there is no such schema.
    async fn columns(
        &self,
        connection: &mut PgConnection,
        query: &Query,
        schema: Option<&TenantId>,
    ) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
        self.open(connection).await?;
        if !self.enter(connection, schema).await? {
            return Ok(None);
        }
        let types: Vec<_> = query
            .parameters
            .iter()
            .map(|_| <String as Type<Postgres>>::type_info())
            .collect();
        let text = sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(Arc::clone(&query.text)));
        let statement = connection.prepare_with(text, &types).await?;
        let columns = statement.columns().iter();
        Ok(Some(
            columns
                .map(|column| {
                    (
                        column.name().to_owned(),
                        column.type_info().name().to_owned(),
                    )
                })
                .collect(),
        ))
    }
}

/// The query in a frame that makes JSON of whatever types its columns have. `to_json` keeps two
/// columns of one name apart, which `to_jsonb` does not.
fn framed(query: &Query) -> Arc<str> {
    format!(
        "SELECT to_json(countersign_row)::text FROM (\n{}\n) AS countersign_row LIMIT 2",
        query.text
    )
    .into()
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

async fn close(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK")
        .execute(connection)
        .await
        .map(drop)
}

fn objects(rows: Vec<Option<String>>) -> Result<Vec<Map<String, Value>>, SourceError> {
    rows.into_iter()
        .map(|row| match row {
            Some(row) if row.len() <= MAX_ROW => {
                strict_json::object(row.as_bytes()).map_err(SourceError::new)
            }
            Some(_) => Err(SourceError::new("the row is too large")),
            None => Err(SourceError::new("the row is NULL")),
        })
        .collect()
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

fn blamed(error: &sqlx::Error) -> SourceError {
    SourceError::new(match error {
        sqlx::Error::Database(database) => match database.code() {
            Some(code) => format!("{} (SQLSTATE {code})", database.message()),
            None => database.message().to_owned(),
        },
        error => error.to_string(),
    })
}

/// The first column that is missing, or whose type can never be read as what it is for.
fn wrong_column(columns: &[(String, String)], required: &[&str]) -> Option<String> {
    let missing = required
        .iter()
        .find(|name| !columns.iter().any(|(column, _)| column == *name))
        .map(|name| format!("the query has no column `{name}`"));
    let mistyped = || {
        columns.iter().find_map(|(name, kind)| {
            let right = match name.as_str() {
                "active" | "account_active" => {
                    matches!(kind.as_str(), "BOOL" | "INT2" | "INT4" | "INT8")
                }
                "id" | "account" | "tenant" => {
                    !matches!(
                        kind.as_str(),
                        "BOOL"
                            | "FLOAT4"
                            | "FLOAT8"
                            | "JSON"
                            | "JSONB"
                            | "BYTEA"
                            | "DATE"
                            | "TIMESTAMP"
                            | "TIMESTAMPTZ"
                    ) && !kind.ends_with("[]")
                }
                "tokens_valid_after" => {
                    !matches!(kind.as_str(), "BOOL" | "JSON" | "JSONB" | "BYTEA")
                }
                "roles" => !matches!(kind.as_str(), "BOOL" | "BYTEA"),
                _ => true,
            };
            let wanted = match name.as_str() {
                "active" | "account_active" => "a boolean",
                "tokens_valid_after" => "a time",
                "roles" => "text, or an array of it",
                _ => "text or an integer",
            };
            (!right).then(|| format!("column `{name}` has the type {kind}, and should be {wanted}"))
        })
    };
    missing.or_else(mistyped)
}
