//! The API: what an operator or the app's own code may ask for, with the token.
//!
//! Even with the token, a browser that has been led here by another site's page, or by a name that
//! was made to point here (DNS rebinding), is refused.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::{Admin, Answer, inspect};
use crate::directory::RevokeError;
use crate::telemetry::Clock;

/// Largest body.
const BODY: usize = 64 * 1024;
/// Deadline of a body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Pause before a wrong token is answered, so that guessing is slow.
const WRONG_TOKEN: Duration = Duration::from_millis(200);

pub(super) async fn answer(admin: &Admin, request: Request<Incoming>) -> Answer {
    let not_found = || super::json(StatusCode::NOT_FOUND, &json!({ "error": "not found" }));
    let Some(token) = &admin.config.token else {
        return not_found();
    };
    if !has_token(request.headers(), token.value.expose()) {
        tokio::time::sleep(WRONG_TOKEN).await;
        let mut refused = super::json(
            StatusCode::UNAUTHORIZED,
            &json!({ "error": "the admin token is needed" }),
        );
        refused.headers_mut().insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"countersign admin\""),
        );
        return refused;
    }
    if !is_own_host(admin, request.headers()) || is_cross_site(request.headers()) {
        return super::json(
            StatusCode::FORBIDDEN,
            &json!({ "error": "this host or origin may not use the admin API" }),
        );
    }
    let (path, method) = (request.uri().path(), request.method());
    let posts = matches!(path, "/v1/invalidate" | "/v1/revocations");
    let reads = path == "/v1/streams" || path.starts_with("/v1/directory/");
    if posts && *method != Method::POST {
        return wrong_method("POST only", "POST");
    }
    if reads && !matches!(*method, Method::GET | Method::HEAD) {
        return wrong_method("GET only", "GET, HEAD");
    }
    match path {
        "/v1/invalidate" => invalidate(admin, request.into_body()).await,
        "/v1/revocations" => revoke(admin, request.into_body()).await,
        "/v1/streams" => inspect::streams(admin, request.uri().query()),
        _ => match path.strip_prefix("/v1/directory/") {
            Some(rest) => inspect::directory(admin, rest, request.uri().query()).await,
            None => not_found(),
        },
    }
}

fn wrong_method(error: &str, allowed: &'static str) -> Answer {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut refused = super::json(status, &json!({ "error": error }));
    refused
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

/// Revokes tokens, and answers once the store has it and it holds on this replica.
async fn revoke(admin: &Admin, body: Incoming) -> Answer {
    let body = match read(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let Ok(now) = Clock.now() else {
        let error = json!({ "error": "the clock stands before 1970" });
        return super::json(StatusCode::INTERNAL_SERVER_ERROR, &error);
    };
    let (status, answer) = match admin.gateway.revocations().add(&body, now).await {
        Ok(published) => (
            StatusCode::OK,
            json!({ "revoked": true, "published": published }),
        ),
        Err(error) => {
            let status = match error {
                RevokeError::Malformed(_) => StatusCode::BAD_REQUEST,
                RevokeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, json!({ "error": error.to_string() }))
        }
    };
    super::json(status, &answer)
}

async fn read(body: Incoming) -> Result<Bytes, Answer> {
    let read = tokio::time::timeout(BODY_TIME, Limited::new(body, BODY).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        _ => Err(super::json(
            StatusCode::PAYLOAD_TOO_LARGE,
            &json!({ "error": "the body is at most 64 KiB" }),
        )),
    }
}

/// Applies an invalidation and answers once it holds on this replica.
async fn invalidate(admin: &Admin, body: Incoming) -> Answer {
    let body = match read(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let directory = admin.gateway.directory();
    let what = directory.apply_message(&body).await;
    let published = directory.publish(&what).await;
    super::json(
        StatusCode::OK,
        &json!({ "applied": true, "published": published }),
    )
}

fn single<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        None
    } else {
        first.to_str().ok()
    }
}

/// Whether Host is this listener's address, a loopback name, or one of `admin.hosts`.
fn is_own_host(admin: &Admin, headers: &HeaderMap) -> bool {
    let Some(host) = single(headers, &HOST).map(str::to_ascii_lowercase) else {
        return false;
    };
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback() || ip == admin.config.address.ip());
    is_address || name == "localhost" || admin.config.hosts.iter().any(|allowed| allowed == name)
}

/// Whether a page of another site makes this request (Fetch; Fetch Metadata).
fn is_cross_site(headers: &HeaderMap) -> bool {
    let site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    let own = single(headers, &HOST).map(|host| format!("http://{host}").to_ascii_lowercase());
    let foreign = headers.contains_key(ORIGIN)
        && single(headers, &ORIGIN)
            .map(str::to_ascii_lowercase)
            .is_none_or(|origin| Some(origin) != own);
    site || foreign
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let Some((scheme, sent)) =
        single(headers, &AUTHORIZATION).and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer")
        && aws_lc_rs::constant_time::verify_slices_are_equal(sent.as_bytes(), token.as_bytes())
            .is_ok()
}
