//! The handshake: decided like any request, with a credential from each place a browser has.

use crate::harness::{
    Recorder, Request, Scene, Token, WebSocket, accept, echo_messages, upgrade_headers,
};

const CREDENTIALS: &str = r#"[ bearer: { forward: keep },
  cookie: { name: access_token, forward: keep },
  query: { parameter: token, scope: websocket, forward: remove },
  websocket_protocol: { prefix: "bearer.", forward: remove } ]"#;

fn echo_upstream() -> Recorder {
    Recorder::answering(|exchange| {
        echo_messages(exchange);
    })
}

fn scene() -> Scene {
    Scene::before(echo_upstream(), |builder| {
        builder
            .set("credentials", CREDENTIALS)
            .set("origins", "{ allowed: [ \"https://web.test\" ] }")
    })
}

fn handshake(target: &str) -> Request {
    upgrade_headers(Request::get(target))
}

fn token() -> String {
    Token::user("5").account("12").signed()
}

#[test]
fn a_bearer_opens_a_websocket_with_identity() {
    let scene = scene();
    let mut socket = WebSocket::open(
        scene.gateway.address(),
        &handshake("/ws?room=1").bearer(&token()),
    );
    socket.echo("hello");
    let seen = scene.upstream.only();
    assert_eq!(seen.head.target(), "/ws?room=1");
    assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
    assert_eq!(seen.head.all("x-auth-account-id"), ["12"]);
    assert!(
        seen.header("upgrade")
            .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
    );
    let id = seen.header("x-request-id").expect("an id").to_owned();
    // The line is there before the 101.
    let line = scene
        .gateway
        .audit(|line| line["request_id"] == id.as_str());
    assert_eq!(line["decision"], "allow");
    assert_eq!(line["status"], 101);
    socket.close();
    scene
        .gateway
        .audit(|other| other["request_id"] == id.as_str() && *other != line);
}

#[test]
fn without_a_credential_the_upstream_is_not_asked() {
    let scene = scene();
    scene.refuses(&handshake("/ws"), 401, "credential_missing");
    let expired = Token::user("5").expires_in(-5).signed();
    scene.refuses(&handshake("/ws").bearer(&expired), 401, "token_expired");
    scene.upstream.assert_untouched();
}

#[test]
fn e11_a_token_in_the_query_is_used_and_removed() {
    let scene = scene();
    let token = token();
    for (target, forwarded) in [
        (format!("/ws?token={token}"), "/ws"),
        (format!("/ws?a=1&token={token}&b=2"), "/ws?a=1&b=2"),
        (format!("/ws?token={token}&b=%20"), "/ws?b=%20"),
    ] {
        let before = scene.upstream.count();
        WebSocket::open(scene.gateway.address(), &handshake(&target)).echo("x");
        let seen = scene.upstream.requests()[before].clone();
        assert_eq!(seen.head.target(), forwarded);
        assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
        assert_eq!(seen.head.all("x-auth-credential"), ["query"]);
    }
    scene.never_written(&token);
}

#[test]
fn a_token_in_the_query_proves_nothing_on_plain_requests() {
    let scene = scene();
    let request = Request::get(&format!("/x?token={}", token()));
    scene.refuses(&request, 401, "credential_missing");
    scene.never_written(&token());
}

#[test]
fn two_tokens_in_the_query_are_ambiguous() {
    let scene = scene();
    let request = handshake(&format!(
        "/ws?token={}&token={}",
        token(),
        Token::user("7").signed()
    ));
    scene.refuses(&request, 400, "ambiguous_request");
}

#[test]
fn a_token_as_subprotocol_is_used_and_not_offered() {
    let scene = Scene::before(
        Recorder::answering(|exchange| {
            let offered = exchange.head.all("sec-websocket-protocol").join(", ");
            let chosen = offered.contains("chat").then_some("chat");
            if let Some(mut socket) = accept(exchange, chosen) {
                while socket.read().is_ok() {}
            }
            exchange.close();
        }),
        |builder| builder.set("credentials", CREDENTIALS),
    );
    let token = token();
    let request =
        handshake("/ws").header("Sec-WebSocket-Protocol", &format!("chat, bearer.{token}"));
    let (_socket, response) = WebSocket::try_open(scene.gateway.address(), &request).expect("101");
    assert_eq!(response.header("sec-websocket-protocol"), Some("chat"));
    let seen = scene.upstream.only();
    assert_eq!(seen.head.all("sec-websocket-protocol"), ["chat"]);
    assert_eq!(seen.head.all("x-auth-credential"), ["websocket_protocol"]);
    scene.never_written(&token);
}

