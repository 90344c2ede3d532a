//! One authority: whoever is asked, routed by and forwarded is the same one.

use super::h2_raw::{self, Answer, literal};
use super::{get, token};
use crate::harness::{
    Authority, Builder, Client, H2Client, H2Request, Request, Scene, Token, WebSocket,
};

const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

const USERS: &str = r#"users:
  - { tenant: a, user: "5", account: "12", active: true }
  - { tenant: b, user: "5", account: "99", active: true }
"#;

/// Tenants `a` and `b` by host.
fn tenants(builder: Builder) -> Builder {
    builder
        .users(USERS)
        .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
}

fn of(tenant: &str) -> Request {
    get(&Token::user("5").tenant(tenant).signed())
}

#[track_caller]
fn refuses_with_400(scene: &Scene, request: &Request) {
    scene.refuses_any(request, 400, &["ambiguous_request", "malformed_request"]);
}

#[test]
fn b16_a_request_has_just_one_host() {
    let scene = Scene::new();
    let good = || get(&token().signed());
    refuses_with_400(&scene, &good().without_host());
    refuses_with_400(&scene, &good().header("Host", "other.test"));
    refuses_with_400(&scene, &good().header("hOST", "app.test"));
    for host in [
        "",
        ".",
        " ",
        "a b",
        "a b/c@d",
        "a,b",
        "a, app.test",
        "a@b",
        "app.test@evil.test",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "app.test:",
        "app.test:x",
        "app.test:80:80",
        "[::1",
        "::1",
        "bücher.test",
        "a%2etest",
        "http://app.test",
    ] {
        refuses_with_400(&scene, &good().host(host));
    }
    // HTTP/1.0 may leave it out; here it decides too much for that.
    let old = format!(
        "GET / HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n",
        token().signed()
    );
    let mut client = scene.gateway.client();
    client.send(old.as_bytes());
    assert_eq!(client.head().status(), 400);
    scene.upstream.assert_untouched();
}

#[test]
fn b17_an_absolute_target_and_the_host_are_one() {
    let scene = Scene::with(tenants);
    for (target, host) in [
        ("http://b.example.test/x", "a.example.test"),
        ("http://a.example.test/x", "b.example.test"),
        ("http://a.example.test:81/x", "a.example.test"),
        ("http://a.example.test@b.example.test/x", "a.example.test"),
        ("http://b.example.test/x", ""),
        ("http:///x", "a.example.test"),
        ("ftp://a.example.test/x", "a.example.test"),
        ("evil://a.example.test/x", "a.example.test"),
    ] {
        for tenant in ["a", "b"] {
            let token = Token::user("5").tenant(tenant).signed();
            let request = Request::get(target).host(host).bearer(&token);
            let response = scene.gateway.send(&request);
            assert_eq!(response.status(), 400, "{target} {host}: {response:?}");
        }
    }
    scene.upstream.assert_untouched();
    let same = Request::get("http://A.example.test:80/x?y=1")
        .host("a.example.test.")
        .bearer(&Token::user("5").tenant("a").signed());
    let (_, seen) = scene.passes(&same);
    assert_eq!(seen.head.start, "GET /x?y=1 HTTP/1.1");
    assert_eq!(seen.head.all("host"), ["a.example.test"]);
    assert_eq!(seen.head.all("x-auth-tenant-id"), ["a"]);
}

