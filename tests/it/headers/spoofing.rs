//! Headers that a client may not set, by any spelling that an upstream could fold into ours.

use crate::harness::{Request, Scene, Seen, Token};

fn member() -> Request {
    Request::get("/").bearer(&Token::user("5").account("12").signed())
}

const EVIL: &str = "evil-7";

/// No field, of whatever name, carries what the client tried.
#[track_caller]
fn assert_clean(seen: &Seen) {
    for (name, value) in &seen.head.fields {
        assert!(!value.contains(EVIL), "{name}: {value}");
        assert!(!name.contains('_'), "{name}: {value}");
    }
    for (name, value) in &seen.trailers {
        assert!(!value.contains(EVIL), "trailer {name}: {value}");
    }
    assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
    assert_eq!(seen.head.all("x-auth-account-id"), ["12"]);
    assert_eq!(seen.head.all("x-auth-tenant-id"), ["default"]);
}

#[test]
fn b1_b3_every_alias_of_an_identity_header_is_removed() {
    let scene = Scene::new();
    for name in [
        "X-Auth-User-Id",
        "x-auth-user-id",
        "X-AUTH-USER-ID",
        "X_Auth_User_Id",
        "x_auth_user_id",
        "X-Auth_User-Id",
        "X.Auth.User.Id",
        "X-Auth.User_Id",
        "X-Auth-Account-Id",
        "X_AUTH_ACCOUNT_ID",
        "X-Auth-Tenant-Id",
        "X-Auth-Roles",
        "X_Auth_Roles",
        "X-Auth-Credential",
        "X-Auth-Token-Stale",
    ] {
        let (_, seen) = scene.passes(&member().header(name, EVIL));
        assert_clean(&seen);
        let twice = member().header(name, EVIL).header(name, "evil-7, x");
        let (_, seen) = scene.passes(&twice);
        assert_clean(&seen);
    }
}

#[test]
fn b13_b14_headers_that_apps_trust_are_removed() {
    let scene = Scene::new();
    for name in [
        "Remote-User",
        "REMOTE-USER",
        "Remote_User",
        "Remote-Groups",
        "X-Forwarded-User",
        "X-Forwarded-Email",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "X-Forwarded-Method",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-Original-Method",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
        "Proxy",
        "Script-Name",
        "Script_Name",
        "Path-Info",
        "Daphne-Root-Path",
        "X-SSL-Client-Cert",
        "X_Custom",
        "content_length",
        "transfer_encoding",
    ] {
        let (_, seen) = scene.passes(&member().header(name, EVIL));
        assert_clean(&seen);
    }
}

#[test]
fn a_public_route_removes_them_too() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: public, upstream: app } ]",
        )
    });
    for name in [
        "X-Auth-User-Id",
        "X_Auth_User_Id",
        "Remote-User",
        "X-Auth-Tenant-Id",
    ] {
        let (_, seen) = scene.passes(&Request::get("/").header(name, EVIL));
        for (name, value) in &seen.head.fields {
            assert!(!value.contains(EVIL), "{name}: {value}");
        }
        assert_eq!(seen.header("x-auth-user-id"), None);
    }
}

#[test]
fn ordinary_headers_pass_as_they_are() {
    let scene = Scene::new();
    let request = member()
        .header("Accept-Language", "de")
        .header("X-Custom", "one")
        .header("X-Custom", "two")
        .header("Cookie", "theme=dark; lang=de")
        .header("User-Agent", "test/1");
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.head.all("x-custom"), ["one", "two"]);
    assert_eq!(seen.header("accept-language"), Some("de"));
    assert_eq!(seen.header("cookie"), Some("theme=dark; lang=de"));
    assert_eq!(seen.header("user-agent"), Some("test/1"));
}

#[test]
fn b5_a_connection_line_cannot_remove_what_the_gateway_writes() {
    let scene = Scene::new();
    for nominated in [
        "x-auth-user-id",
        "X-Auth-User-Id, x-auth-account-id",
        "keep-alive, X-AUTH-TENANT-ID",
        "x-request-id, x-forwarded-for",
    ] {
        let request = member().header("Connection", nominated);
        let (_, seen) = scene.passes(&request);
        assert_clean(&seen);
        assert_eq!(seen.header("connection"), None);
        assert!(seen.header("x-request-id").is_some());
        assert!(seen.header("x-forwarded-for").is_some());
        let two_lines = member()
            .header("Connection", "keep-alive")
            .header("Connection", nominated);
        let (_, seen) = scene.passes(&two_lines);
        assert_clean(&seen);
    }
}

