//! Forward: what the upstream is told, and what the client is told back.
//!
//! A request passes three types here. [`RawRequest`] is what the client sent;
//! [`SanitizedRequest`] proves that every reserved name and its aliases, every hop-by-hop field and
//! every nominated one is gone and that the forwarding fields are rebuilt; [`ForwardRequest`] proves
//! that it was also granted. Nothing strips after identity is written, and only a
//! [`ForwardRequest`] can be sent.

pub mod body;
pub(crate) mod guard;
mod hop;
mod identity;
mod names;
mod places;
mod trail;

use std::sync::Arc;

use http::header::{CONNECTION, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};

use crate::auth::{Grant, Principal};
use crate::config::{
    self, Config, Conflict, CredentialPlace, ForwardCredential, TenantSource, UpstreamTimeouts,
};
use crate::credential::Presented;
use crate::ids::{TenantId, UserId};
use crate::reason::Reason;
use crate::telemetry::{Redacted, UnixTime};
use crate::token::{Asserter, AssertionClaims, MintError, ReissueSource, Reissuer};
use crate::wire::{Cookies, Host, RawRequest, WebSocketHandshake};
use hop::Towards;
use places::{Fate, Places};

pub(crate) use body::cut;
pub use body::{BodyFault, BodyWatch, RequestBody, ResponseBody, UploadRules};
pub use names::Reserved;

/// Why a granted request could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// An identity value cannot stand in a header.
    #[error(transparent)]
    Identity(#[from] identity::Unsafe),
    /// A fresh token cannot stand in its place.
    #[error(transparent)]
    Place(#[from] places::Misfit),
    /// A token could not be minted.
    #[error(transparent)]
    Mint(#[from] MintError),
    /// The target cannot be written.
    #[error("the request target cannot be written")]
    Target,
}

impl ForwardError {
    /// The reason that the client is told.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Identity(_) => Reason::IdentityUnsafe,
            Self::Place(_) | Self::Mint(_) | Self::Target => Reason::InternalError,
        }
    }
}

/// An upstream, as far as its requests are written for it.
#[derive(Debug)]
struct Target {
    name: Arc<str>,
    host: Option<HeaderValue>,
    multiplexed: bool,
}

/// What configuration fixes of this room.
#[derive(Debug)]
pub struct Forwarder {
    identity: config::Identity,
    names: Arc<Reserved>,
    credentials: Vec<config::Credential>,
    conflict: Conflict,
    tenant_headers: Vec<HeaderName>,
    upstreams: Vec<Target>,
    asserter: Option<Arc<Asserter>>,
    reissuer: Option<Arc<Reissuer>>,
}

impl Forwarder {
    /// Builds the room.
    #[must_use]
    pub fn build(
        config: &Config,
        asserter: Option<Arc<Asserter>>,
        reissuer: Option<Arc<Reissuer>>,
    ) -> Self {
        let tenant_headers: Vec<HeaderName> = config
            .tenants
            .sources
            .iter()
            .filter_map(|source| match source {
                TenantSource::Header(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        Self {
            names: Arc::new(Reserved::new(&config.identity, &tenant_headers)),
            identity: config.identity.clone(),
            credentials: config.credentials.clone(),
            conflict: config.conflict,
            tenant_headers,
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| {
                    let host = upstream
                        .host
                        .as_deref()
                        .and_then(|host| HeaderValue::from_str(host).ok());
                    Target {
                        name: Arc::clone(&upstream.name),
                        host,
                        multiplexed: upstream.protocol != config::UpstreamProtocol::Http1,
                    }
                })
                .collect(),
            asserter,
            reissuer,
        }
    }

    /// Takes everything away that the client may not say, and rebuilds the forwarding fields.
    #[must_use]
    pub fn sanitize(&self, raw: RawRequest, body: RequestBody) -> SanitizedRequest {
        let mut parts = raw.into_parts();
        let mut headers = std::mem::take(&mut parts.headers);
        let trailers = hop::takes_trailers(&headers);
        hop::strip(&mut headers, &self.names, Towards::Upstream);
        self.names.strip(&mut headers);
        trail::write(
            &mut headers,
            &parts,
            &self.identity.headers.request_id,
            None,
        );
        SanitizedRequest {
            method: parts.method,
            path: parts.path.as_str().to_owned(),
            query: parts.query,
            headers,
            cookies: parts.cookies,
            host: parts.host,
            websocket: parts.websocket,
            trailers,
            request_id: parts.request_id.header_value(),
            body,
        }
    }

    /// The names that responses may not carry.
    #[must_use]
    pub const fn reserved(&self) -> &Arc<Reserved> {
        &self.names
    }

    /// What becomes of each place on its way to the upstream.
    fn fate<'t>(
        &self,
        index: usize,
        grant: &Grant,
        presented: &Presented,
        fresh: Option<&'t Redacted>,
    ) -> Fate<'t> {
        let Some(credential) = self.credentials.get(index) else {
            return Fate::Remove;
        };
        let Some(principal) = grant.principal() else {
            // Nobody: only what is kept everywhere stays.
            return if credential.forward == ForwardCredential::Keep {
                Fate::Keep
            } else {
                Fate::Remove
            };
        };
        let accepted = grant.route().config().credentials.contains(&index);
        let ignored = self.conflict == Conflict::PreferFirst
            && principal.verified().credential() != index
            && presented
                .tokens()
                .iter()
                .any(|token| token.credential == index);
        if !accepted || ignored {
            return Fate::Remove;
        }
        let carried = presented
            .tokens()
            .iter()
            .any(|token| token.credential == index);
        match (credential.forward, fresh) {
            (ForwardCredential::Keep, _) => Fate::Keep,
            (ForwardCredential::Reissue, Some(token)) if carried => Fate::Replace(token.expose()),
            _ => Fate::Remove,
        }
    }

