//! Header lines themselves: trailers, odd line ends, expectations, and too many of them.

use super::h2_raw::{self, Answer};
use super::{get, member, never_written, token};
use crate::harness::{
    Builder, Exchange, H2Client, H2Request, H2Upstream, Recorder, Request, Scene, Seen,
};

const EVIL: &str = "evil-7";

const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

/// Trailers that no client may send, in the spelling of HTTP/2.
const FORBIDDEN: [&str; 14] = [
    "x-auth-user-id",
    "x_auth_user_id",
    "x.auth.user.id",
    "remote-user",
    "x-forwarded-for",
    "authorization",
    "cookie",
    "host",
    "content-length",
    "content-type",
    "set-cookie",
    "via",
    "cache-control",
    "x-request-id",
];

#[track_caller]
fn assert_clean(seen: &Seen) {
    for (name, value) in seen.head.fields.iter().chain(&seen.trailers) {
        assert!(!value.contains(EVIL), "{name}: {value}");
    }
    assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
}

#[test]
fn b8_trailers_of_a_request_carry_no_identity_and_no_framing() {
    let scene = Scene::new();
    let mut trailers = vec![("X-Sum", "42"), ("Transfer-Encoding", EVIL), ("TE", EVIL)];
    trailers.extend(FORBIDDEN.map(|name| (name, EVIL)));
    let announced = trailers.iter().map(|(name, _)| *name);
    let announced = announced.collect::<Vec<_>>().join(", ");
    for announced in [announced.as_str(), "X-Sum", ""] {
        let request = Request::new("POST", "/")
            .bearer(&token().signed())
            .header("TE", "trailers")
            .header("Trailer", announced)
            .chunks(&[b"hel", b"lo"], &trailers);
        let (_, seen) = scene.passes(&request);
        assert_clean(&seen);
        assert_eq!(seen.body, b"hello");
        assert_eq!(seen.complete, Some(true));
        let names: Vec<_> = seen
            .trailers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(names.is_empty() || names == ["x-sum"], "{names:?}");
        assert_eq!(seen.header("te"), None);
        let left = seen.head.all("trailer").join(",");
        assert!(left.is_empty() || left == "x-sum", "{left}");
    }
}

#[test]
fn b8_trailers_over_http2_carry_none_either() {
    let upstream = H2Upstream::start();
    let servers = upstream.url();
    let gateway = Builder::new()
        .set("listeners", H2C)
        .set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"{servers}\" ], protocol: h2c }} ]"),
        )
        .start();
    let client = H2Client::clear(gateway.address());
    let mut request = H2Request::new("POST", "app.test/")
        .bearer(&token().signed())
        .header("te", "trailers")
        .data(b"hello")
        .trailer("x-sum", "42");
    for name in FORBIDDEN {
        request = request.trailer(name, EVIL);
    }
    let response = client.send(&request).expect("a response");
    assert_eq!(response.status, 200);
    let seen = upstream.requests().pop().expect("a request");
    assert_eq!(seen.body, b"hello");
    let trailers = seen.trailers.unwrap_or_default();
    let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-sum"]);
    assert_eq!(seen.headers["x-auth-user-id"], "5");
    // The other way: this upstream answers with a trailer under one of our names.
    let back = response.trailers.expect("trailers");
    assert!(!back.contains_key("x-auth-user-id"), "{back:?}");
    assert_eq!(back["grpc-status"], "0");
}