#[test]
fn b6_a_connection_line_cannot_remove_host_credentials_or_content() {
    let scene = Scene::new();
    let request = Request::post("/", b"hello")
        .bearer(&Token::user("5").account("12").signed())
        .header("Content-Type", "text/plain")
        .header("Cookie", "a=1")
        .header(
            "Connection",
            "host, authorization, cookie, content-length, content-type",
        );
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.header("host"), Some("app.test"));
    assert!(seen.header("authorization").is_some());
    assert_eq!(seen.header("cookie"), Some("a=1"));
    assert_eq!(seen.header("content-type"), Some("text/plain"));
    assert_eq!(seen.body, b"hello");
}

#[test]
fn hop_by_hop_headers_end_here() {
    let scene = Scene::new();
    let request = member()
        .header("Connection", "keep-alive, X-Hop")
        .header("Keep-Alive", "timeout=5")
        .header("X-Hop", "hop")
        .header("TE", "trailers")
        .header("Proxy-Authorization", "Basic eA==")
        .header("Proxy-Connection", "keep-alive");
    let (_, seen) = scene.passes(&request);
    for name in [
        "keep-alive",
        "x-hop",
        "proxy-authorization",
        "proxy-connection",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let te = seen.header("te");
    assert!(te.is_none_or(|te| te == "trailers"), "{te:?}");
}

#[test]
fn b8_trailers_carry_no_identity() {
    let scene = Scene::new();
    let request = Request::new("POST", "/")
        .bearer(&Token::user("5").account("12").signed())
        .header("Trailer", "X-Auth-User-Id, X-Sum")
        .chunks(
            &[b"hello"],
            &[
                ("X-Auth-User-Id", EVIL),
                ("X_Auth_User_Id", EVIL),
                ("Authorization", EVIL),
                ("Content-Length", EVIL),
                ("Remote-User", EVIL),
            ],
        );
    let (_, seen) = scene.passes(&request);
    assert_clean(&seen);
    assert_eq!(seen.body, b"hello");
}

#[test]
fn b9_malformed_fields_are_refused() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    for line in [
        "X-A : 1".as_bytes(),
        b": 1",
        b"X-A: 1\r\n folded",
        b"X-A: a\0b",
        b"X-A: a\rb",
        b"X A: 1",
    ] {
        let mut bytes =
            format!("GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer {token}\r\n")
                .into_bytes();
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n\r\n");
        let mut client = scene.gateway.client();
        client.send(&bytes);
        assert_eq!(client.head().status(), 400, "{line:?}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn b10_a_bare_line_feed_cannot_smuggle_a_header() {
    let scene = Scene::new();
    let token = Token::user("5").account("12").signed();
    let text = format!(
        "GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer {token}\r\nX-A: a\nX-Auth-User-Id: {EVIL}\r\n\r\n"
    );
    let mut client = scene.gateway.client();
    client.send(text.as_bytes());
    let status = client.head().status();
    if status == 200 {
        assert_clean(&scene.upstream.only());
    } else {
        assert_eq!(status, 400);
        scene.upstream.assert_untouched();
    }
}

#[test]
fn a_name_that_the_operator_allows_passes_but_never_ours() {
    let scene = Scene::with(|builder| builder.set("identity", "{ allow: [ legacy_id ] }"));
    let request = member()
        .header("legacy_id", "77")
        .header("other_id", EVIL)
        .header("x_auth_user_id", EVIL);
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.header("legacy_id"), Some("77"));
    assert_eq!(seen.header("other_id"), None);
    assert_eq!(seen.header("x_auth_user_id"), None);
    assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
}

#[test]
fn d7_method_override_headers_do_not_widen_a_limited_path() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: /, methods: [GET, POST] }, access: member, upstream: app } ]",
        )
    });
    for name in [
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
    ] {
        let request = Request::post("/", b"x")
            .bearer(&Token::user("5").account("12").signed())
            .header(name, "DELETE");
        scene.refuses_any(&request, 400, &["ambiguous_request", "malformed_request"]);
    }
    scene.upstream.assert_untouched();
}
