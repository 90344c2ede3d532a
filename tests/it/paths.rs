//! One path, from the wire, decides: no spelling reaches behind a stricter route.

use crate::harness::{Request, Scene, Token};

const USERS: &str = r#"users:
  - { user: "admin", account: "12", active: true, roles: [admin] }
  - { user: "5", account: "12", active: true }
"#;

/// `/public` is open, `/admin` asks for a role, `/api` for a user; nothing else exists.
const ROUTES: &str = "[ { match: { path: /public }, access: public, upstream: app },
  { match: { path: /admin }, access: member, roles: [admin], upstream: app },
  { match: { path: /api }, access: member, upstream: app },
  { match: { path: =/exact }, access: public, upstream: app } ]";

fn scene() -> Scene {
    Scene::with(|builder| builder.users(USERS).set("routes", ROUTES))
}

/// Refused as it stands, whoever asks.
const REFUSED: &[&str] = &[
    "/public/../admin",
    "/public/..",
    "/public/./../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/.%2e/admin",
    "/public/%2e./admin",
    "/public/..%2fadmin",
    "/public/..%2Fadmin",
    "/public/%2e%2e%2fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public/..;/admin",
    "/public/;/../admin",
    "/public;x=1/../admin",
    "/./admin",
    "/public/.",
    "/admin/.",
    "//admin",
    "///admin",
    "/public//admin",
    "/admin//x",
    "/public/%2fadmin",
    "/admin%2f",
    "/admin%2Fx",
    "/public%2f..%2fadmin",
    "/admin%00",
    "/public%00/admin",
    "/admin%0a",
    "/admin%0d%0aX:1",
    "\\admin",
    "/public\\..\\admin",
    "/admin%5c",
    "/%2561dmin",
    "/public/%252e%252e/admin",
    "/public/%25%32%65/admin",
    "/%u0061dmin",
    "/admin%",
    "/admin%2",
    "/admin%zz",
    "/admin;x=1",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%ff",
    "/admin#/public",
    "/public#/../admin",
];

#[test]
fn d2_every_path_with_two_readings_is_refused() {
    let scene = scene();
    let token = Token::user("admin").account("12").signed();
    for path in REFUSED {
        for request in [Request::get(path), Request::get(path).bearer(&token)] {
            let mut client = scene.gateway.client();
            client.send(&request.bytes());
            let response = client.response("GET");
            assert_eq!(response.status(), 400, "{path}: {}", response.text());
        }
    }
    scene.upstream.assert_untouched();
}