#[test]
fn b18_a_target_that_is_no_path_reaches_nobody() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: public, upstream: app } ]",
        )
    });
    for (method, target) in [
        ("GET", "evil.test:80"),
        ("GET", "app.test"),
        ("GET", "*"),
        ("GET", "x"),
        ("GET", "?x"),
        ("POST", "*"),
        ("OPTIONS", "*"),
        ("CONNECT", "app.test:80"),
        ("CONNECT", "127.0.0.1:22"),
        ("CONNECT", "/"),
        ("CONNECT", "*"),
        ("TRACE", "/"),
    ] {
        let request = Request::new(method, target);
        let mut client = scene.gateway.client();
        client.send(&request.bytes());
        let status = client.head().status();
        assert!([400, 405].contains(&status), "{method} {target}: {status}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn b19_the_authority_of_http2_and_its_host_are_one() {
    let scene = Scene::with(|builder| tenants(builder).set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    let a = Token::user("5").tenant("a").signed();
    for (place, host) in [
        ("a.example.test/x", "b.example.test"),
        ("b.example.test/x", "a.example.test"),
        ("a.example.test/x", ""),
        ("a.example.test/x", "a.example.test:81"),
        ("a.example.test:81/x", "a.example.test"),
    ] {
        let request = H2Request::get(place).bearer(&a).header("host", host);
        // A reset is as good as a refusal.
        if let Ok(response) = client.send(&request) {
            assert_eq!(response.status, 400, "{place} {host}");
        }
    }
    let user = H2Request::get("x@a.example.test/x").bearer(&a);
    if let Ok(response) = client.send(&user) {
        assert_eq!(response.status, 400);
    }
    scene.upstream.assert_untouched();
    let same = H2Request::get("a.example.test/x")
        .bearer(&a)
        .header("host", "A.example.test");
    assert_eq!(client.send(&same).expect("a response").status, 200);
    let seen = scene.upstream.only();
    assert_eq!(seen.head.all("host"), ["a.example.test"]);
    assert_eq!(seen.head.all("x-auth-tenant-id"), ["a"]);
}

#[test]
fn b19_a_request_without_one_plain_authority_is_refused() {
    let scene = Scene::with(|builder| {
        builder.set("listeners", H2C).set(
            "routes",
            "[ { match: { path: / }, access: public, upstream: app } ]",
        )
    });
    let (get, https, root) = (0x82, 0x87, 0x84);
    let authority = |value: &str| literal(":authority", value);
    let start = |scheme: Vec<u8>| [vec![get], scheme, vec![root]].concat();
    let https = || start(vec![https]);
    for block in [
        https(),
        [https(), literal("host", "app.test")].concat(),
        [https(), authority("")].concat(),
        [https(), authority(""), literal("host", "app.test")].concat(),
        [https(), authority("x@app.test")].concat(),
        [https(), authority("app.test, evil.test")].concat(),
        [https(), authority("app.test/x")].concat(),
        [https(), authority("app.test:99999")].concat(),
        [https(), authority("app.test"), literal("host", "evil.test")].concat(),
        [https(), authority("app.test"), authority("evil.test")].concat(),
        [start(literal(":scheme", "evil")), authority("app.test")].concat(),
        [start(literal(":scheme", "")), authority("app.test")].concat(),
        [start(Vec::new()), authority("app.test")].concat(),
        [https(), authority("app.test"), literal("X-Upper", "1")].concat(),
        [https(), authority("app.test"), literal("x-a", " lead")].concat(),
        [
            https(),
            authority("app.test"),
            literal("x-a", "a\r\nx-b: 1"),
        ]
        .concat(),
        [https(), authority("app.test"), literal("connection", "x-a")].concat(),
        [
            https(),
            authority("app.test"),
            literal("transfer-encoding", "chunked"),
        ]
        .concat(),
    ] {
        let answer = h2_raw::answer(scene.gateway.address(), &block);
        let refused = [Answer::Headers(0x8c), Answer::Reset, Answer::Ended];
        let shown = String::from_utf8_lossy(&block);
        assert!(refused.contains(&answer), "{shown:?}: {answer:?}");
    }
    scene.upstream.assert_untouched();
    let good = [https(), authority("app.test")].concat();
    let answer = h2_raw::answer(scene.gateway.address(), &good);
    assert_eq!(answer, Answer::Headers(0x88));
}

#[test]
fn b20_cookies_of_many_lines_are_one_cookie() {
    let scene = Scene::with(|builder| {
        builder.set("listeners", H2C).set(
            "credentials",
            "[ cookie: { name: access_token, forward: keep } ]",
        )
    });
    let token = token().signed();
    let joined = format!("a=1; access_token={token}; b=2");
    let client = H2Client::clear(scene.gateway.address());
    let crumbs = H2Request::get("app.test/")
        .header("cookie", "a=1")
        .header("cookie", &format!("access_token={token}"))
        .header("cookie", "b=2");
    assert_eq!(client.send(&crumbs).expect("a response").status, 200);
    assert_eq!(scene.upstream.only().head.all("cookie"), [joined.as_str()]);
    let lines = Request::get("/")
        .header("Cookie", "a=1")
        .header("cookie", &format!("access_token={token}"))
        .header("COOKIE", "b=2");
    let (_, seen) = scene.passes(&lines);
    assert_eq!(seen.head.all("cookie"), [joined.as_str()]);
    // Two values of the name that decides are two identities.
    let other = Token::user("7").signed();
    let before = scene.upstream.bytes();
    let twice = lines.header("Cookie", &format!("access_token={other}"));
    scene.refuses(&twice, 400, "ambiguous_request");
    let twice = crumbs.header("cookie", &format!("access_token={other}"));
    let response = client.send(&twice).expect("a response");
    assert_eq!(response.json()["reason"], "ambiguous_request");
    assert_eq!(scene.upstream.bytes(), before);
    scene.never_written(&other);
}

#[test]
fn b21_every_spelling_of_a_host_is_one_tenant_or_none() {
    let scene = Scene::with(tenants);
    for (host, forwarded) in [
        ("A.EXAMPLE.TEST", "a.example.test"),
        ("a.example.test.", "a.example.test"),
        ("a.example.test:80", "a.example.test"),
        ("a.Example.test.:80", "a.example.test"),
        ("a.example.test:8443", "a.example.test:8443"),
    ] {
        let (_, seen) = scene.passes(&of("a").host(host));
        assert_eq!(seen.head.all("host"), [forwarded], "{host}");
        assert_eq!(seen.head.all("x-forwarded-host"), [forwarded], "{host}");
        assert_eq!(seen.head.all("x-auth-tenant-id"), ["a"], "{host}");
    }
    let before = scene.upstream.bytes();
    for host in [
        "a.example.test:0080",
        "a.example.test:99999",
        "a.example.test:0",
        "a.example.test..",
        "a..example.test",
        ".a.example.test",
        "a.example.test:80:80",
        "ä.example.test",
        "ａ.example.test",
    ] {
        refuses_with_400(&scene, &of("a").host(host));
    }
    // Other hosts, which name no tenant of ours.
    for host in [
        "[::1]",
        "0x7f.1",
        "127.0.0.1",
        "example.test",
        "xn--example-.org",
        "a.example.test.evil.test",
        "x.a.example.test",
        "evil-a.example.tes",
    ] {
        scene.refuses(&of("a").host(host), 400, "tenant_missing");
    }
    // A label that is a tenant's name in other clothes is another tenant.
    for host in ["xn--a.example.test", "xn--.example.test"] {
        let response = scene.gateway.send(&of("a").host(host));
        assert!([400, 403, 404].contains(&response.status()), "{host}");
    }
    assert_eq!(scene.upstream.bytes(), before);
}

#[test]
fn b22_a_connection_for_one_tenant_serves_no_other() {
    let authority = Authority::new();
    let scene = Scene::with(|builder| {
        tenants(builder).tls(&authority, &["a.example.test", "b.example.test"])
    });
    let address = scene.gateway.address();
    let mut client = Client::tls(address, "a.example.test", &authority);
    client
        .exchange(&of("a").host("a.example.test"))
        .expect_status(200);
    let before = scene.upstream.bytes();
    for host in ["b.example.test", "B.example.test.", "b.example.test:443"] {
        let response = client.exchange(&of("b").host(host));
        scene.check_refusal(&response, 421, "host_mismatch");
    }
    let client = H2Client::tls(address, "a.example.test", &authority);
    let token = Token::user("5").tenant("b").signed();
    let fronted = H2Request::get("b.example.test/").bearer(&token);
    let response = client.send(&fronted).expect("a response");
    assert_eq!(response.status, 421);
    assert_eq!(response.json()["reason"], "host_mismatch");
    assert_eq!(scene.upstream.bytes(), before);
    scene.never_written(&token);
}

#[test]
fn b23_http2_in_clear_text_is_not_slipped_in() {
    let scene = Scene::new();
    let upgrade = get(&token().signed())
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
    let (_, seen) = scene.passes(&upgrade);
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let before = scene.upstream.bytes();
    let both = get(&token().signed())
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "websocket, h2c")
        .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
    scene.refuses(&both, 400, "malformed_request");
    // Prior knowledge is taken only where it is configured.
    let mut client = scene.gateway.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    let answer = client.rest();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
        "{answer:?}"
    );
    assert_eq!(scene.upstream.bytes(), before);
    // Nor by an upstream that offers to switch.
    let upstream = crate::harness::Recorder::answering(|exchange| {
        exchange.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        );
        exchange.wait_for_end();
    });
    let scene = Scene::before(upstream, |builder| builder);
    let response = scene.gateway.send(&upgrade);
    scene.check_refusal(&response, 502, "upstream_protocol");
    let handshake = crate::harness::upgrade_headers(get(&token().signed()));
    let refused = WebSocket::try_open(scene.gateway.address(), &handshake);
    assert_eq!(refused.err().map(|response| response.status()), Some(502));
}
