//! The probe: every query is prepared, its columns looked at, and it is run for nobody.
//!
//! What is wrong with a query comes out when the gateway starts or is checked, by the names of
//! look-up and column, and not one user at a time.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Column, Executor, Postgres, SqlSafeStr, Statement, Type, TypeInfo};

use super::super::parameters::Query;
use super::super::queries::{BLACKLIST, TENANT_QUERY};
use super::session::{Ask, Schema, Sessions, blamed, close};
use super::{NOBODY, PostgresSource, framed};

pub(super) async fn probe(source: &PostgresSource) -> Result<(), String> {
    let sessions = &source.sessions;
    let connected = sessions.connect().await;
    let mut connection = connected.map_err(|e| blamed(&e).to_string())?;
    let mut problems = Vec::new();
    let queries = &source.queries;
    for query in queries.domains.values().chain(queries.known.values()) {
        let tried = try_query(sessions, &mut connection, query, &["tenant"], None).await;
        problems.extend(
            tried
                .err()
                .map(|problem| format!("{TENANT_QUERY}: {problem}")),
        );
    }
    // Without a tenant's name there is no schema to try the others in.
    if !source.schema_per_tenant || source.example.is_some() {
        let own = |(what, query, required): (String, _, _)| {
            let alone = what == BLACKLIST;
            (what, query, required, alone)
        };
        let tenants = |(what, ..): &(String, _, _)| what != TENANT_QUERY;
        for (what, query, required, alone) in queries.all().filter(tenants).map(own) {
            let example = source.example.as_ref();
            let schema = example.and_then(|tenant| source.schema(tenant, alone));
            let tried = try_query(sessions, &mut connection, query, required, schema).await;
            problems.extend(tried.err().map(|problem| format!("{what}: {problem}")));
        }
    }
    drop(connection);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

async fn try_query(
    sessions: &Sessions,
    connection: &mut PgConnection,
    query: &Query,
    required: &[&str],
    schema: Option<Schema>,
) -> Result<(), String> {
    let described = columns(sessions, connection, query, schema.as_ref()).await;
    // A failed statement leaves the transaction failed; ending it makes room for the next.
    let closed = close(connection).await;
    let described = described.map_err(|e| blamed(&e).to_string())?;
    closed.map_err(|e| blamed(&e).to_string())?;
    let Some(described) = described else {
        return Err("the schema of a known tenant does not exist".into());
    };
    wrong_column(&described, required).map_or(Ok(()), Err)?;
    let ask = Ask {
        text: framed(query),
        values: query.values(Some(NOBODY), Some(NOBODY), Some(NOBODY)),
        schema,
    };
    match sessions.run(connection, &ask).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let _ = close(connection).await;
            Err(blamed(&error).to_string())
        }
    }
}

/// Names and types of the columns; `None` when there is no such schema.
async fn columns(
    sessions: &Sessions,
    connection: &mut PgConnection,
    query: &Query,
    schema: Option<&Schema>,
) -> Result<Option<Vec<(String, String)>>, sqlx::Error> {
    sessions.open(connection).await?;
    if !sessions.enter(connection, schema).await? {
        return Ok(None);
    }
    let types: Vec<_> = query
        .parameters
        .iter()
        .map(|_| <String as Type<Postgres>>::type_info())
        .collect();
    let text = AssertSqlSafe(Arc::clone(&query.text)).into_sql_str();
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
