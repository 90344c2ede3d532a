//! `credentials`, `conflict`, `origins`, `cors`: where a request may carry a credential, and who
//! may ride on a cookie.

use super::DjangoSession;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place where a request may carry a credential. Exactly one of `bearer`, `cookie`, `query`, `websocket_protocol`, `django_session`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["bearer"] },
    { "required": ["cookie"] },
    { "required": ["query"] },
    { "required": ["websocket_protocol"] },
    { "required": ["django_session"] },
]))]
pub struct Credential {
    /// Its name in routes and in the audit log; the kind when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A token in `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,
    /// A token in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// A token in the query of a WebSocket handshake; it is never logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Query>,
    /// A token in an offered WebSocket subprotocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket_protocol: Option<WebSocketProtocol>,
    /// A Django session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub django_session: Option<DjangoSession>,
}

/// A token in `Authorization: Bearer`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bearer {
    /// What the upstream finds in this place.
    pub forward: Forward,
}

impl Default for Bearer {
    fn default() -> Self {
        Self {
            forward: Forward::Keep,
        }
    }
}

/// A token in a cookie.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cookie {
    /// The cookie's name.
    #[schemars(example = &"access_token")]
    pub name: String,
    /// What the upstream finds in this place.
    #[serde(default = "remove")]
    pub forward: Forward,
}

/// A token in the query of a WebSocket handshake.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The parameter's name.
    #[schemars(example = &"token")]
    pub parameter: String,
    /// Where it is read: on WebSocket handshakes only.
    #[serde(default)]
    pub scope: QueryScope,
    /// What the upstream finds in this place.
    #[serde(default = "remove")]
    pub forward: Forward,
}

/// Where a token in the query is read.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryScope {
    /// On WebSocket handshakes.
    #[default]
    Websocket,
}

/// A token in an offered WebSocket subprotocol.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebSocketProtocol {
    /// What stands before the token.
    #[schemars(example = &"bearer.")]
    pub prefix: String,
    /// What the upstream finds in this place.
    #[serde(default = "remove")]
    pub forward: Forward,
}

/// What the upstream finds in the place of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forward {
    /// What the client sent.
    Keep,
    /// Nothing.
    Remove,
    /// A fresh token in the app's own format.
    Reissue,
}

const fn remove() -> Forward {
    Forward::Remove
}

/// Two credentials that prove two identities. With `prefer_first` the upstream gets none but the first, also where the others say the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// The request is refused.
    #[default]
    Reject,
    /// The first in the order of this file decides; a bad second one still refuses.
    PreferFirst,
}

/// Who may ride on a cookie.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Origins {
    /// Origins that may use a cookie beside the request's own.
    #[schemars(example = ["https://app.example.com"])]
    pub allowed: Vec<String>,
    /// Who checks methods other than GET, HEAD and OPTIONS.
    pub unsafe_methods: UnsafeMethods,
}

/// Who checks unsafe methods that rest on a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnsafeMethods {
    /// The gateway.
    #[default]
    Check,
    /// The app; WebSockets are checked here all the same.
    Upstream,
}

/// CORS preflights and refusals.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Whether preflights reach the app without a credential, or are requests like any other.
    pub preflight: Preflight,
    /// Origins whose scripts may read a refusal.
    pub origins: Vec<String>,
}

/// What happens to a CORS preflight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preflight {
    /// The app answers it.
    #[default]
    Forward,
    /// It is decided like any request.
    Refuse,
}