#[test]
fn a_subprotocol_is_selected_where_the_upstream_selects_none() {
    let scene = scene();
    let token = token();
    for offered in [format!("chat, bearer.{token}"), format!("bearer.{token}")] {
        let request = handshake("/ws").header("Sec-WebSocket-Protocol", &offered);
        let opened = WebSocket::try_open(scene.gateway.address(), &request);
        let (mut socket, response) = opened.expect("101");
        // Browsers fail the connection unless one of those they offered is selected.
        let selected = response.header("sec-websocket-protocol").expect("one");
        assert!(offered.split(", ").any(|one| one == selected), "{selected}");
        socket.echo("x");
    }
}

/// Also where it is no credential of the route and so goes no further.
#[test]
fn a_subprotocol_that_the_route_does_not_accept_is_selected_too() {
    for forward in ["keep", "remove"] {
        let scene = super::lease::echoing(|builder| {
            builder
                .set(
                    "credentials",
                    &format!("[ bearer: {{}}, websocket_protocol: {{ prefix: \"bearer.\", forward: {forward} }} ]"),
                )
                .set(
                    "routes",
                    "[ { match: { path: / }, access: optional, credentials: [bearer], upstream: app } ]",
                )
        });
        let offered = format!("bearer.{}", token());
        let request = handshake("/ws").header("Sec-WebSocket-Protocol", &offered);
        let opened = WebSocket::try_open(scene.gateway.address(), &request);
        let (mut socket, response) = opened.expect("101");
        assert_eq!(response.header("sec-websocket-protocol"), Some(&*offered));
        let seen = scene.upstream.last();
        assert_eq!(seen.header("sec-websocket-protocol"), None);
        assert_eq!(seen.header("x-auth-user-id"), None);
        socket.echo("x");
    }
}

#[test]
fn a_cookie_needs_an_allowed_origin() {
    let scene = scene();
    let cookie = format!("access_token={}", token());
    let request = || handshake("/ws").header("Cookie", &cookie);
    scene.refuses(&request(), 403, "origin_not_allowed");
    for origin in [
        "https://evil.test",
        "null",
        "http://web.test",
        "https://web.test:444",
        "https://web.test.evil.test",
    ] {
        scene.refuses(
            &request().header("Origin", origin),
            403,
            "origin_not_allowed",
        );
    }
    scene.upstream.assert_untouched();
    for origin in ["https://web.test", "http://app.test"] {
        let request = request().header("Origin", origin);
        WebSocket::open(scene.gateway.address(), &request).echo("x");
    }
}

#[test]
fn a_bearer_needs_no_origin() {
    let scene = scene();
    let request = handshake("/ws")
        .bearer(&token())
        .header("Origin", "https://evil.test");
    WebSocket::open(scene.gateway.address(), &request).echo("x");
}

#[test]
fn a_token_of_another_tenant_opens_nothing() {
    let scene = Scene::before(echo_upstream(), |builder| {
        builder
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
            .set("credentials", CREDENTIALS)
            .users("users: [ { tenant: a, user: \"5\", account: \"12\", active: true }, { tenant: b, user: \"5\", account: \"99\", active: true } ]")
    });
    let token = Token::user("5").tenant("a").signed();
    let foreign = [
        handshake("/ws").bearer(&token),
        handshake(&format!("/ws?token={token}")),
        handshake("/ws").header("Sec-WebSocket-Protocol", &format!("bearer.{token}")),
        handshake("/ws")
            .header("Cookie", &format!("access_token={token}"))
            .header("Origin", "http://b.example.test"),
    ];
    for request in foreign {
        let request = request.host("b.example.test");
        scene.refuses(&request, 403, "tenant_mismatch");
    }
    scene.upstream.assert_untouched();
    let own = handshake("/ws").bearer(&token).host("a.example.test");
    WebSocket::open(scene.gateway.address(), &own).echo("x");
    assert_eq!(scene.upstream.last().header("x-auth-tenant-id"), Some("a"));
}

#[test]
fn a_refused_handshake_at_the_upstream_is_relayed() {
    let scene = Scene::before(
        Recorder::answering(|exchange| exchange.respond(403, &[("X-Why", "full")], b"no")),
        |builder| builder,
    );
    let request = handshake("/ws").bearer(&token());
    let refused = WebSocket::try_open(scene.gateway.address(), &request);
    let response = refused.err().expect("no 101");
    assert_eq!(response.status(), 403);
    assert_eq!(response.header("x-why"), Some("full"));
    assert_eq!(response.body, b"no");
}
