//! C22, C31: what HTTP/2 lets through and HTTP/1.1 cannot carry is refused; the target that leaves
//! is in origin-form.

use super::frames::{DATA, END_STREAM, End, Frames, frame, headers, post};
use super::support::Attack;
use super::wire_bodies::H2C;
use crate::harness::until;

/// Sends one request of these fields; it must not be answered with success, and the upstream must
/// not be sent a byte.
#[track_caller]
fn refused(attack: &Attack, fields: &[(&str, &str)], body: Option<&[u8]>) {
    let bearer = format!("Bearer {}", attack.token);
    let mut all = fields.to_vec();
    all.push(("authorization", &bearer));
    let before = attack.upstream().bytes();
    let mut client = Frames::open(attack.gateway().address(), &[]);
    client.send(&headers(1, &all, body.is_none()));
    if let Some(body) = body {
        client.try_send(&frame(DATA, END_STREAM, 1, body));
    }
    let end = client.end_of(1);
    match &end {
        End::Answered(_) => {
            let reason = end.reason();
            assert!(
                [
                    "malformed_request",
                    "ambiguous_request",
                    "host_mismatch",
                    "method_not_allowed"
                ]
                .contains(&reason.as_deref().unwrap_or("none")),
                "{fields:?}: {end:?}"
            );
            let line = attack
                .gateway()
                .audit(|line| line["reason"] == reason.as_deref().unwrap_or_default());
            assert_eq!(line["decision"], "deny");
        }
        End::Reset(code) => assert_eq!(*code, 1, "{fields:?}"),
        End::Connection(code) => assert!(code.is_some(), "{fields:?}"),
    }
    assert_eq!(attack.upstream().bytes(), before, "{fields:?}");
}

fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "app.test"),
        (":path", "/x"),
    ];
    if name.starts_with(':') {
        fields.retain(|field| field.0 != name);
        fields.push((name, value));
        fields.sort_by_key(|field| !field.0.starts_with(':'));
    } else {
        fields.push((name, value));
    }
    fields
}

#[test]
fn c22_what_http1_cannot_carry_is_refused() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    for (name, value) in [
        (":path", "http://evil.test/x"),
        (":path", "x"),
        (":path", ""),
        (":path", "*"),
        (":path", "/a b"),
        (":path", "/a\r\nX-Auth-User-Id: 1"),
        (":path", "/a\0"),
        (":path", "/a HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /b"),
        (":method", "GE T"),
        (":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"),
        (":method", ""),
        (":scheme", "evil"),
        (":scheme", ""),
        (":authority", "user@app.test"),
        (":authority", "user:secret@app.test"),
        (":authority", "app.test/x"),
        (":authority", ""),
        (":authority", "a,b"),
        (":authority", "app.test\r\nX-Auth-User-Id: 1"),
        ("X-Upper", "1"),
        ("x-crlf", "a\r\nX-Auth-User-Id: 1"),
        ("x-lf", "a\nX-Auth-User-Id: 1"),
        ("x-cr", "a\rb"),
        ("x-nul", "a\0b"),
        ("x-lead", " a"),
        ("x-trail", "a "),
        ("x-tab", "\ta"),
        ("x bad", "1"),
        ("x:bad", "1"),
        ("x\r\nbad", "1"),
        ("", "1"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("connection", "x-auth-user-id"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("upgrade", "websocket"),
        ("content-length", "5"),
        ("content-length", "abc"),
        ("content-length", "+0"),
        ("host", "evil.test"),
        (":status", "200"),
        (":protocol", "websocket"),
        (":unknown", "1"),
    ] {
        refused(&attack, &with(name, value), None);
    }
    attack.calm();
}

#[test]
fn c22_a_length_that_the_data_does_not_keep_is_refused_or_broken() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    for (length, body) in [("5", &b"abc"[..]), ("3", b"abcdef"), ("0", b"a")] {
        let mut client = Frames::open(attack.gateway().address(), &[]);
        let mut fields = post("/length", &bearer);
        fields.push(("content-length", length));
        client.send(&headers(1, &fields, false));
        client.try_send(&frame(DATA, END_STREAM, 1, body));
        let end = client.end_of(1);
        assert!(
            !matches!(&end, End::Answered(_) if end.reason().is_none()),
            "{length}: {end:?}"
        );
        drop(client);
    }
    until("the requests have ended", || {
        attack.metric("countersign_requests_in_flight") == 0.0
    });
    for seen in attack.upstream().requests() {
        assert_ne!(seen.complete, Some(true), "{:?}", seen.head);
    }
    attack.calm();
}

