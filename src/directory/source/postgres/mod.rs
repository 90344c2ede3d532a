//! The postgres directory: rows of a real database, by queries that the operator wrote.
//!
//! A query stands in a frame that makes JSON of whatever types its columns have (`mod.rs`), runs in
//! a read-only transaction of its own on a connection that is never shared (`session.rs`), and is
//! tried out before anybody relies on it (`probe.rs`).

mod probe;
mod session;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::cache::{Absence, Answer};
use super::super::error::SourceError;
use super::super::key::Key;
use super::super::strict_json;
use super::blacklist::{self, ListedToken};
use super::parameters::{Dialect, Query};
use super::reserved::is_reserved;
use super::sessions::{self, FoundSession};
use super::{NOBODY, Queries, one_row, one_tenant};
use crate::config::{self, Fault, KnownTenants};
use crate::directory::postgres::options;
use crate::ids::TenantId;

use session::{Ask, Found, Schema, Sessions};

/// Largest row, as JSON text.
const MAX_ROW: usize = 1024 * 1024;

#[derive(Debug)]
pub(in crate::directory) struct PostgresSource {
    sessions: Sessions,
    queries: Queries,
    schema_per_tenant: bool,
    /// What stands behind the tenant's schema in the search path, and so is no tenant's.
    shared_schemas: Vec<String>,
    /// A tenant that is named in the configuration, in whose schema a probe can look.
    example: Option<TenantId>,
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
        let options = options(url, "countersign")?;
        let example = match &tenants.known {
            KnownTenants::Listed(listed) => listed.first().cloned(),
            KnownTenants::Any | KnownTenants::Query(_) => None,
        };
        let sessions = Sessions::new(
            options,
            usize::try_from(*max_connections).unwrap_or(1),
            config.limits.timeout,
            search_path_also.clone(),
        );
        Ok(Self {
            sessions,
            queries,
            schema_per_tenant: *schema_per_tenant,
            shared_schemas: search_path_also.clone(),
            example,
        })
    }

    pub(super) fn lookups(&self) -> Vec<Arc<str>> {
        self.queries.names()
    }

    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        let query = self.queries.lookup(&key.lookup)?;
        if self.never_a_tenant(&key.tenant) {
            return Ok(Answer::Absent(Absence::Tenant));
        }
        let found = self
            .sessions
            .ask(&Ask {
                text: framed(query),
                values: query.values(Some(key.subject.as_str()), Some(key.tenant.as_str()), None),
                schema: self.schema(&key.tenant, false),
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
            .sessions
            .ask(&Ask {
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
            .sessions
            .ask(&Ask {
                text: text.into(),
                values,
                schema: None,
            })
            .await?;
        Ok(matches!(found, Found::Rows(rows) if !rows.is_empty()))
    }

    pub(super) async fn session(
        &self,
        store: usize,
        tenant: &TenantId,
        key: &str,
    ) -> Result<FoundSession, SourceError> {
        let query = self.queries.session(store)?;
        if self.never_a_tenant(tenant) {
            return Ok(FoundSession::NoTenant);
        }
        let found = self
            .sessions
            .ask(&Ask {
                text: framed(query),
                values: query.values(None, None, Some(key)),
                schema: self.schema(tenant, false),
            })
            .await?;
        match found {
            Found::Rows(rows) => sessions::one_session(objects(rows)?, key),
            Found::RefusedValue => Ok(FoundSession::NoSession),
            Found::NoSchema => Ok(FoundSession::NoTenant),
        }
    }

    pub(super) async fn token(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<ListedToken, SourceError> {
        let query = self.queries.blacklist()?;
        if self.never_a_tenant(tenant) {
            return Ok(ListedToken::NoTenant);
        }
        let found = self
            .sessions
            .ask(&Ask {
                text: framed(query),
                values: query.values(None, None, Some(id)),
                schema: self.schema(tenant, true),
            })
            .await?;
        match found {
            Found::Rows(rows) => blacklist::one_token(&objects(rows)?, id),
            Found::RefusedValue => Err(SourceError::new("the token's id cannot be compared")),
            Found::NoSchema => Ok(ListedToken::NoTenant),
        }
    }

    /// Connects and tries every query.
    pub(super) async fn probe(&self) -> Result<(), String> {
        probe::probe(self).await
    }

    /// The schema of a tenant, where each has one.
    fn schema(&self, tenant: &TenantId, alone: bool) -> Option<Schema> {
        self.schema_per_tenant.then(|| Schema {
            tenant: tenant.clone(),
            alone,
        })
    }

    fn never_a_tenant(&self, tenant: &TenantId) -> bool {
        self.schema_per_tenant && is_reserved(tenant.as_str(), &self.shared_schemas)
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
