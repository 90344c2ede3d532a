//! A gateway in front of a recording upstream, and what every refusal has in common.

use serde_json::Value;

use super::builder::Builder;
use super::client::Response;
use super::gateway::Gateway;
use super::recorder::{Recorder, Seen};
use super::request::Request;

/// A gateway and its upstream.
pub(crate) struct Scene {
    // First, so that it ends first.
    pub(crate) gateway: Gateway,
    pub(crate) upstream: Recorder,
}

impl Scene {
    /// The harness's default configuration.
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// The default configuration with changes.
    #[track_caller]
    pub(crate) fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        Self::before(Recorder::start(), change)
    }

    /// The same in front of this upstream.
    #[track_caller]
    pub(crate) fn before(upstream: Recorder, change: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = change(Builder::new().upstream(&upstream));
        Self {
            gateway: builder.start(),
            upstream,
        }
    }

    /// Sends a request that must pass; gives the answer and what the upstream saw.
    #[track_caller]
    pub(crate) fn passes(&self, request: &Request) -> (Response, Seen) {
        let before = self.upstream.count();
        let response = self.gateway.send(request).expect_status(200);
        let requests = self.upstream.requests();
        assert_eq!(requests.len(), before + 1, "the upstream saw one request");
        (response, requests[before].clone())
    }

    /// The audit line of this response's request.
    #[track_caller]
    pub(crate) fn audit_of(&self, response: &Response) -> Value {
        let id = request_id(response);
        self.gateway.audit(|line| line["request_id"] == id.as_str())
    }

    /// Sends a request that must pass for this reason.
    #[track_caller]
    pub(crate) fn passes_as(&self, request: &Request, reason: &str) -> (Response, Seen, Value) {
        let (response, seen) = self.passes(request);
        let id = seen.header("x-request-id").expect("a request id");
        let line = self.gateway.audit(|line| line["request_id"] == id);
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["decision"], "allow", "{line}");
        self.gateway.expect_single_line(id);
        (response, seen, line)
    }

    /// Sends a request that must be refused, and checks what every refusal has in common.
    #[track_caller]
    pub(crate) fn refuses(&self, request: &Request, status: u16, reason: &str) -> Response {
        let before = self.upstream.bytes();
        let response = self.gateway.send(request);
        assert_eq!(self.upstream.bytes(), before, "the upstream saw nothing");
        self.check_refusal(&response, status, reason);
        response
    }

    /// The same, where more than one reason is right.
    #[track_caller]
    pub(crate) fn refuses_any(&self, request: &Request, status: u16, reasons: &[&str]) -> String {
        let before = self.upstream.bytes();
        let response = self.gateway.send(request);
        assert_eq!(self.upstream.bytes(), before, "the upstream saw nothing");
        let reason = response.reason().unwrap_or_default();
        let shown = format!("{:?}\n{}", response.head, response.text());
        assert!(reasons.contains(&&*reason), "wanted {reasons:?}: {shown}");
        self.check_refusal(&response, status, &reason);
        reason
    }

    /// The same, with whatever status belongs to the reason.
    #[track_caller]
    pub(crate) fn refuses_any_status(&self, request: &Request, reasons: &[&str]) {
        let status = self.gateway.send(request).status();
        self.refuses_any(request, status, reasons);
    }

    /// Checks a refusal: the problem, the challenge, no storing, just one audit line.
    #[track_caller]
    pub(crate) fn check_refusal(&self, response: &Response, status: u16, reason: &str) {
        let shown = format!("{:?}\n{}", response.head, response.text());
        assert_eq!(response.status(), status, "wanted {reason}: {shown}");
        assert_eq!(response.reason().as_deref(), Some(reason), "{shown}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{shown}"
        );
        let problem = response.json();
        for member in ["type", "title", "request_id"] {
            assert!(problem[member].is_string(), "no {member}: {shown}");
        }
        assert_eq!(problem["status"], status, "{shown}");
        let storing = response.header("cache-control").unwrap_or_default();
        assert!(storing.contains("no-store"), "{shown}");
        check_challenge(response, status, reason);
        assert!(response.end.complete, "{shown}");

        let line = self.audit_of(response);
        assert_eq!(line["reason"], reason, "{line}");
        assert_eq!(line["decision"], "deny", "{line}");
        assert_eq!(line["status"], status, "{line}");
        self.gateway.expect_single_line(&request_id(response));
    }

    /// Checks that this text, a secret, stands nowhere in what the gateway writes.
    #[track_caller]
    pub(crate) fn never_written(&self, secret: &str) {
        assert!(!self.gateway.audit_text().contains(secret), "in the audit");
        assert!(!self.gateway.log().contains(secret), "in the log");
    }
}

/// The id that a refusal or a forwarded response names.
#[track_caller]
fn request_id(response: &Response) -> String {
    if let Some(id) = response.header("x-request-id") {
        return id.to_owned();
    }
    let problem = response.json();
    let id = problem["request_id"].as_str();
    id.expect("a request id").to_owned()
}

/// The challenge of RFC 6750, section 3.
#[track_caller]
fn check_challenge(response: &Response, status: u16, reason: &str) {
    let challenge = challenge_of(response);
    match (status, reason) {
        (401, "credential_missing") => {
            assert!(challenge.starts_with("Bearer"), "{challenge:?}");
            assert!(!challenge.contains("error"), "{challenge:?}");
        }
        (401, _) => {
            assert!(challenge.starts_with("Bearer"), "{challenge:?}");
            assert!(challenge.contains("error=\"invalid_"), "{challenge:?}");
        }
        (403, "role_required") => {
            assert!(challenge.contains("insufficient_scope"), "{challenge:?}");
        }
        _ => assert_eq!(challenge, "", "no challenge on {status} {reason}"),
    }
}

pub(crate) fn challenge_of(response: &Response) -> String {
    response.head.all("www-authenticate").join(", ")
}
