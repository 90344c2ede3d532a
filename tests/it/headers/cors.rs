//! Cross-origin requests: preflights without identity, refusals that a script may read.

use crate::harness::{Exchange, Recorder, Request, Scene, Token};

const ORIGIN: &str = "https://web.test";

fn preflight() -> Request {
    Request::new("OPTIONS", "/records")
        .header("Origin", ORIGIN)
        .header("Access-Control-Request-Method", "PUT")
        .header("Access-Control-Request-Headers", "authorization")
}

#[test]
fn a_preflight_passes_without_identity_or_credentials() {
    let scene = Scene::new();
    let request = preflight()
        .bearer(&Token::user("5").signed())
        .header("Cookie", "sessionid=x")
        .header("X-Auth-User-Id", "1");
    let (_, seen) = scene.passes(&request);
    for name in [
        "authorization",
        "cookie",
        "x-auth-user-id",
        "x-auth-tenant-id",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("origin"), Some(ORIGIN));
    assert_eq!(seen.header("access-control-request-method"), Some("PUT"));
}

#[test]
fn d8_what_only_looks_like_a_preflight_needs_a_credential() {
    let scene = Scene::new();
    let plain = Request::new("OPTIONS", "/records");
    scene.refuses(&plain, 401, "credential_missing");
    let half = plain.clone().header("Origin", ORIGIN);
    scene.refuses(&half, 401, "credential_missing");
    let other = Request::new("OPTIONS", "/").header("Access-Control-Request-Method", "PUT");
    scene.refuses(&other, 401, "credential_missing");
    let body = preflight().body(b"x");
    scene.refuses_any(&body, 401, &["credential_missing"]);
    scene.upstream.assert_untouched();
}

#[test]
fn a_preflight_is_matched_by_the_method_it_asks_for() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: /, methods: [GET, PUT] }, access: member, upstream: app } ]",
        )
    });
    scene.passes(&preflight());
    let delete = Request::new("OPTIONS", "/")
        .header("Origin", ORIGIN)
        .header("Access-Control-Request-Method", "DELETE");
    scene.refuses(&delete, 405, "method_not_allowed");
}

#[test]
fn preflights_can_be_refused() {
    let scene = Scene::with(|builder| builder.set("cors", "{ preflight: refuse }"));
    let response = scene.gateway.send(&preflight());
    assert!((400..500).contains(&response.status()), "{response:?}");
    scene.upstream.assert_untouched();
}

#[test]
fn a_refusal_is_readable_for_listed_origins_alone() {
    let scene =
        Scene::with(|builder| builder.set("cors", &format!("{{ origins: [\"{ORIGIN}\"] }}")));
    let request = Request::get("/").header("Origin", ORIGIN);
    let response = scene.refuses(&request, 401, "credential_missing");
    assert_eq!(response.header("access-control-allow-origin"), Some(ORIGIN));
    let exposed = response.head.all("access-control-expose-headers").join(",");
    for name in [
        "WWW-Authenticate",
        "X-Auth-Token-Stale",
        "X-Request-Id",
        "Retry-After",
    ] {
        assert!(
            exposed
                .to_ascii_lowercase()
                .contains(&name.to_ascii_lowercase()),
            "{exposed}"
        );
    }
    assert!(
        response
            .head
            .all("vary")
            .join(",")
            .to_ascii_lowercase()
            .contains("origin")
    );
    let request = Request::get("/").header("Origin", "https://evil.test");
    let response = scene.refuses(&request, 401, "credential_missing");
    assert_eq!(response.header("access-control-allow-origin"), None);
}

#[test]
fn forwarded_answers_with_cors_headers_expose_the_gateways_too() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.respond(
            200,
            &[
                ("Access-Control-Allow-Origin", ORIGIN),
                ("Access-Control-Expose-Headers", "X-Total"),
            ],
            b"",
        );
    });
    let scene = Scene::before(upstream, |builder| builder);
    let request = Request::get("/")
        .bearer(&Token::user("5").signed())
        .header("Origin", ORIGIN);
    let response = scene.gateway.send(&request).expect_status(200);
    let exposed = response.head.all("access-control-expose-headers").join(",");
    assert!(exposed.contains("X-Total"), "{exposed}");
    assert!(
        exposed.to_ascii_lowercase().contains("x-auth-token-stale"),
        "{exposed}"
    );
}
