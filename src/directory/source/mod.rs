//! Sources: who is asked for the live mapping.
//!
//! Each source turns its own kind of answer into rows of JSON; [`one_row`] is the only way from
//! rows to an [`Answer`], so "two rows", "no such user" and "a column is missing" mean the same
//! everywhere. A source never remembers an answer (that is the cache's), never decides, and is
//! polled on the control runtime only.

mod blacklist;
mod file;
mod http;
mod idle;
mod mysql;
mod parameters;
mod postgres;
mod queries;
mod redis;
mod reserved;
mod sessions;
mod sqlite;
mod template;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::cache::{Absence, Answer};
use super::error::SourceError;
use super::invalidation::Invalidation;
use super::key::Key;
use super::record::Record;
use crate::config::{self, Fault, KnownTenants, TenantSource};
use crate::ids::TenantId;

pub(super) use blacklist::ListedToken;
use file::FileSource;
use http::HttpSource;
use mysql::MySqlSource;
use parameters::Dialect;
use postgres::PostgresSource;
use queries::Queries;
pub(super) use redis::Caches;
pub(super) use sessions::FoundSession;
use sqlite::SqliteSource;

/// The subject that a probe asks for: nobody's id, and a number to no cast.
const NOBODY: &str = "countersign-probe";

/// Where records come from.
#[derive(Debug)]
pub(super) enum Source {
    File(FileSource),
    Sqlite(SqliteSource),
    Postgres(Box<PostgresSource>),
    MySql(Box<MySqlSource>),
    Http(HttpSource),
}

impl Source {
    /// Prepares a source; reads a file directory, opens no connection.
    pub(super) fn build(
        config: &config::Directory,
        tenants: &config::Tenants,
    ) -> Result<Self, Vec<Fault>> {
        match &config.source {
            config::DirectorySource::File { at, path } => {
                no_tenant_queries(tenants)?;
                FileSource::build(at, path).map(Self::File)
            }
            config::DirectorySource::Http { .. } => {
                no_tenant_queries(tenants)?;
                HttpSource::build(config).map(Self::Http)
            }
            config::DirectorySource::Sqlite { at, path, lookups } => {
                let mut queries = Queries::build(at, lookups, tenants, Dialect::Sqlite)?;
                queries.add_own(config, Dialect::Sqlite);
                Ok(Self::Sqlite(SqliteSource::build(
                    path,
                    queries,
                    &config.limits,
                )))
            }
            config::DirectorySource::Postgres { at, lookups, .. } => {
                let mut queries = Queries::build(at, lookups, tenants, Dialect::Postgres)?;
                queries.add_own(config, Dialect::Postgres);
                PostgresSource::build(config, tenants, queries)
                    .map(|source| Self::Postgres(Box::new(source)))
            }
            config::DirectorySource::MySql { at, lookups, .. } => {
                let mut queries = Queries::build(at, lookups, tenants, Dialect::MySql)?;
                queries.add_own(config, Dialect::MySql);
                MySqlSource::build(config, queries).map(|source| Self::MySql(Box::new(source)))
            }
        }
    }

    /// The database of a blacklist that is another than the directory's.
    pub(super) fn of_blacklist(
        config: &config::Directory,
        blacklist: &config::Blacklist,
        tenants: &config::Tenants,
    ) -> Result<Option<Self>, Vec<Fault>> {
        let Some(database) = &blacklist.database else {
            return Ok(None);
        };
        let (dialect, source) = blacklist_source(config, blacklist, database);
        let queries = Queries {
            blacklist: Some(blacklist::query(blacklist, dialect)),
            ..Queries::default()
        };
        let config = config::Directory {
            source,
            ..config.clone()
        };
        let built = match dialect {
            Dialect::MySql => Self::MySql(Box::new(MySqlSource::build(&config, queries)?)),
            _ => Self::Postgres(Box::new(PostgresSource::build(&config, tenants, queries)?)),
        };
        Ok(Some(built))
    }

