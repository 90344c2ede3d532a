//! X-Forwarded-*, Via, X-Request-Id, Host and the target: what the upstream learns of the way.

use crate::harness::{Builder, Recorder, Request, Scene, Token};

fn member() -> Request {
    get("/")
}

fn get(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

#[test]
fn the_way_is_told_once_and_by_the_gateway() {
    let scene = Scene::new();
    let port = scene.gateway.address().port();
    let request = member()
        .host(&format!("app.test:{port}"))
        .header("X-Forwarded-For", "6.6.6.6")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.test")
        .header("X-Forwarded-Port", "1")
        .header("X-Request-Id", "chosen-by-the-client");
    let (response, seen) = scene.passes(&request);
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(
        seen.head.all("x-forwarded-host"),
        [format!("app.test:{port}")]
    );
    assert_eq!(seen.head.all("x-forwarded-port"), [port.to_string()]);
    let id = seen.head.all("x-request-id");
    assert_eq!(id.len(), 1);
    assert_ne!(id[0], "chosen-by-the-client");
    let via = seen.header("via").expect("a Via line");
    assert!(via.starts_with("1.1 "), "{via}");
    if let Some(answered) = response.header("x-request-id") {
        assert_eq!(answered, id[0]);
    }
}

#[test]
fn a_via_line_that_was_there_stays_in_front() {
    let scene = Scene::new();
    let (_, seen) = scene.passes(&member().header("Via", "1.0 fred"));
    let via = seen.head.all("via").join(", ");
    assert!(via.starts_with("1.0 fred, 1.1 "), "{via}");
}

#[test]
fn request_ids_differ() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    for _ in 0..10 {
        client.exchange(&member()).expect_status(200);
    }
    let ids = scene.upstream.requests().into_iter();
    let mut ids: Vec<_> = ids
        .map(|seen| seen.header("x-request-id").expect("an id").to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
}

#[test]
fn a_trusted_proxy_is_believed_up_to_the_first_stranger() {
    let scene = Scene::with(|builder| {
        builder.set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", trusted_proxies: [127.0.0.0/8, 10.0.0.0/8] } ]",
        )
    });
    let request = member()
        .header("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.2.3")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.test")
        .header("X-Request-Id", "from-the-proxy-1");
    let (_, seen) = scene.passes(&request);
    let client = seen.head.all("x-forwarded-for").join(", ");
    assert!(client.contains("203.0.113.9"), "{client}");
    assert!(!client.contains("6.6.6.6"), "{client}");
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.head.all("x-forwarded-host"), ["app.test"]);
    assert_eq!(seen.head.all("x-request-id"), ["from-the-proxy-1"]);
    let line = scene
        .gateway
        .audit(|line| line["request_id"] == "from-the-proxy-1");
    assert_eq!(line["client"], "203.0.113.9");
}

#[test]
fn an_untrusted_peer_is_the_client() {
    let scene = Scene::new();
    let (_, _, line) = scene.passes_as(&member().header("X-Forwarded-For", "203.0.113.9"), "match");
    assert_eq!(line["client"], "127.0.0.1");
}

#[test]
fn b21_the_host_is_forwarded_in_one_form() {
    let scene = Scene::new();
    for (sent, forwarded) in [
        ("app.test", "app.test"),
        ("APP.Test", "app.test"),
        ("app.test.", "app.test"),
        ("app.test:80", "app.test"),
        ("app.test:8080", "app.test:8080"),
        ("APP.test.:8080", "app.test:8080"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:81", "[::1]:81"),
    ] {
        let (_, seen) = scene.passes(&member().host(sent));
        assert_eq!(seen.head.all("host"), [forwarded], "{sent}");
    }
}

#[test]
fn an_upstream_may_be_given_a_host_of_its_own() {
    let upstream = Recorder::start();
    let gateway = Builder::new()
        .upstream_with(&upstream, ", host: internal.test")
        .start();
    gateway.send(&member()).expect_status(200);
    let seen = upstream.only();
    assert_eq!(seen.head.all("host"), ["internal.test"]);
    assert_eq!(seen.head.all("x-forwarded-host"), ["app.test"]);
}

#[test]
fn the_target_is_in_origin_form_with_its_query() {
    let scene = Scene::new();
    for target in ["/", "/a/b?x=1&y=%20z", "/a?", "/a?x=/../b", "/%C3%A4"] {
        let (_, seen) = scene.passes(&get(target));
        assert_eq!(seen.head.target(), target);
        assert_eq!(seen.head.start, format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn a_prefix_is_stripped_where_the_route_says_so() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: /api }, access: member, strip_prefix: /api, upstream: app } ]",
        )
    });
    for (sent, forwarded) in [("/api/x?y=1", "/x?y=1"), ("/api", "/"), ("/api/", "/")] {
        let (_, seen) = scene.passes(&get(sent));
        assert_eq!(seen.head.target(), forwarded, "{sent}");
    }
}

#[test]
fn an_http_10_client_is_answered_and_forwarded_as_11() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    let mut client = scene.gateway.client();
    let text = format!(
        "POST / HTTP/1.0\r\nHost: app.test\r\nAuthorization: Bearer {token}\r\nContent-Length: 5\r\n\r\nhello"
    );
    client.send(text.as_bytes());
    let response = client.response("POST").expect_status(200);
    assert_eq!(response.json()["body_length"], 5);
    let seen = scene.upstream.only();
    assert!(seen.head.start.ends_with("HTTP/1.1"), "{}", seen.head.start);
}
