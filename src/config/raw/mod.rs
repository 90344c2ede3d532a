//! Raw: the shape of the file as users write it.
//!
//! Structs that serde reads and schemars describes; nothing else decides which keys exist. Doc
//! comments here become the schema's descriptions and the reference's text, so they are written
//! for users. Defaults that depend on nothing else stand here; the others in `resolve/fill.rs`.

mod credentials;
mod directory;
mod django;
mod identity;
mod issuers;
mod listeners;
mod operation;
mod routes;
mod scalars;
mod tenants;
pub(in crate::config) mod unsupported;
mod upstreams;

pub use credentials::*;
pub use directory::*;
pub use django::*;
pub use identity::*;
pub use issuers::*;
pub use listeners::*;
pub use operation::*;
pub use routes::*;
pub(in crate::config) use scalars::check_format;
pub use scalars::{Duration, Id, Scalar, Secret, Size};
pub use tenants::*;
pub use upstreams::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The configuration of a Countersign gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What apps of a kind have in common: a word, or a list of words. `check --expand` shows what it stands for; what is written beside it wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Presets>,
    /// Data-path threads: auto, or a number.
    #[serde(default = "auto_workers")]
    pub workers: Workers,
    /// Where clients connect.
    #[serde(default = "one_listener")]
    #[schemars(length(min = 1))]
    pub listeners: Vec<Listener>,
    /// Health, metrics and the API of operators.
    #[serde(default)]
    pub admin: Admin,
    /// How a request's tenant is found; left out: one tenant, `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Tenants>,
    /// Who signs tokens.
    #[serde(default)]
    pub issuers: Vec<Issuer>,
    /// Where a request may carry a credential.
    #[serde(default = "one_bearer")]
    pub credentials: Vec<Credential>,
    /// Two credentials that prove two identities. With `prefer_first` the upstream gets none but the first, also where the others say the same.
    #[serde(default)]
    pub conflict: Conflict,
    /// Who may ride on a cookie.
    #[serde(default)]
    pub origins: Origins,
    /// CORS preflights and refusals.
    #[serde(default)]
    pub cors: Cors,
    /// The live mapping of users to accounts.
    #[schemars(example = serde_json::json!({ "source": { "file": { "path": "users.yaml" } } }))]
    pub directory: Directory,
    /// Where revoked tokens are remembered.
    #[serde(default)]
    pub revocations: Revocations,
    /// Which account a request acts in.
    #[serde(default)]
    pub accounts: Accounts,
    /// What the upstream is told.
    #[serde(default)]
    pub identity: Identity,
    /// The backends.
    #[schemars(length(min = 1), example = serde_json::json!([{ "name": "app", "servers": ["http://127.0.0.1:8000"] }]))]
    pub upstreams: Vec<Upstream>,
    /// Which requests go where; left out: one member route `/` to the only upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
    /// WebSockets and long streams.
    #[serde(default)]
    pub streams: Streams,
    /// Limits of the data path.
    #[serde(default)]
    pub limits: Limits,
    /// Shutdown.
    #[serde(default)]
    pub drain: Drain,
    /// The audit log.
    #[serde(default)]
    pub audit: Audit,
    /// The log.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// One preset, or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Presets {
    /// One.
    One(Preset),
    /// Several.
    Several(Vec<Preset>),
}

/// What apps of a kind have in common.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Access tokens of SimpleJWT, for the only issuer.
    Simplejwt,
    /// A schema of PostgreSQL per tenant, found by the host.
    DjangoTenants,
    /// Tokens in the query, the subprotocol and the cookie `access_token` of WebSockets too.
    Channels,
}

const fn auto_workers() -> Workers {
    Workers::Auto(AutoWord::Auto)
}

fn one_listener() -> Vec<Listener> {
    vec![Listener::default()]
}

fn one_bearer() -> Vec<Credential> {
    vec![Credential {
        bearer: Some(Bearer::default()),
        ..Credential::default()
    }]
}

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "Countersign configuration".into());
    }
    unsupported::mark(&mut schema);
    schema
}
