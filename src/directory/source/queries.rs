//! Queries: every question that a database source can be asked, prepared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::error::SourceError;
use super::super::record::REQUIRED;
use super::parameters::{self, Dialect, Query};
use super::{blacklist, sessions};
use crate::config::{self, Fault, KnownTenants, TenantSource};

/// What a query about tenants is called.
pub(super) const TENANT_QUERY: &str = "tenant query";
/// And that of the blacklist.
pub(super) const BLACKLIST: &str = "blacklist";

/// Every query of a database source, with its parameters numbered.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) lookups: BTreeMap<Arc<str>, Query>,
    pub(super) domains: BTreeMap<Arc<str>, Query>,
    pub(super) known: BTreeMap<Arc<str>, Query>,
    /// By the index of their credential.
    pub(super) sessions: BTreeMap<usize, Query>,
    /// Of the blacklist, where it is in this database.
    pub(super) blacklist: Option<Query>,
}

impl Queries {
    pub(super) fn build(
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
        let mut queries = Self::default();
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

    /// Adds the queries that the directory writes by itself.
    pub(super) fn add_own(&mut self, config: &config::Directory, dialect: Dialect) {
        self.sessions = match dialect {
            Dialect::Sqlite => sessions::sqlite(&config.session_tables),
            Dialect::MySql => sessions::mysql(&config.session_tables),
            Dialect::Postgres => sessions::postgres(
                &config.session_tables,
                config.source.has_schema_per_tenant(),
            ),
        };
        let here = |blacklist: &&config::Blacklist| blacklist.database.is_none();
        let blacklist = config.blacklist.as_ref().filter(here);
        self.blacklist = blacklist.map(|blacklist| blacklist::query(blacklist, dialect));
    }

    /// Each query, what it is called, and the columns that it needs.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, &Query, &'static [&'static str])> {
        let lookups = self.lookups.iter();
        let lookups =
            lookups.map(|(name, query)| (format!("look-up `{name}`"), query, &REQUIRED[..]));
        let tenants = self.domains.values().chain(self.known.values());
        let tenants = tenants.map(|query| (TENANT_QUERY.to_owned(), query, &["tenant"][..]));
        let sessions = self.sessions.values();
        let sessions =
            sessions.map(|query| ("session table".to_owned(), query, &sessions::COLUMNS[..]));
        let blacklist = self.blacklist.iter();
        let blacklist =
            blacklist.map(|query| (BLACKLIST.to_owned(), query, &blacklist::COLUMNS[..]));
        lookups.chain(tenants).chain(sessions).chain(blacklist)
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.lookups.keys().cloned().collect()
    }

    pub(super) fn lookup(&self, name: &Arc<str>) -> Result<&Query, SourceError> {
        self.lookups
            .get(name)
            .ok_or_else(|| SourceError::new(format!("there is no look-up `{name}`")))
    }

    pub(super) fn domain(&self, query: &Arc<str>) -> Result<&Query, SourceError> {
        self.domains.get(query).ok_or_else(no_such_query)
    }

    pub(super) fn session(&self, store: usize) -> Result<&Query, SourceError> {
        self.sessions
            .get(&store)
            .ok_or_else(|| SourceError::new("the credential has no table of sessions"))
    }

    pub(super) fn blacklist(&self) -> Result<&Query, SourceError> {
        let none = || SourceError::new("there is no blacklist in this database");
        self.blacklist.as_ref().ok_or_else(none)
    }

    pub(super) fn known(&self, query: &Arc<str>) -> Result<&Query, SourceError> {
        self.known.get(query).ok_or_else(no_such_query)
    }
}

fn no_such_query() -> SourceError {
    SourceError::new("the query was not prepared for this directory")
}
