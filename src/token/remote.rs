//! Remote key sets: a configured URL, or the one that OpenID Connect discovery names.
//!
//! Discovery (OpenID Connect Discovery 1.0, section 4) is believed only where it speaks for the
//! configured issuer, and can lead only to https, or back to where it came from: a hostile document
//! cannot make the gateway ask an internal service.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use serde_json::Value;

use super::json;
use crate::config::{Fault, Issuer, KeySource};
use crate::net::{FetchLimits, Fetcher, HttpUrl};

/// Where a key set is fetched.
pub(super) enum Remote {
    /// From this URL.
    Jwks(HttpUrl),
    /// From the URL that the discovery document names.
    Discovery {
        /// The document.
        url: HttpUrl,
        /// The `issuer` that it must speak for.
        issuer: String,
    },
}

impl Remote {
    /// Reads the URLs of an issuer with a remote key set; `None` for any other.
    pub(super) fn build(issuer: &Issuer) -> Result<Option<Self>, Fault> {
        let url = |key: &str, text: &str| {
            let at = issuer.at.key(key);
            let url = HttpUrl::parse(text).map_err(|error| {
                Fault::new(
                    &at,
                    error.to_string(),
                    "a URL as https://issuer.example/keys",
                )
            })?;
            if !url.tls() && !url.is_loopback() {
                tracing::warn!(
                    issuer = %issuer.name,
                    "the key set travels in clear text: whoever can change it can make tokens"
                );
            }
            Ok(url)
        };
        match &issuer.keys {
            KeySource::JwksUrl(text) => Ok(Some(Self::Jwks(url("jwks_url", text)?))),
            KeySource::DiscoveryUrl(text) => {
                let expected = issuer.issuer.clone().ok_or_else(|| {
                    Fault::new(
                        &issuer.at.key("issuer"),
                        "discovery needs the issuer that it must speak for",
                        "the `issuer` that the discovery document names",
                    )
                })?;
                Ok(Some(Self::Discovery {
                    url: url("discovery_url", text)?,
                    issuer: expected,
                }))
            }
            _ => Ok(None),
        }
    }

    /// The text of the key set.
    pub(super) async fn fetch(
        &self,
        fetcher: &Fetcher,
        timeout: Duration,
    ) -> Result<Bytes, String> {
        match self {
            Self::Jwks(url) => get(fetcher, url, timeout).await,
            Self::Discovery { url, issuer } => {
                let document = get(fetcher, url, timeout).await?;
                let keys = jwks_uri(&document, url, issuer)?;
                get(fetcher, &keys, timeout).await
            }
        }
    }
}

/// The key set's URL in a discovery document that came from `url`.
fn jwks_uri(document: &[u8], url: &HttpUrl, issuer: &str) -> Result<HttpUrl, String> {
    let document =
        json::object(document).map_err(|_| "the discovery document is not a JSON object")?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err("the discovery document speaks for another issuer".to_owned());
    }
    let keys = document
        .get("jwks_uri")
        .and_then(Value::as_str)
        .ok_or("the discovery document names no jwks_uri")?;
    let keys = HttpUrl::parse(keys).map_err(|error| format!("jwks_uri: {error}"))?;
    let near = keys.same_origin(url) || (keys.is_loopback() && url.is_loopback());
    if !keys.tls() && !near {
        return Err("jwks_uri is neither https nor where the discovery document is".to_owned());
    }
    if !near && keys.host() != url.host() && (keys.is_loopback() || is_address(keys.host())) {
        return Err("jwks_uri is an address, and the discovery document is elsewhere".to_owned());
    }
    Ok(keys)
}

/// Whether resolvers may take this host for an address: it is one, or its last label begins like a
/// number (`127.1`, `0x7f.1`), as no top-level domain does (RFC 3696, section 2).
fn is_address(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    host.contains(':') || last.is_none_or(|label| label.starts_with(|c: char| c.is_ascii_digit()))
}

async fn get(fetcher: &Fetcher, url: &HttpUrl, timeout: Duration) -> Result<Bytes, String> {
    let accept = HeaderValue::from_static("application/json, application/jwk-set+json");
    let answer = fetcher
        .fetch(url, &[(ACCEPT, accept)], FetchLimits::within(timeout))
        .await
        .map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("the answer is {}", answer.status));
    }
    Ok(answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(from: &str, issuer: &str, keys: &str) -> Result<String, String> {
        let document = serde_json::json!({"issuer": issuer, "jwks_uri": keys}).to_string();
        let url = HttpUrl::parse(from).unwrap();
        jwks_uri(document.as_bytes(), &url, "https://idp.example/").map(|url| url.to_string())
    }

    const FROM: &str = "https://idp.example/.well-known/openid-configuration";
    const ISSUER: &str = "https://idp.example/";

    #[test]
    fn a40_discovery_speaks_for_the_configured_issuer() {
        assert!(uri(FROM, ISSUER, "https://keys.example/k").is_ok());
        for other in ["https://idp.example", "https://evil.example/", ""] {
            assert!(uri(FROM, other, "https://keys.example/k").is_err());
        }
    }

    #[test]
    fn a40_discovery_cannot_lead_inwards() {
        for keys in [
            "http://169.254.169.254/latest",
            "http://127.0.0.1/k",
            "https://127.0.0.1/k",
            "https://localhost/k",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/k",
            "https://10.1/k",
            "https://0x7f.0x1/k",
            "https://2130706433/k",
            "https://[::ffff:10.0.0.1]/k",
            "http://10.0.0.1/k",
            "http://idp.example/k",
            "file:///etc/passwd",
            "unix:/run/x",
            "",
        ] {
            assert!(uri(FROM, ISSUER, keys).is_err(), "{keys}");
        }
        assert!(uri("https://10.0.0.1/d", ISSUER, "https://10.0.0.1:8443/k").is_ok());
        let inside = "http://keycloak:8080/realms/a";
        assert!(uri(inside, ISSUER, "http://keycloak:8080/certs").is_ok());
        assert!(uri(inside, ISSUER, "http://keycloak:8081/certs").is_err());
        let here = "http://127.0.0.1:1/";
        assert!(uri(here, ISSUER, "http://localhost:2/certs").is_ok());
    }
}
