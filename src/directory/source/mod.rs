//! Sources: who is asked for the live mapping.
//!
//! Each source turns its own kind of answer into rows of JSON; [`one_row`] is the only way from
//! rows to an [`Answer`], so "two rows", "no such user" and "a column is missing" mean the same
//! everywhere. A source never remembers an answer (that is the cache's), never decides, and is
//! polled on the control runtime only.

mod file;
mod http;
mod idle;
mod mysql;
mod parameters;
mod postgres;
mod redis;
mod reserved;
mod sessions;
mod sqlite;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::cache::{Absence, Answer};
use super::error::SourceError;
use super::invalidation::Invalidation;
use super::key::Key;
use super::record::Record;
use crate::config::{self, Fault, KnownTenants, TenantSource};
use crate::ids::TenantId;

use file::FileSource;
use http::HttpSource;
use mysql::MySqlSource;
use parameters::{Dialect, Query};
use postgres::PostgresSource;
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
                queries.sessions = sessions::sqlite(&config.session_tables);
                Ok(Self::Sqlite(SqliteSource::build(
                    path,
                    queries,
                    &config.limits,
                )))
            }
            config::DirectorySource::Postgres {
                at,
                lookups,
                schema_per_tenant,
                ..
            } => {
                let mut queries = Queries::build(at, lookups, tenants, Dialect::Postgres)?;
                queries.sessions = sessions::postgres(&config.session_tables, *schema_per_tenant);
                PostgresSource::build(config, tenants, queries)
                    .map(|source| Self::Postgres(Box::new(source)))
            }
            config::DirectorySource::MySql { at, lookups, .. } => {
                let mut queries = Queries::build(at, lookups, tenants, Dialect::MySql)?;
                queries.sessions = sessions::mysql(&config.session_tables);
                MySqlSource::build(config, queries).map(|source| Self::MySql(Box::new(source)))
            }
        }
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

/// Every query of a database source, with its parameters numbered.
#[derive(Debug)]
struct Queries {
    lookups: BTreeMap<Arc<str>, Query>,
    domains: BTreeMap<Arc<str>, Query>,
    known: BTreeMap<Arc<str>, Query>,
    /// By the index of their credential.
    sessions: BTreeMap<usize, Query>,
}

impl Queries {
    fn build(
        at: &config::KeyPath,
        lookups: &BTreeMap<Arc<str>, Arc<str>>,
        tenants: &config::Tenants,
        dialect: Dialect,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut read = |at: &config::KeyPath, query: &Arc<str>, kind| match Query::read(
            query, dialect, kind,
        ) {
            Ok(read) => Some(read),
            Err(problem) => {
                faults.push(Fault::new(at, problem, kind.remedy()));
                None
            }
        };
        let mut queries = Self {
            lookups: BTreeMap::new(),
            domains: BTreeMap::new(),
            known: BTreeMap::new(),
            sessions: BTreeMap::new(),
        };
        for (name, query) in lookups {
            let at = at.key("lookups").key(name);
            let read = read(&at, query, parameters::Kind::Lookup);
            queries
                .lookups
                .extend(read.map(|read| (Arc::clone(name), read)));
        }
        for (index, source) in tenants.sources.iter().enumerate() {
            if let TenantSource::Domain { query } = source {
                let at = tenants.at.key("sources").index(index).key("domain.query");
                let read = read(&at, query, parameters::Kind::Domain);
                queries
                    .domains
                    .extend(read.map(|read| (Arc::clone(query), read)));
            }
        }
        if let KnownTenants::Query(query) = &tenants.known {
            let at = tenants.at.key("known").key("query");
            let read = read(&at, query, parameters::Kind::Known);
            queries
                .known
                .extend(read.map(|read| (Arc::clone(query), read)));
        }
        if lookups.is_empty() {
            faults.push(Fault::new(
                &at.key("lookups"),
                "no look-up is named",
                "write at least `default: SELECT … AS id, … AS account, … AS active … WHERE … = $user`",
            ));
        }
        if faults.is_empty() {
            Ok(queries)
        } else {
            Err(faults)
        }
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.lookups.keys().cloned().collect()
    }

    fn lookup(&self, name: &Arc<str>) -> Result<&Query, SourceError> {
        self.lookups
            .get(name)
            .ok_or_else(|| SourceError::new(format!("there is no look-up `{name}`")))
    }

    fn domain(&self, query: &Arc<str>) -> Result<&Query, SourceError> {
        self.domains.get(query).ok_or_else(no_such_query)
    }

    fn session(&self, store: usize) -> Result<&Query, SourceError> {
        self.sessions
            .get(&store)
            .ok_or_else(|| SourceError::new("the credential has no table of sessions"))
    }

    fn known(&self, query: &Arc<str>) -> Result<&Query, SourceError> {
        self.known.get(query).ok_or_else(no_such_query)
    }
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

fn no_such_query() -> SourceError {
    SourceError::new("the query was not prepared for this directory")
}