    /// Its name in the configuration.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
            Self::MySql(_) => "mysql",
            Self::Http(_) => "http",
        }
    }

    /// Its look-ups, by name.
    pub(super) fn lookups(&self) -> Vec<Arc<str>> {
        match self {
            Self::File(_) | Self::Http(_) => vec!["default".into()],
            Self::Sqlite(source) => source.lookups(),
            Self::Postgres(source) => source.lookups(),
            Self::MySql(source) => source.lookups(),
        }
    }

    /// Whether it answers out of a snapshot of its own, which has to be renewed.
    pub(super) const fn has_snapshot(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Whether it can be asked about nobody, to see whether it answers. A service over HTTP would
    /// take that for a request like any other.
    pub(super) const fn may_be_probed(&self) -> bool {
        matches!(self, Self::Sqlite(_) | Self::Postgres(_) | Self::MySql(_))
    }

    /// Asks for one record.
    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        match self {
            Self::File(source) => Ok(source.find(key)),
            Self::Sqlite(source) => source.find(key).await,
            Self::Postgres(source) => source.find(key).await,
            Self::MySql(source) => source.find(key).await,
            Self::Http(source) => source.find(key).await,
        }
    }

    /// Asks whose host this is.
    pub(super) async fn tenant_of_domain(
        &self,
        query: &Arc<str>,
        host: &str,
    ) -> Result<Option<TenantId>, SourceError> {
        match self {
            Self::Sqlite(source) => source.tenant_of_domain(query, host).await,
            Self::Postgres(source) => source.tenant_of_domain(query, host).await,
            Self::MySql(source) => source.tenant_of_domain(query, host).await,
            Self::File(_) | Self::Http(_) => Err(no_database()),
        }
    }

    /// Asks whether there is such a tenant.
    pub(super) async fn tenant_is_known(
        &self,
        query: &Arc<str>,
        tenant: &TenantId,
    ) -> Result<bool, SourceError> {
        match self {
            Self::Sqlite(source) => source.tenant_is_known(query, tenant).await,
            Self::Postgres(source) => source.tenant_is_known(query, tenant).await,
            Self::MySql(source) => source.tenant_is_known(query, tenant).await,
            Self::File(_) | Self::Http(_) => Err(no_database()),
        }
    }

    /// Asks the table of this credential for a session.
    pub(super) async fn session(
        &self,
        store: usize,
        tenant: &TenantId,
        key: &str,
    ) -> Result<FoundSession, SourceError> {
        match self {
            Self::Sqlite(source) => source.session(store, key).await,
            Self::Postgres(source) => source.session(store, tenant, key).await,
            Self::MySql(source) => source.session(store, key).await,
            Self::File(_) | Self::Http(_) => Err(no_database()),
        }
    }

    /// Asks the blacklist for a token.
    pub(super) async fn token(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<ListedToken, SourceError> {
        match self {
            Self::Sqlite(source) => source.token(id).await,
            Self::Postgres(source) => source.token(tenant, id).await,
            Self::MySql(source) => source.token(id).await,
            Self::File(_) | Self::Http(_) => Err(no_database()),
        }
    }

    /// Renews the snapshot of a source that has one, and says what changed.
    pub(super) async fn reread(&self) -> Vec<Invalidation> {
        match self {
            Self::File(source) => source.reread().await,
            Self::Sqlite(_) | Self::Postgres(_) | Self::MySql(_) | Self::Http(_) => Vec::new(),
        }
    }

    /// Renews the snapshot if what it was read from has changed.
    pub(super) async fn reread_if_changed(&self) -> Vec<Invalidation> {
        match self {
            Self::File(source) => source.reread_if_changed().await,
            Self::Sqlite(_) | Self::Postgres(_) | Self::MySql(_) | Self::Http(_) => Vec::new(),
        }
    }

    /// Why the present snapshot is not the newest one.
    pub(super) fn snapshot_problem(&self) -> Option<String> {
        match self {
            Self::File(source) => source.problem(),
            Self::Sqlite(_) | Self::Postgres(_) | Self::MySql(_) | Self::Http(_) => None,
        }
    }

    /// Connects and tries every query, with a subject that nobody is.
    pub(super) async fn probe(&self) -> Result<(), String> {
        match self {
            Self::File(source) => source.problem().map_or(Ok(()), Err),
            Self::Sqlite(source) => source.probe().await,
            Self::Postgres(source) => source.probe().await,
            Self::MySql(source) => source.probe().await,
            Self::Http(source) => source.probe().await,
        }
    }
}

