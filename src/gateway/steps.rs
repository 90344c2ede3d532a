//! Steps: those of [`Gateway::decide`] that take more than a line: the body's limits, the server
//! name, the credentials, the origin. Their order is `decide`'s.

use http::Method;
use hyper::body::Incoming;

use super::{CertificateOf, Gateway};
use crate::auth::{FetchSite, OriginFacts};
use crate::credential::{Carriers, Presented, RepeatedCookie};
use crate::forward::{BodyFault, BodyWatch, RequestBody, UploadRules};
use crate::reason::Reason;
use crate::reject::Rejection;
use crate::route::Matched;
use crate::wire::{RawRequest, Seen};

impl Gateway {
    /// The client's body under its route's limits.
    pub(super) fn body(
        &self,
        body: Option<Incoming>,
        version: http::Version,
        matched: &Matched<'_>,
    ) -> Result<(RequestBody, BodyWatch), BodyFault> {
        let Some(incoming) = body else {
            return Ok(RequestBody::empty());
        };
        let route = matched.route.config();
        let rules = UploadRules {
            limit: route.body_limit,
            idle: Some(route.timeouts.body_idle),
            reserved: self.forwarder.reserved(),
        };
        RequestBody::client(incoming, version, &rules)
    }

    /// Step 1 for TLS: the server name leads to the same certificate and tenant as Host
    /// (RFC 9110, section 7.4).
    pub(super) async fn same_server(
        &self,
        raw: &RawRequest,
        certificate: CertificateOf<'_>,
    ) -> Result<(), Rejection> {
        let Some(name) = raw.server_name().filter(|name| *name != raw.host().name()) else {
            return Ok(());
        };
        let elsewhere = certificate(name) != certificate(raw.host().name())
            || self.tenants.of_host(name).await? != self.tenants.of_host(raw.host().name()).await?;
        if elsewhere {
            return Err(Rejection::of(
                Reason::HostMismatch,
                "the TLS server name leads elsewhere than the Host",
            ));
        }
        Ok(())
    }

    /// Step 1 for credentials: one of each.
    pub(super) fn refuse_repeated(&self, raw: &RawRequest) -> Result<(), Rejection> {
        if raw.cookies().is_empty() && raw.websocket().is_none() {
            return Ok(());
        }
        with_carriers(raw, |carriers| Ok(self.finder.refuse_repeated(carriers)?))
    }

    pub(super) fn find(
        &self,
        raw: &RawRequest,
        matched: &Matched<'_>,
    ) -> Result<Presented, Rejection> {
        let accepted = &matched.route.config().credentials;
        with_carriers(raw, |carriers| Ok(self.finder.find(carriers, accepted)?))
    }

    pub(super) fn origin_facts(&self, raw: &RawRequest) -> OriginFacts {
        let origin = raw.origin();
        OriginFacts {
            websocket: raw.websocket().is_some(),
            safe_method: matches!(*raw.method(), Method::GET | Method::HEAD | Method::OPTIONS),
            has_origin: raw.seen().has(Seen::ORIGIN),
            origin_allowed: origin.is_some_and(|origin| {
                origin == raw.own_origin() || self.origins.iter().any(|allowed| allowed == origin)
            }),
            fetch_site: raw.sec_fetch_site().map(FetchSite::read),
        }
    }
}

/// Shows where `raw` may carry credentials.
fn with_carriers<T>(
    raw: &RawRequest,
    look: impl FnOnce(&Carriers<'_>) -> Result<T, Rejection>,
) -> Result<T, Rejection> {
    let protocols: Option<Vec<&str>> = raw
        .websocket()
        .map(|handshake| handshake.protocols.iter().map(String::as_str).collect());
    look(&Carriers {
        headers: raw.headers(),
        cookie: &|name| raw.cookies().one(name).map_err(|_| RepeatedCookie),
        query: raw.query(),
        websocket: protocols.as_deref(),
    })
}