#[test]
fn b8_trailers_of_a_response_carry_no_identity() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.begin_chunked(&[("Trailer", "X-Sum, X-Auth-User-Id, Set-Cookie")]);
        exchange.send_chunk(b"data");
        exchange.send(b"0\r\nX-Sum: 42\r\nX-Auth-User-Id: evil-7\r\nSet-Cookie: sessionid=evil-7\r\nContent-Length: 7\r\nX-Auth-Token-Stale: evil-7\r\n\r\n");
    });
    let scene = Scene::before(upstream, |builder| builder.set("listeners", H2C));
    let response = scene
        .gateway
        .send(&member().header("TE", "trailers"))
        .expect_status(200);
    assert_eq!(response.body, b"data");
    for (name, value) in response.head.fields.iter().chain(&response.end.trailers) {
        assert!(!value.contains(EVIL), "{name}: {value}");
        assert!(
            !name.eq_ignore_ascii_case("trailer") || !value.to_lowercase().contains("auth"),
            "{name}: {value}"
        );
    }
    let client = H2Client::clear(scene.gateway.address());
    let request = H2Request::get("app.test/")
        .bearer(&token().signed())
        .header("te", "trailers");
    let response = client.send(&request).expect("a response");
    let trailers = response.trailers.expect("trailers");
    let names: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-sum"]);
}

/// Sends a good request with this line in it; gives the status.
fn status_with(scene: &Scene, line: &[u8]) -> u16 {
    let mut bytes = member().head_bytes();
    bytes.truncate(bytes.len() - 2);
    bytes.extend_from_slice(line);
    bytes.extend_from_slice(b"\r\n\r\n");
    let mut client = scene.gateway.client();
    client.send(&bytes);
    client.head().status()
}

#[test]
fn b9_what_is_no_header_line_is_refused() {
    let scene = Scene::new();
    let lines: [&[u8]; 14] = [
        b"X-A : 1",
        b"X-A\t: 1",
        b": 1",
        b"X-A",
        b"X-A: 1\r\n folded",
        b"X-A: 1\r\n\tX-Auth-User-Id: 7",
        b" X-A: 1",
        b"X-A: a\0b",
        b"X-A\0: 1",
        b"X-A: a\rX-Auth-User-Id: 7",
        b"X A: 1",
        b"X(A): 1",
        b"X-\xe4: 1",
        b"X-A: a\x7f",
    ];
    for line in lines {
        assert_eq!(status_with(&scene, line), 400, "{line:?}");
    }
    scene.upstream.assert_untouched();
    assert_eq!(status_with(&scene, b"X-A: fine"), 200);
}

#[test]
fn b9_a_folded_line_of_the_upstream_is_no_response() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.send(
            b"HTTP/1.1 200 OK\r\nX-A: 1\r\n X-Auth-User-Id: 7\r\nContent-Length: 2\r\n\r\nhi",
        );
        exchange.wait_for_end();
    });
    let scene = Scene::before(upstream, |builder| builder);
    let response = scene.gateway.send(&member());
    scene.check_refusal(&response, 502, "upstream_protocol");
}

#[test]
fn b10_a_bare_line_feed_ends_no_line() {
    let scene = Scene::new();
    let token = token().signed();
    let auth = format!("Authorization: Bearer {token}");
    for text in [
        format!("GET /records HTTP/1.1\nHost: app.test\r\n{auth}\r\n\r\n"),
        format!("GET /records HTTP/1.1\r\nHost: app.test\n{auth}\r\n\r\n"),
        format!("GET /records HTTP/1.1\r\nHost: app.test\nX-Auth-User-Id: 7\r\n{auth}\r\n\r\n"),
        format!(
            "GET /records HTTP/1.1\r\nHost: app.test\r\n{auth}\r\nX-A: a\nX-Auth-User-Id: 7\r\n\r\n"
        ),
        format!("GET /records HTTP/1.1\r\nHost: app.test\r\n{auth}\r\n\n"),
        format!("GET /records HTTP/1.1\nHost: app.test\n{auth}\n\n"),
    ] {
        let mut client = scene.gateway.client();
        client.send(text.as_bytes());
        let response = client.response("GET");
        scene.check_refusal(&response, 400, "malformed_request");
        // And nothing that follows on this connection is read as a request.
        let _ = client.try_send(&get(&token).bytes());
        assert_eq!(client.rest(), b"", "the connection has ended");
    }
    scene.upstream.assert_untouched();
    never_written(&scene, &token);
}

