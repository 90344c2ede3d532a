//! Health: whether the process lives, whether it should be sent requests, and its numbers.

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, Answer};
use crate::drain::Phase;

/// The process answers.
pub(super) fn live() -> Answer {
    super::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Whether requests should be sent here, with each component's own state.
pub(super) fn ready(admin: &Admin) -> Answer {
    let draining = admin.drain.phase() != Phase::Serving;
    let mut components = Map::new();
    let (mut ready, mut whole) = (!draining, true);
    for (name, component) in admin.gateway.components() {
        ready &= component.ready || component.spared;
        whole &= component.ready;
        components.insert(
            name.to_owned(),
            json!({ "ready": component.ready, "detail": component.detail }),
        );
    }
    let status = match (draining, ready) {
        (true, _) => "draining",
        (false, true) if whole => "ready",
        (false, true) => "degraded",
        (false, false) => "not_ready",
    };
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    super::json(
        code,
        &json!({ "status": status, "components": Value::Object(components) }),
    )
}

/// Every number, for Prometheus.
pub(super) fn metrics(admin: &Admin) -> Answer {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    super::with_type(StatusCode::OK, content_type, admin.gateway.metrics.render())
}