#[test]
fn c22_twice_the_same_pseudo_header_is_refused() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    for (name, value) in [
        (":path", "/y"),
        (":authority", "evil.test"),
        (":method", "POST"),
        (":scheme", "https"),
    ] {
        let mut fields = with("x-a", "1");
        fields.insert(4, (name, value));
        refused(&attack, &fields, None);
        // Behind an ordinary field no pseudo-header may stand.
        let mut fields = with("x-a", "1");
        fields.push((name, value));
        refused(&attack, &fields, None);
    }
    attack.calm();
}

/// Over HTTP/2 the parser cuts a fragment before anything sees it: one reading is left, which is
/// matched and forwarded. (Over HTTP/1.1 it is refused.)
#[test]
fn c22_d4_a_fragment_is_cut_before_anything_is_decided() {
    let attack = Attack::with(|builder| {
        builder.set("listeners", H2C).set(
            "routes",
            "[ { match: { path: /public }, access: public, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let mut client = Frames::open(attack.gateway().address(), &[]);
    client.send(&headers(1, &with(":path", "/admin#/public"), true));
    assert_eq!(
        client.end_of(1).reason().as_deref(),
        Some("credential_missing")
    );
    client.send(&headers(3, &with(":path", "/public#/admin"), true));
    assert!(matches!(client.end_of(3), End::Answered(_)));
    assert_eq!(attack.upstream().only().head.target(), "/public");
    drop(client);
    attack.calm();
}

#[test]
fn c22_what_http1_can_carry_arrives() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    let mut client = Frames::open(attack.gateway().address(), &[]);
    let mut fields = with("te", "trailers");
    fields.push(("x-fair", "a b"));
    fields.push(("authorization", &bearer));
    client.send(&headers(1, &fields, true));
    assert!(matches!(client.end_of(1), End::Answered(_)));
    let seen = attack.upstream().only();
    assert_eq!(seen.head.start, "GET /x HTTP/1.1");
    assert_eq!(seen.head.all("host"), ["app.test"]);
    assert_eq!(seen.header("x-fair"), Some("a b"));
    drop(client);
    attack.calm();
}

#[test]
fn c31_an_absolute_target_leaves_in_origin_form() {
    let attack = Attack::new();
    for (target, forwarded) in [
        ("http://app.test/abs", "/abs"),
        (
            "http://app.test/abs?q=http://evil.test/",
            "/abs?q=http://evil.test/",
        ),
        ("http://APP.test.:80/abs", "/abs"),
        ("http://app.test", "/"),
        ("http://app.test?q", "/?q"),
    ] {
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("GET {target} HTTP/1.1\r\n{{auth}}\r\n")));
        let response = client.response("GET").expect_status(200);
        attack.audited(&response);
        let seen = attack.upstream().last();
        assert_eq!(seen.head.start, format!("GET {forwarded} HTTP/1.1"));
        assert_eq!(seen.head.all("host"), ["app.test"]);
    }
    attack.calm();
}

#[test]
fn c31_an_absolute_target_of_another_host_is_refused() {
    let attack = Attack::new();
    for target in [
        "http://evil.test/abs",
        "http://app.test@evil.test/",
        "http://app.test:81/",
        "ftp://app.test/",
        "http:///x",
        "http:/x",
        "app.test:80",
        "*",
    ] {
        attack.refused(
            &format!("GET {target} HTTP/1.1\r\n{{auth}}\r\n"),
            400,
            &["ambiguous_request", "malformed_request"],
        );
    }
    attack.calm();
}