    /// A fresh token in the app's own format, where a place asks for one.
    fn reissue(
        &self,
        principal: &Principal,
        presented: &Presented,
        now: UnixTime,
    ) -> Result<Option<Redacted>, MintError> {
        let (Some(reissuer), Some(config)) = (&self.reissuer, &self.identity.reissue) else {
            return Ok(None);
        };
        let wanted = config.also_authorization
            || presented.tokens().iter().any(|token| {
                self.credentials
                    .get(token.credential)
                    .is_some_and(|credential| credential.forward == ForwardCredential::Reissue)
            });
        if !wanted {
            return Ok(None);
        }
        reissuer
            .mint(&reissue_source(principal), now)
            .map(|(token, _)| Some(token))
    }
}

/// What a fresh token for `principal` is made from.
#[must_use]
pub fn reissue_source(principal: &Principal) -> ReissueSource<'_> {
    ReissueSource {
        token: principal.verified().token().map(|token| &**token),
        tenant: principal.tenant(),
        user: principal.user(),
        account: principal.account(),
        session_end: principal
            .verified()
            .session()
            .map(crate::auth::LiveSession::ends),
    }
}

/// A request without anything that the client may not say. No identity can be in it yet.
#[derive(Debug)]
pub struct SanitizedRequest {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    cookies: Cookies,
    host: Host,
    websocket: Option<WebSocketHandshake>,
    /// Whether the client takes trailers, which gRPC servers ask for.
    trailers: bool,
    request_id: HeaderValue,
    body: RequestBody,
}

/// A request that has been sanitised and granted: the only thing an upstream can be sent.
#[derive(Debug)]
pub struct ForwardRequest {
    parts: ForwardParts,
}

/// What [`ForwardRequest`] holds, for the room that sends it.
#[derive(Debug)]
pub struct ForwardParts {
    /// Method, origin-form target and final headers.
    pub head: request::Parts,
    /// The body.
    pub body: RequestBody,
    /// Index of the upstream.
    pub upstream: usize,
    /// Tenant and user, where somebody acts.
    pub acting: Option<(TenantId, UserId)>,
    /// The route's deadlines.
    pub timeouts: UpstreamTimeouts,
    /// Whether it is a WebSocket handshake.
    pub websocket: bool,
    /// The request id's header.
    pub request_id: (HeaderName, HeaderValue),
}

