//! Explain: the decision of one request, without forwarding it.
//!
//! The same [`Gateway::decide`] that serves requests runs here, with a trace that records; what is
//! printed is therefore what the server would do.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Request, StatusCode};
use serde::Serialize;
use smol_str::SmolStr;

use super::{Asked, Case, Gateway, Memory};
use crate::reject;
use crate::telemetry::{Clock, Step, Trace};
use crate::wire::ConnectionInfo;

/// Header values that are shown by their kind alone.
const SECRET: [&str; 3] = ["authorization", "cookie", "sec-websocket-protocol"];

/// A decision and how it came about.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The reason's code.
    pub reason: &'static str,
    /// The status of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// The request that the upstream would get.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamRequest>,
}

/// The head of the request that the upstream would get; credentials are not shown.
#[derive(Debug, Serialize)]
pub struct UpstreamRequest {
    /// The upstream's name.
    pub name: SmolStr,
    /// The method.
    pub method: String,
    /// The origin-form target, without the query of a WebSocket handshake's token.
    pub target: String,
    /// The headers, in the order that they are sent.
    pub headers: Vec<(String, String)>,
}

/// Decides a request as the server would.
pub async fn explain(gateway: &Gateway, request: Request<()>, tls: bool) -> Explanation {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let info = ConnectionInfo {
        peer: address,
        local: address,
        tls,
        server_name: None,
        trusted_proxies: Arc::new([]),
        memo: crate::wire::Memo::default(),
    };
    let mut trace = Trace::recording();
    let mut case = Case::begin(&info);
    let Ok(now) = Clock.now() else {
        return refusal(
            &reject::Rejection::of(crate::reason::Reason::InternalError, "the clock"),
            Vec::new(),
        );
    };
    let mut head = request.into_parts().0;
    let asked = Asked {
        head: &mut head,
        body: None,
        info: &info,
        certificate: &|_| None,
        fault: None,
        now,
    };
    let memory = Memory::of_bytes(0, gateway.directory());
    match gateway.decide(asked, &memory, &mut case, &mut trace).await {
        Err(rejection) => refusal(&rejection, trace.into_steps()),
        Ok(decided) => {
            let upstream = decided.forward.map(|forward| {
                let head = forward.head();
                let index = decided.matched.route.config().upstream;
                UpstreamRequest {
                    name: gateway
                        .upstream_names
                        .get(index)
                        .cloned()
                        .unwrap_or_default(),
                    method: head.method.to_string(),
                    target: head.uri.to_string(),
                    headers: head.headers.iter().map(shown).collect(),
                }
            });
            Explanation {
                decision: "allow",
                reason: decided.grant.reason().code(),
                status: None,
                detail: None,
                steps: trace.into_steps(),
                upstream,
            }
        }
    }
}

fn refusal(rejection: &reject::Rejection, steps: Vec<Step>) -> Explanation {
    let status: StatusCode = reject::status(rejection.reason);
    Explanation {
        decision: "deny",
        reason: rejection.reason.code(),
        status: Some(status.as_u16()),
        detail: Some(rejection.detail.clone()),
        steps,
        upstream: None,
    }
}

/// A header as it is shown: of a credential only that it is there.
fn shown((name, value): (&http::HeaderName, &http::HeaderValue)) -> (String, String) {
    let text = if value.is_sensitive() || SECRET.contains(&name.as_str()) {
        format!("[{} bytes, not shown]", value.len())
    } else {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    };
    (name.to_string(), text)
}