#[test]
fn d2_raw_bytes_outside_ascii_are_refused() {
    let scene = scene();
    for path in [
        "/public/é".as_bytes(),
        b"/public/\xff",
        b"/public/\x7f",
        b"/public/\x01",
    ] {
        let bytes = [b"GET ", path, b" HTTP/1.1\r\nHost: app.test\r\n\r\n"].concat();
        let mut client = scene.gateway.client();
        client.send(&bytes);
        assert_eq!(client.head().status(), 400, "{path:?}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn d1_encoded_letters_are_the_letters_for_route_and_upstream_alike() {
    let scene = scene();
    let admin = Token::user("admin").account("12").signed();
    let five = Token::user("5").account("12").signed();
    for (path, forwarded) in [
        ("/%61dmin", "/admin"),
        ("/%61%64%6d%69%6e/x", "/admin/x"),
        ("/adm%69n/%7ex", "/admin/~x"),
        ("/admin/%2Dx", "/admin/-x"),
    ] {
        scene.refuses(&Request::get(path), 401, "credential_missing");
        scene.refuses(&Request::get(path).bearer(&five), 403, "role_required");
        let (_, seen) = scene.passes(&Request::get(path).bearer(&admin));
        assert_eq!(seen.head.target(), forwarded);
    }
    // What needs its encoding keeps it.
    let (_, seen) = scene.passes(&Request::get("/public/%C3%A9%20x?q=%61"));
    assert_eq!(seen.head.target(), "/public/%C3%A9%20x?q=%61");
}

#[test]
fn d5_a_prefix_covers_whole_segments() {
    let scene = scene();
    for path in [
        "/publicx",
        "/public.html",
        "/publi",
        "/x/public",
        "/ADMIN",
        "/Public",
        "/exact/x",
        "/exact/",
    ] {
        scene.refuses(&Request::get(path), 404, "no_route");
    }
    for path in [
        "/public",
        "/public/",
        "/public/x",
        "/public?x",
        "/exact",
        "/exact?y",
    ] {
        let (_, seen) = scene.passes(&Request::get(path));
        assert_eq!(seen.head.target(), path);
    }
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin.json",
        "/admin?/public",
    ] {
        let response = scene.gateway.send(&Request::get(path));
        let wanted = if path == "/admin.json" { 404 } else { 401 };
        assert_eq!(response.status(), wanted, "{path}");
    }
}

#[test]
fn d3_a_query_never_takes_part() {
    let scene = scene();
    for path in [
        "/admin?x=/public/health",
        "/admin?/public",
        "/admin?../public",
        "/admin/?a=/../public",
    ] {
        scene.refuses(&Request::get(path), 401, "credential_missing");
    }
    for path in ["/public?x=/../admin", "/public?//;%2f%00%zz"] {
        let (_, seen) = scene.passes(&Request::get(path));
        assert_eq!(seen.head.target(), path);
    }
}

#[test]
fn d9_a_static_suffix_is_no_pass() {
    let scene = scene();
    for path in [
        "/api/x.css",
        "/api/a.js",
        "/api/.well-known",
        "/api/favicon.ico",
    ] {
        scene.refuses(&Request::get(path), 401, "credential_missing");
    }
    for path in ["/api/;.js", "/api/a%0a.css", "/api/..%2fstatic/x.js"] {
        let response = scene.gateway.send(&Request::get(path));
        assert_eq!(response.status(), 400, "{path}");
    }
}

#[test]
fn a_route_may_admit_some_forms_behind_its_prefix() {
    let scene = Scene::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /files, allow: [encoded_slash] }, access: member, upstream: app },
  { match: { path: /public }, access: public, upstream: app } ]",
        )
    });
    let token = Token::user("5").account("12").signed();
    let (_, seen) = scene.passes(&Request::get("/files/a%2Fb").bearer(&token));
    assert!(seen.head.target().eq_ignore_ascii_case("/files/a%2fb"));
    for path in [
        "/files/..%2fpublic",
        "/files/a;b",
        "/files//b",
        "/public/a%2fb",
        "/files%2fx",
    ] {
        let response = scene.gateway.send(&Request::get(path).bearer(&token));
        assert_eq!(response.status(), 400, "{path}: {}", response.text());
    }
}

#[test]
fn a_host_narrows_a_route() {
    let scene = Scene::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { host: open.test, path: / }, access: public, upstream: app },
  { match: { host: \"*.wild.test\", path: / }, access: public, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    for host in [
        "open.test",
        "OPEN.test",
        "open.test.",
        "open.test:99",
        "a.wild.test",
    ] {
        scene.passes(&Request::get("/").host(host));
    }
    for host in [
        "app.test",
        "xopen.test",
        "open.test.evil.test",
        "wild.test",
        "a.b.wild.test",
    ] {
        scene.refuses(&Request::get("/").host(host), 401, "credential_missing");
    }
}

#[test]
fn d5_an_exact_path_is_this_very_path() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: =/ping }, access: public, upstream: app },
  { match: { path: =/pong/ }, access: public, upstream: app },
  { match: { path: =/ }, access: public, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    for path in ["/ping", "/pong/", "/", "/ping?a=1"] {
        scene.passes(&Request::get(path));
    }
    for path in ["/ping/", "/ping/x", "/pingx", "/pong", "/pong/x", "/x"] {
        scene.refuses_any(&Request::get(path), 401, &["credential_missing"]);
    }
}

#[test]
fn ten_thousand_routes_are_served_and_the_narrowest_host_wins() {
    use std::fmt::Write as _;
    let mut routes =
        "\n  - { match: { host: \"*.wild.test\", path: / }, access: public, upstream: app }
  - { match: { path: / }, access: member, roles: [admin], upstream: app }\n"
            .to_owned();
    for number in 0..9998 {
        let (access, roles) = [("public", ""), ("member", "roles: [admin], ")][number % 2];
        writeln!(routes, "  - {{ match: {{ host: h{number}.wild.test, path: / }}, access: {access}, {roles}upstream: app }}")
            .unwrap();
    }
    let scene = Scene::with(|builder| builder.users(USERS).set("routes", &routes));
    for open in [
        "h0.wild.test",
        "h9996.wild.test",
        "other.wild.test",
        "h.wild.test",
    ] {
        scene.passes(&Request::get("/").host(open));
    }
    for closed in [
        "h1.wild.test",
        "h9997.wild.test",
        "wild.test",
        "a.h0.wild.test",
        "elsewhere.test",
    ] {
        scene.refuses(&Request::get("/").host(closed), 401, "credential_missing");
    }
}