impl SanitizedRequest {
    /// The headers that are left, and those that have been rebuilt; the identity's are not there
    /// yet.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Writes what the grant says: credentials, identity, assertion, target and framing.
    pub fn authorize(
        mut self,
        grant: &Grant,
        presented: &Presented,
        forwarder: &Forwarder,
        now: UnixTime,
    ) -> Result<ForwardRequest, ForwardError> {
        let route = grant.route().config();
        let upstream = forwarder
            .upstreams
            .get(route.upstream)
            .ok_or(ForwardError::Target)?;
        let fresh = match grant.principal() {
            Some(principal) => forwarder.reissue(principal, presented, now)?,
            None => None,
        };
        let mut places = Places {
            headers: &mut self.headers,
            cookies: &self.cookies,
            query: &mut self.query,
            protocols: self
                .websocket
                .as_ref()
                .map(|handshake| handshake.protocols.as_slice()),
        };
        places::rewrite_all(&mut places, &forwarder.credentials, |index| {
            forwarder.fate(index, grant, presented, fresh.as_ref())
        })?;
        if let Some(principal) = grant.principal() {
            forwarder.keep_only_proven_authorization(
                &mut self.headers,
                grant,
                principal,
                fresh.as_ref(),
            )?;
            identity::write(
                &mut self.headers,
                &forwarder.identity,
                &forwarder.tenant_headers,
                principal,
            )?;
            forwarder.assert(&mut self.headers, principal, &upstream.name, now)?;
        }
        if self.trailers && upstream.multiplexed {
            self.headers
                .insert(http::header::TE, HeaderValue::from_static("trailers"));
        }
        let host = upstream
            .host
            .clone()
            .unwrap_or_else(|| self.host.header_value());
        self.headers.insert(HOST, host);
        if self.websocket.is_some() {
            self.headers
                .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            self.headers
                .insert(UPGRADE, HeaderValue::from_static("websocket"));
        } else {
            self.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        }
        body::frame(
            &mut self.headers,
            &self.method,
            &self.body,
            Version::HTTP_11,
        );
        let target = target(
            &self.path,
            route.strip_prefix.as_deref(),
            self.query.as_deref(),
        );
        let mut head = http::Request::new(()).into_parts().0;
        head.method = self.method;
        head.uri = target.parse::<Uri>().map_err(|_| ForwardError::Target)?;
        head.version = Version::HTTP_11;
        head.headers = self.headers;
        let request_id = (
            forwarder.identity.headers.request_id.clone(),
            self.request_id,
        );
        let acting = grant
            .principal()
            .map(|principal| (principal.tenant().clone(), principal.user().clone()));
        Ok(ForwardRequest {
            parts: ForwardParts {
                head,
                body: self.body,
                upstream: route.upstream,
                acting,
                timeouts: route.timeouts,
                websocket: self.websocket.is_some(),
                request_id,
            },
        })
    }

    /// A preflight carries no credential of any kind, configured or not.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.headers.remove(http::header::AUTHORIZATION);
        self.headers.remove(COOKIE);
        self.cookies = Cookies::default();
        self
    }
}

impl ForwardRequest {
    /// The head, as it will be sent.
    #[must_use]
    pub const fn head(&self) -> &request::Parts {
        &self.parts.head
    }

    /// Gives everything to the room that sends it.
    #[must_use]
    pub fn into_parts(self) -> ForwardParts {
        self.parts
    }
}

impl Forwarder {
    /// With `also: authorization` the fresh token is the request's bearer token too.
    fn keep_only_proven_authorization(
        &self,
        headers: &mut HeaderMap,
        grant: &Grant,
        principal: &Principal,
        fresh: Option<&Redacted>,
    ) -> Result<(), ForwardError> {
        let also = self
            .identity
            .reissue
            .as_ref()
            .is_some_and(|reissue| reissue.also_authorization);
        let acting = self.credentials.get(principal.verified().credential());
        let by_bearer =
            acting.is_some_and(|credential| credential.place == CredentialPlace::Bearer);
        match fresh {
            Some(token) if also && !by_bearer => places::put_bearer(headers, token.expose())?,
            _ => {
                // An Authorization that no accepted place explains would be a second identity.
                let explained = grant.route().config().credentials.iter().any(|index| {
                    self.credentials
                        .get(*index)
                        .is_some_and(|credential| credential.place == CredentialPlace::Bearer)
                });
                if !explained {
                    headers.remove(http::header::AUTHORIZATION);
                }
            }
        }
        Ok(())
    }

    /// Signs what the upstream can check.
    fn assert(
        &self,
        headers: &mut HeaderMap,
        principal: &Principal,
        upstream: &str,
        now: UnixTime,
    ) -> Result<(), ForwardError> {
        let (Some(asserter), Some(config)) = (&self.asserter, &self.identity.assertion) else {
            return Ok(());
        };
        let claims = AssertionClaims {
            upstream,
            tenant: principal.tenant(),
            user: principal.user(),
            account: principal.account(),
            roles: principal.roles(),
        };
        let token = asserter.mint(&claims, now)?;
        let mut value = HeaderValue::from_str(&token).map_err(|_| ForwardError::Target)?;
        value.set_sensitive(true);
        headers.insert(&config.header, value);
        Ok(())
    }
}

/// The origin-form target (RFC 9112, section 3.2.1). A prefix is stripped as whole segments, and
/// what is left always begins with one slash.
fn target(path: &str, strip: Option<&str>, query: Option<&str>) -> String {
    let stripped = strip
        .and_then(|prefix| path.strip_prefix(prefix))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .map(|rest| format!("/{}", rest.trim_start_matches('/')));
    let path = stripped.as_deref().unwrap_or(path);
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_stripped_prefix_leaves_an_origin_form_target() {
        assert_eq!(target("/api/x", Some("/api"), Some("a=1")), "/x?a=1");
        assert_eq!(target("/api", Some("/api"), None), "/");
        assert_eq!(target("/apix", Some("/api"), None), "/apix");
        assert_eq!(
            target("/strip//evil.com", Some("/strip"), None),
            "/evil.com"
        );
        assert_eq!(target("/x", None, None), "/x");
        assert_eq!(target("/a//b", None, None), "/a//b");
    }
}
