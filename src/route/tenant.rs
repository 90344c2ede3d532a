//! Tenants: whose data a request is about.
//!
//! Every source that speaks must name the same tenant. A source that names something which cannot
//! be a tenant is a refusal, never silence. What the client chooses (the header) only narrows what
//! the token proves later; nothing here believes a credential.

use std::collections::HashSet;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::config::{self, KnownTenants, TenantSource};
use crate::directory::{Directory, DirectoryError};
use crate::ids::TenantId;
use crate::reason::Reason;
use crate::wire::RawRequest;

/// What the sources say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantAnswer {
    /// They all name this tenant.
    Named(TenantId),
    /// None speaks; the credential must say it.
    FromCredential,
    /// None speaks, and nothing asks for a tenant here.
    Unnamed,
}

/// What a request's tenant rests on; a stream is held against it again.
#[derive(Debug, Clone, Default)]
pub struct TenantBasis {
    /// The host, where look-ups say whose it is.
    pub host: Option<SmolStr>,
    /// Whether host, path or header named the tenant, which stay what they are.
    pub fixed: bool,
}

impl std::fmt::Display for TenantAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named(tenant) => write!(f, "{tenant}"),
            Self::FromCredential => f.write_str("none speaks; the credential says it"),
            Self::Unnamed => f.write_str("none speaks, and none is needed"),
        }
    }
}

/// Why a request has no tenant.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// No source names one.
    #[error("no source names a tenant")]
    Missing,
    /// Two sources name different ones.
    #[error("{0} and {1} name different tenants")]
    Conflict(&'static str, &'static str),
    /// The named tenant does not exist.
    #[error("the tenant that the {0} names does not exist")]
    Unknown(&'static str),
    /// Whether it exists cannot be known now.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl TenantError {
    /// The reason that the client is told.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Missing => Reason::TenantMissing,
            Self::Conflict(..) => Reason::TenantConflict,
            Self::Unknown(_) => Reason::TenantUnknown,
            Self::Directory(error) => error.reason(),
        }
    }
}

/// The sources, in the file's order.
#[derive(Debug)]
pub struct Tenants {
    config: config::Tenants,
    /// Those that the file lists, where it does.
    listed: HashSet<TenantId, ahash::RandomState>,
    directory: Arc<Directory>,
    /// Whether a tenant is a schema of a database, so that the database's own schemas are none.
    schemas: bool,
    asks_credential: bool,
    asks_domains: bool,
}

impl Tenants {
    /// Builds the sources.
    #[must_use]
    pub fn build(
        config: &config::Tenants,
        source: &config::DirectorySource,
        directory: Arc<Directory>,
    ) -> Self {
        let schemas = matches!(
            source,
            config::DirectorySource::Postgres {
                schema_per_tenant: true,
                ..
            }
        );
        let asks_credential = config
            .sources
            .iter()
            .any(|source| matches!(source, TenantSource::Token));
        let listed = match &config.known {
            KnownTenants::Listed(tenants) => tenants.iter().cloned().collect(),
            KnownTenants::Any | KnownTenants::Query(_) => HashSet::default(),
        };
        Self {
            config: config.clone(),
            listed,
            directory,
            schemas,
            asks_credential,
            asks_domains: config
                .sources
                .iter()
                .any(|source| matches!(source, TenantSource::Domain { .. })),
        }
    }

    /// Whether requests can name several tenants; then a token must say which one it is for.
    #[must_use]
    pub const fn several(&self) -> bool {
        self.config.several
    }

