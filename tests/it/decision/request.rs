//! Steps 1 and 2: a request that can be read in one way only, and a route for it.

use crate::harness::{Builder, Request, Scene, Token};

fn member() -> Request {
    Request::get("/").bearer(&Token::user("5").account("12").signed())
}

#[test]
fn two_authorization_lines_are_ambiguous() {
    let scene = Scene::new();
    let token = Token::user("7").account("14").signed();
    scene.refuses(&member().bearer(&token), 400, "ambiguous_request");
    scene.never_written(&token);
}

#[test]
fn one_cookie_name_with_two_values_is_ambiguous() {
    let scene = Scene::with(|builder| {
        builder.set(
            "credentials",
            "[ cookie: { name: access_token, forward: keep } ]",
        )
    });
    let one = Token::user("5").account("12").signed();
    let other = Token::user("7").account("14").signed();
    let cookies = format!("access_token={one}; access_token={other}");
    let request = Request::get("/").header("Cookie", &cookies);
    scene.refuses(&request, 400, "ambiguous_request");
    let request = Request::get("/")
        .header("Cookie", &format!("access_token={one}"))
        .header("Cookie", &format!("access_token={other}"));
    scene.refuses(&request, 400, "ambiguous_request");
}

#[test]
fn b16_a_request_without_just_one_host_is_refused() {
    let scene = Scene::new();
    let none = member().without_host();
    scene.refuses_any(&none, 400, &["ambiguous_request", "malformed_request"]);
    let two = member().header("Host", "other.test");
    scene.refuses_any(&two, 400, &["ambiguous_request", "malformed_request"]);
    for host in ["a b", "a,b", "a@b", "a/b", "a.test:99999", "a.test:x"] {
        let request = member().host(host);
        scene.refuses_any(&request, 400, &["ambiguous_request", "malformed_request"]);
    }
}

#[test]
fn b17_an_absolute_target_must_name_the_host() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    let other = Request::get("http://other.test/").bearer(&token);
    scene.refuses_any(&other, 400, &["ambiguous_request", "malformed_request"]);
    let same = Request::get("http://app.test/x?y=1").bearer(&token);
    let (_, seen) = scene.passes(&same);
    assert_eq!(seen.head.target(), "/x?y=1");
    assert_eq!(seen.head.all("host"), ["app.test"]);
}

#[test]
fn c1_two_framings_are_never_forwarded_as_two() {
    let scene = Scene::new();
    let request = member()
        .header("Content-Length", "5")
        .chunks(&[b"hello"], &[]);
    let response = scene.gateway.send(&request);
    if response.status() == 200 {
        let seen = scene.upstream.only();
        let framings =
            seen.head.all("content-length").len() + seen.head.all("transfer-encoding").len();
        assert_eq!(framings, 1, "{:?}", seen.head);
        assert_eq!(seen.body, b"hello");
    } else {
        assert_eq!(response.status(), 400);
        scene.upstream.assert_untouched();
    }
}

#[test]
fn c5_bad_lengths_never_reach_the_upstream() {
    let scene = Scene::new();
    for length in [
        "+2",
        "-1",
        "0x2",
        "1_0",
        "2, 3",
        "18446744073709551616",
        "a",
    ] {
        let request = member().header("Content-Length", length);
        let mut client = scene.gateway.client();
        client.send(&request.bytes());
        let status = client.try_head().map(|head| head.status());
        assert!(!matches!(status, Ok(200)), "{length}: {status:?}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn b24_an_expectation_other_than_100_continue_fails() {
    let scene = Scene::new();
    for value in ["200-ok", "100-continue, x", "y 100-continue"] {
        let request = member().header("Expect", value);
        scene.refuses(&request, 417, "expectation_failed");
    }
}

#[test]
fn f20_a_gateway_in_front_of_itself_ends_the_loop() {
    let gateway = Builder::new()
        .set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:{{port}}\" ] } ]",
        )
        .set(
            "routes",
            "[ { match: { path: / }, access: public, upstream: app } ]",
        )
        .start();
    let response = gateway.send(&Request::get("/"));
    assert_eq!(response.status(), 508, "{}", response.text());
    assert_eq!(response.reason().as_deref(), Some("loop_detected"));
    gateway.audit(|line| line["reason"] == "loop_detected");
}

#[test]
fn a_path_that_no_route_covers_has_no_route() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: /app }, access: member, upstream: app } ]",
        )
    });
    let token = Token::user("5").account("12").signed();
    for path in ["/", "/other", "/apple", "/ap"] {
        let request = Request::get(path).bearer(&token);
        scene.refuses(&request, 404, "no_route");
    }
    scene.passes(&Request::get("/app/x").bearer(&token));
}

#[test]
fn a_method_that_the_winning_path_does_not_list_is_not_allowed() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: /items, methods: [GET, HEAD] }, access: member, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let token = Token::user("5").account("12").signed();
    let request = Request::post("/items/1", b"x").bearer(&token);
    let response = scene.refuses(&request, 405, "method_not_allowed");
    let allow = response.header("allow").unwrap_or_default();
    assert!(allow.contains("GET"), "{allow:?}");
    scene.passes(&Request::get("/items/1").bearer(&token));
    scene.passes(&Request::post("/other", b"x").bearer(&token));
}

#[test]
fn d8_trace_and_connect_are_refused() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    let trace = Request::new("TRACE", "/").bearer(&token);
    let response = scene.gateway.send(&trace);
    assert_eq!(response.status(), 405, "{response:?}");
    // RFC 9110, section 15.5.6.
    let allow = response.header("allow").unwrap_or_default();
    assert!(allow.contains("GET") && !allow.contains("TRACE"), "{allow}");
    let connect = Request::new("CONNECT", "app.test:80").bearer(&token);
    let response = scene.gateway.send(&connect);
    assert!([400, 404, 405].contains(&response.status()), "{response:?}");
    scene.upstream.assert_untouched();
}

#[test]
fn c17_what_follows_a_connect_is_never_read_as_a_request() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    let tunnelled = Request::get("/meant-for-the-tunnel").bearer(&token);
    let connect = Request::new("CONNECT", "app.test:80").bearer(&token);
    let mut client = scene.gateway.client();
    let _ = client.try_send(&[connect.bytes(), tunnelled.bytes()].concat());
    let answers = client.rest();
    let text = String::from_utf8_lossy(&answers);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert!(
        text.to_ascii_lowercase().contains("connection: close"),
        "{text}"
    );
    scene.upstream.assert_untouched();
}

#[test]
fn b18_targets_that_are_no_path_are_refused() {
    let scene = Scene::new();
    for target in ["*", "evil.test:80", "x"] {
        let request = Request::get(target).bearer(&Token::user("5").signed());
        let response = scene.gateway.send(&request);
        assert!([400, 404, 405].contains(&response.status()), "{target}");
    }
    scene.upstream.assert_untouched();
}