/// From the rows of a look-up to its answer.
fn one_row(rows: Vec<Map<String, Value>>, key: &Key) -> Result<Answer, SourceError> {
    let mut rows = rows.into_iter();
    let Some(row) = rows.next() else {
        return Ok(Answer::Absent(Absence::User));
    };
    if rows.next().is_some() {
        return Err(SourceError::new(format!(
            "look-up `{}` found more than one row for one subject",
            key.lookup
        )));
    }
    let record = Record::read(row)
        .map_err(|problem| SourceError::new(format!("look-up `{}`: {problem}", key.lookup)))?;
    if record.respells(&key.subject) {
        return Ok(Answer::Absent(Absence::User));
    }
    Ok(Answer::Row(Box::new(record)))
}

/// From the rows of a domain query to the tenant.
fn one_tenant(rows: Vec<Map<String, Value>>) -> Result<Option<TenantId>, SourceError> {
    let mut tenant = None;
    for row in rows {
        let value = row
            .get("tenant")
            .ok_or_else(|| SourceError::new("the domain query has no column `tenant`"))?;
        let found = TenantId::from_json(value)
            .map_err(|e| SourceError::new(format!("the domain query's column `tenant`: {e}")))?;
        if tenant.replace(found).is_some() {
            return Err(SourceError::new(
                "the domain query found more than one row for one host",
            ));
        }
    }
    Ok(tenant)
}

/// Tenant queries need a database.
fn no_tenant_queries(tenants: &config::Tenants) -> Result<(), Vec<Fault>> {
    let remedy = "use a postgres, mysql or sqlite directory, or name the tenants another way";
    let mut faults = Vec::new();
    for (index, source) in tenants.sources.iter().enumerate() {
        if matches!(source, TenantSource::Domain { .. }) {
            let at = tenants.at.key("sources").index(index).key("domain");
            faults.push(Fault::new(&at, "the directory is no database", remedy));
        }
    }
    if matches!(tenants.known, KnownTenants::Query(_)) {
        let at = tenants.at.key("known").key("query");
        faults.push(Fault::new(&at, "the directory is no database", remedy));
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

fn no_database() -> SourceError {
    SourceError::new("the directory is no database")
}

/// Where a blacklist of its own is. A tenant's schema is its schema there too.
fn blacklist_source(
    config: &config::Directory,
    blacklist: &config::Blacklist,
    database: &config::SqlDatabase,
) -> (Dialect, config::DirectorySource) {
    let at = blacklist.at.clone();
    // Its questions have a gate of their own.
    let max_connections = u32::try_from(config.limits.concurrent).unwrap_or(u32::MAX);
    let lookups = std::collections::BTreeMap::new();
    match database {
        config::SqlDatabase::MySql(url) => {
            let source = config::DirectorySource::MySql {
                at,
                url: url.clone(),
                max_connections,
                lookups,
            };
            (Dialect::MySql, source)
        }
        config::SqlDatabase::Postgres(url) => {
            let source = config::DirectorySource::Postgres {
                at,
                url: url.clone(),
                max_connections,
                schema_per_tenant: config.source.has_schema_per_tenant(),
                search_path_also: Vec::new(),
                lookups,
            };
            (Dialect::Postgres, source)
        }
    }
}