    /// The tenant of a request, and what that rests on. Where none is `needed` (a public route) a
    /// missing one is no error, but a conflict is.
    pub async fn resolve(
        &self,
        raw: &RawRequest,
        needed: bool,
    ) -> Result<(TenantAnswer, TenantBasis), TenantError> {
        let mut named: Option<(TenantId, &'static str)> = None;
        let mut unknown_domain = false;
        let mut basis = TenantBasis {
            host: self.asks_domains.then(|| raw.host().name().into()),
            fixed: false,
        };
        // What the client chooses is nobody's tenant where no token has to agree.
        let mut chosen_alone = true;
        for source in &self.config.sources {
            let (answer, word) = match source {
                TenantSource::Host { prefix, suffix } => {
                    (from_host(raw.host().name(), prefix, suffix), "host")
                }
                TenantSource::Path { prefix, suffix } => {
                    (from_path(raw.path().as_str(), prefix, suffix)?, "path")
                }
                TenantSource::Header(name) => (from_header(raw, name)?, "header"),
                TenantSource::Domain { query } => {
                    let found = self
                        .directory
                        .tenant_of_domain(query, raw.host().name())
                        .await?;
                    unknown_domain |= found.is_none();
                    (found, "domain")
                }
                TenantSource::Token => continue,
            };
            let Some(tenant) = answer else { continue };
            basis.fixed |= word != "domain";
            chosen_alone &= word == "header";
            match &named {
                Some((other, spoke)) if *other != tenant => {
                    return Err(TenantError::Conflict(spoke, word));
                }
                Some(_) => {}
                None => named = Some((tenant, word)),
            }
        }
        let answer = match named.filter(|_| needed || !chosen_alone) {
            Some((tenant, word)) => {
                self.exists(&tenant, needed, word).await?;
                TenantAnswer::Named(tenant)
            }
            None if !needed => TenantAnswer::Unnamed,
            None if self.asks_credential => TenantAnswer::FromCredential,
            None => match &self.config.default {
                Some(tenant) => TenantAnswer::Named(tenant.clone()),
                None if unknown_domain => return Err(TenantError::Unknown("host")),
                None => return Err(TenantError::Missing),
            },
        };
        Ok((answer, basis))
    }

    /// What a host name alone leads to: the answers of the host and domain sources.
    pub async fn of_host(&self, host: &str) -> Result<Vec<Option<TenantId>>, TenantError> {
        let mut answers = Vec::new();
        for source in &self.config.sources {
            match source {
                TenantSource::Host { prefix, suffix } => {
                    answers.push(from_host(host, prefix, suffix));
                }
                TenantSource::Domain { query } => {
                    answers.push(self.directory.tenant_of_domain(query, host).await?);
                }
                TenantSource::Path { .. } | TenantSource::Header(_) | TenantSource::Token => {}
            }
        }
        Ok(answers)
    }

    /// Whether the sources still name the tenant of a stream; `spoken` is what its credential says.
    pub async fn still_name(
        &self,
        tenant: &TenantId,
        basis: &TenantBasis,
        spoken: Option<&TenantId>,
    ) -> Result<bool, TenantError> {
        let mut named = basis.fixed || (self.asks_credential && spoken == Some(tenant));
        if let Some(host) = &basis.host {
            for source in &self.config.sources {
                let TenantSource::Domain { query } = source else {
                    continue;
                };
                match self.directory.tenant_of_domain(query, host).await? {
                    Some(found) if found == *tenant => named = true,
                    Some(_) => return Ok(false),
                    None => {}
                }
            }
        }
        if named {
            self.exists(tenant, true, "stream").await?;
        } else if self.config.default.as_ref() != Some(tenant) {
            return Err(TenantError::Unknown("host"));
        }
        Ok(true)
    }

    /// The tenant that a credential names, where no source spoke; the default where it names none.
    pub async fn from_credential(
        &self,
        claimed: Option<&TenantId>,
    ) -> Result<TenantId, TenantError> {
        match (claimed, &self.config.default) {
            (Some(tenant), _) => {
                self.exists(tenant, true, "token").await?;
                Ok(tenant.clone())
            }
            (None, Some(tenant)) => Ok(tenant.clone()),
            (None, None) => Err(TenantError::Missing),
        }
    }

    async fn exists(
        &self,
        tenant: &TenantId,
        needed: bool,
        word: &'static str,
    ) -> Result<(), TenantError> {
        if self.schemas && is_reserved_schema(tenant) {
            return Err(TenantError::Unknown(word));
        }
        let known = match &self.config.known {
            _ if !needed => true,
            KnownTenants::Any => true,
            KnownTenants::Listed(_) => self.listed.contains(tenant),
            KnownTenants::Query(query) => self.directory.tenant_is_known(query, tenant).await?,
        };
        if known {
            Ok(())
        } else {
            Err(TenantError::Unknown(word))
        }
    }
}

/// Whether this is a schema of PostgreSQL's own or the shared one, never a tenant.
fn is_reserved_schema(tenant: &TenantId) -> bool {
    let name = tenant.as_str();
    name.eq_ignore_ascii_case("public")
        || name.eq_ignore_ascii_case("information_schema")
        || name
            .get(..3)
            .is_some_and(|start| start.eq_ignore_ascii_case("pg_"))
}

fn from_host(host: &str, prefix: &str, suffix: &str) -> Option<TenantId> {
    TenantId::from_dns_label(host.strip_prefix(prefix)?.strip_suffix(suffix)?)
}

/// The segment between `prefix` and `suffix`, which ends the path or is followed by a segment.
fn from_path(path: &str, prefix: &str, suffix: &str) -> Result<Option<TenantId>, TenantError> {
    let Some(rest) = path.strip_prefix(prefix) else {
        return Ok(None);
    };
    let (segment, behind) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let fits = suffix.is_empty()
        || behind
            .strip_prefix(suffix)
            .is_some_and(|after| after.is_empty() || after.starts_with('/'));
    if segment.is_empty() || !fits {
        return Ok(None);
    }
    // An escape or parameter in the segment has another reading than the tenant's plain id.
    if segment.contains(['%', ';']) {
        return Err(TenantError::Unknown("path"));
    }
    TenantId::parse(segment)
        .map(Some)
        .map_err(|_| TenantError::Unknown("path"))
}

fn from_header(raw: &RawRequest, name: &http::HeaderName) -> Result<Option<TenantId>, TenantError> {
    let mut values = raw.headers().get_all(name).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(TenantError::Conflict("header", "header"));
    }
    let text = first.to_str().map_err(|_| TenantError::Unknown("header"))?;
    TenantId::parse(text)
        .map(Some)
        .map_err(|_| TenantError::Unknown("header"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_pattern_takes_one_label() {
        let tenant = |host: &str| from_host(host, "", ".example.com").map(|t| t.to_string());
        assert_eq!(tenant("acme.example.com").as_deref(), Some("acme"));
        assert_eq!(tenant("a.b.example.com"), None);
        assert_eq!(tenant(".example.com"), None);
        assert_eq!(tenant("example.com"), None);
        assert_eq!(tenant("acme.example.com.evil"), None);
    }

    #[test]
    fn a_path_pattern_takes_one_whole_segment() {
        let tenant = |path: &str| {
            from_path(path, "/t/", "")
                .ok()
                .flatten()
                .map(|t| t.to_string())
        };
        assert_eq!(tenant("/t/acme").as_deref(), Some("acme"));
        assert_eq!(tenant("/t/acme/x/y").as_deref(), Some("acme"));
        assert_eq!(tenant("/t/"), None);
        assert_eq!(tenant("/tt/acme"), None);
        assert!(from_path("/t/a%2fb/x", "/t/", "").is_err());
        assert_eq!(from_path("/t/acme/other", "/t/", "/app").unwrap(), None);
        assert!(from_path("/t/acme/app/x", "/t/", "/app").unwrap().is_some());
        assert_eq!(from_path("/t/acme/apple", "/t/", "/app").unwrap(), None);
    }

    #[test]
    fn the_databases_own_schemas_are_no_tenants() {
        for name in [
            "public",
            "PUBLIC",
            "information_schema",
            "pg_catalog",
            "pg_toast",
            "PG_x",
        ] {
            assert!(
                is_reserved_schema(&TenantId::parse(name).unwrap()),
                "{name}"
            );
        }
        assert!(!is_reserved_schema(&TenantId::parse("pgx").unwrap()));
    }
}