#[test]
fn b24_an_expectation_is_met_or_refused_and_never_passed_on() {
    let scene = Scene::new();
    for value in [
        "200-ok",
        "y 100-continue",
        "100-continue, x",
        "100-continue, 100-continue",
        "",
        "100",
    ] {
        let request = member().header("Expect", value);
        scene.refuses(&request, 417, "expectation_failed");
    }
    let twice = member()
        .header("Expect", "100-continue")
        .header("Expect", "100-continue");
    scene.refuses(&twice, 417, "expectation_failed");
    // Who may not, is told so before the body, and is not asked for it.
    let denied = Request::post("/", b"hello").header("Expect", "100-continue");
    let mut client = scene.gateway.client();
    client.send(&denied.head_bytes());
    let head = client.head();
    assert_eq!(head.status(), 401, "no 100 before it: {head:?}");
    scene.upstream.assert_untouched();
    // Who may, is asked for it by the gateway; the upstream sees no expectation.
    let allowed = Request::post("/", b"hello")
        .bearer(&token().signed())
        .header("Expect", "100-Continue");
    let mut client = scene.gateway.client();
    client.send(&allowed.head_bytes());
    assert_eq!(client.head().status(), 100);
    client.send(b"hello");
    assert_eq!(client.response("POST").status(), 200);
    let seen = scene.upstream.only();
    assert_eq!(seen.header("expect"), None);
    assert_eq!(seen.body, b"hello");
}

#[test]
fn b25_an_upstream_that_finds_the_head_too_large_is_asked_once() {
    // One that says so, and one that only hangs up, as servers with small line limits do.
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let size: usize = exchange
            .head
            .fields
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        match exchange.path() {
            _ if size < 8 * 1024 => exchange.respond(200, &[], b"fine"),
            "/says" => exchange.respond(431, &[], b"too large"),
            _ => exchange.close(),
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    let request = |path: &str, size: usize| {
        Request::get(path)
            .bearer(&token().signed())
            .header("X-Pad", &"x".repeat(size))
    };
    // The client's own head fits; with what the gateway adds it does not.
    let padded = 8 * 1024 - request("/closes", 0).bytes().len() - 1;
    assert!(request("/says", padded).bytes().len() < 8 * 1024);
    let closed = scene.gateway.send(&request("/closes", padded));
    scene.check_refusal(&closed, 502, "upstream_protocol");
    assert_eq!(scene.upstream.count(), 1, "no second try");
    let said = scene.gateway.send(&request("/says", padded));
    assert_eq!(said.status(), 431);
    assert_eq!(said.body, b"too large");
    assert_eq!(scene.upstream.count(), 2);
    // Over a connection that may just have grown stale, a GET is tried once more, and no further.
    let closed = scene.gateway.send(&request("/closes", padded));
    scene.check_refusal(&closed, 502, "upstream_protocol");
    assert!(scene.upstream.count() <= 4);
    scene.passes(&request("/says", 10));
}

#[test]
fn b26_tens_of_thousands_of_fields_over_http2_harm_nobody() {
    let scene = Scene::with(|builder| builder.set("listeners", H2C));
    // GET, https, /, and 30,000 times `accept-encoding: gzip, deflate`, a byte each (RFC 7541).
    let mut block = vec![0x82, 0x87, 0x84];
    block.extend(vec![0x90; 30_000]);
    // A refusal, a reset or the end of the connection: anything but a hang or a success.
    let answer = h2_raw::answer(scene.gateway.address(), &block);
    assert!(!matches!(answer, Answer::Headers(0x88)), "{answer:?}");
    scene.upstream.assert_untouched();
    let client = H2Client::clear(scene.gateway.address());
    let good = H2Request::get("app.test/").bearer(&token().signed());
    assert_eq!(client.send(&good).expect("a response").status, 200);
    scene.passes_as(&member(), "match");
}
