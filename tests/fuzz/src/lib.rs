//! What the fuzz targets share: one configuration, one connection, one way to make a head.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use countersign::config::{self, Config, DjangoSession};
use countersign::wire::{ConnectionInfo, Memo, RawRequest, Unreadable};
use http::request::Parts;
use http::{HeaderName, Version};

/// The secret of the only issuer.
pub const SECRET: &[u8] = b"a secret of the fuzz targets, 0123456789";

/// The address of the client that all heads come from.
pub const CLIENT: &str = "192.0.2.1:4000";

const CONFIG: &str = r#"
issuers:
  - secret: "${JWT_SECRET}"
    algorithms: [HS256]
    leeway: 0s
    claims: { user: user_id, account: account_id, tenant: tenant_schema }
credentials:
  - bearer: { forward: keep }
  - cookie: { name: access_token, forward: remove }
directory:
  source: { http: { url: "https://app.internal/{tenant}/{user}" } }
tenants:
  sources: [ { header: X-Tenant-Id } ]
  default: default
identity:
  attributes: { email: X-Auth-Email }
  echo: { user: X-Acted-As-User, account: X-Acted-As-Account, tenant: X-Acted-As-Tenant }
upstreams:
  - name: app
    servers: ["http://127.0.0.1:8000"]
"#;

/// The configuration of all targets.
pub fn configuration() -> Config {
    let environment = |name: &str| {
        (name == "JWT_SECRET").then(|| String::from_utf8_lossy(SECRET).into_owned())
    };
    config::parse(CONFIG, Path::new("/nonexistent"), "fuzz.yaml", &environment)
        .unwrap_or_else(|error| panic!("{error}"))
        .config
}

/// The secret of the Django app.
pub const DJANGO_SECRET: &[u8] = b"django-secret-of-the-fuzz-targets-0123456789-abcdefghij";

const DJANGO: &str = r#"
issuers: [ { secret: "${JWT_SECRET}", algorithms: [HS256] } ]
credentials: [ { django_session: { secret_key: "${DJANGO_SECRET_KEY}", store: { database: { table: django_session } } } } ]
directory:
  source:
    postgres: { url: "postgres://app@127.0.0.1/app", lookups: { default: "SELECT id, account, active, password AS session_auth FROM users WHERE id = $user" } }
upstreams: [ { name: app, servers: ["http://127.0.0.1:8000"] } ]
"#;

/// The Django sessions of the session target.
pub fn django_session() -> DjangoSession {
    let environment = |name: &str| {
        let secret = match name {
            "JWT_SECRET" => SECRET,
            "DJANGO_SECRET_KEY" => DJANGO_SECRET,
            _ => return None,
        };
        Some(String::from_utf8_lossy(secret).into_owned())
    };
    let config = config::parse(DJANGO, Path::new("/nonexistent"), "fuzz.yaml", &environment)
        .unwrap_or_else(|error| panic!("{error}"))
        .config;
    let session = config.credentials.iter().find_map(|one| one.django_session.as_deref());
    session.expect("a Django session").clone()
}

/// A connection from a stranger.
pub fn connection() -> ConnectionInfo {
    ConnectionInfo {
        peer: CLIENT.parse::<SocketAddr>().expect("an address"),
        local: "127.0.0.1:8080".parse().expect("an address"),
        tls: false,
        server_name: None,
        trusted_proxies: Arc::from([]),
        memo: Memo::default(),
    }
}

/// Reads a head as the gateway does.
pub fn read(mut head: Parts, has_body: bool, config: &Config) -> Result<RawRequest, Box<Unreadable>> {
    let id = HeaderName::from_static("x-request-id");
    RawRequest::read(&mut head, has_body, &connection(), &config.limits, &id)
}

/// A head with this method and target; `None` where they cannot be one.
pub fn head(method: &[u8], target: &[u8], version: Version) -> Option<Parts> {
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = http::Method::from_bytes(method).ok()?;
    parts.uri = http::Uri::try_from(target).ok()?;
    parts.version = version;
    Some(parts)
}

/// Splits `data` at its first line feed.
pub fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}
