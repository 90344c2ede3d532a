//! What the gateway does with a Django app's cookies: it deletes that of a dead session, and reads
//! what Django's CSRF check would read.

use http::header::REFERER;
use http::{HeaderValue, Method};

use super::Gateway;
use crate::config::Credential;
use crate::credential::{Form, Presented};
use crate::session::CsrfFacts;
use crate::telemetry::Redacted;
use crate::wire::{RawRequest, Scheme};

/// The Set-Cookie that deletes the cookie of each credential that is a session.
pub(super) fn dead_cookies(credentials: &[Credential]) -> Vec<Option<HeaderValue>> {
    let dead = |credential: &Credential| {
        let session = credential.django_session.as_ref()?;
        let name = credential.place.cookie()?;
        let mut line = format!(
            "{name}=; Path={}; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; SameSite=Lax",
            session.path
        );
        if let Some(domain) = &session.domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        // Browsers take such names only with the attribute (RFC 6265bis, section 4.1.3).
        if name.starts_with("__Secure-") || name.starts_with("__Host-") {
            line.push_str("; Secure");
        }
        HeaderValue::from_str(&line).ok()
    };
    credentials.iter().map(dead).collect()
}

impl Gateway {
    /// What Django's CSRF check would look at, where there is a session and it would look at all.
    pub(super) fn csrf_facts(&self, raw: &RawRequest, presented: &Presented) -> Option<CsrfFacts> {
        let safe = matches!(
            *raw.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        );
        let mut carried = presented.tokens().iter();
        let carried = carried.find(|carried| carried.form == Form::Session && !safe)?;
        let credential = self.credentials.get(carried.credential)?;
        let config = &credential.django_session.as_ref()?.csrf;
        let secret = raw.cookies().one(&config.cookie).ok().flatten();
        let mut lines = raw.headers().get_all(&config.header).iter();
        let token = match (lines.next(), lines.next()) {
            (Some(only), None) => only.to_str().ok(),
            _ => None,
        };
        let own = raw.own_origin();
        let trusted = |origin: &str| origin == own || self.origins.iter().any(|o| o == origin);
        let referer = raw.headers().get(REFERER);
        Some(CsrfFacts {
            secret: secret.map(|secret| Redacted::new(secret.into_owned())),
            token: token.map(|token| Redacted::new(token.to_owned())),
            origin: raw
                .headers()
                .contains_key(http::header::ORIGIN)
                .then(|| raw.origin().is_some_and(trusted)),
            secure: raw.scheme() == Scheme::Https,
            referer: referer.map(|referer| {
                let origin = referer.to_str().ok().and_then(origin_of);
                origin.is_some_and(|origin| trusted(&origin))
            }),
        })
    }
}

/// The origin of a URL, in lower case.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    Some(format!("{scheme}://{authority}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::origin_of;

    #[test]
    fn the_origin_of_a_referer() {
        for (url, origin) in [
            ("https://app.test/a?b#c", Some("https://app.test")),
            ("https://app.test", Some("https://app.test")),
            ("HTTPS://App.Test:8443/x", Some("https://app.test:8443")),
            (
                "https://app.test@evil.test/",
                Some("https://app.test@evil.test"),
            ),
            ("https://evil.test\\@app.test/", Some("https://evil.test")),
            ("https://evil.test?app.test/", Some("https://evil.test")),
            ("about:blank", None),
            ("", None),
        ] {
            assert_eq!(origin_of(url).as_deref(), origin, "{url}");
        }
    }
}
