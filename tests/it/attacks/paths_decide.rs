//! D7 to D13: method, preflight, caching, reserved paths, default deny, policy, redirects.

use super::paths_read::{USERS, attack};
use super::support::Attack;
use crate::harness::{Builder, Exchange, Recorder, Request, Scene, Token, countersign};

const METHODS: &str =
    "[ { match: { path: /things, methods: [GET, HEAD] }, access: member, upstream: app },
  { match: { path: /things, methods: [DELETE] }, access: member, roles: [admin], upstream: app },
  { match: { path: / }, access: member, upstream: app } ]";

fn methods() -> Attack {
    Attack::with(|builder| builder.users(USERS).set("routes", METHODS))
}

#[test]
fn d7_methods_are_exact() {
    let attack = methods();
    attack.scene.passes(&attack.request("GET", "/things/1"));
    attack
        .scene
        .refuses(&attack.request("DELETE", "/things/1"), 403, "role_required");
    for method in [
        "get", "Get", "delete", "POST", "PUT", "PATCH", "DELETE1", "GETT", "OPTIONS",
    ] {
        attack.scene.refuses(
            &attack.request(method, "/things/1"),
            405,
            "method_not_allowed",
        );
    }
    for line in [
        "GE\tT /things",
        "GE T /things",
        " GET /things",
        "G\0ET /things",
        "GET\u{a0} /things",
        "\"GET\" /things",
    ] {
        attack.refused(
            &format!("{line} HTTP/1.1\r\n{{auth}}\r\n"),
            400,
            &["malformed_request", "ambiguous_request"],
        );
    }
    attack.calm();
}

#[test]
fn d7_head_on_a_get_route_follows_the_same_rule() {
    let attack = Attack::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /things, methods: [GET] }, access: member, roles: [admin], upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let mut client = attack.client();
    client.send(&attack.request("HEAD", "/things/1").bytes());
    let response = client.response("HEAD");
    // Never on to the shorter path, whose route asks for no role.
    assert!([403, 405].contains(&response.status()), "{response:?}");
    attack.upstream().assert_untouched();
    drop(client);
    attack.calm();
}

/// Refused where the path limits methods; elsewhere they are the app's own business.
#[test]
fn d7_method_overrides_are_refused_where_methods_are_limited() {
    let attack = methods();
    for name in [
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-HTTP-Method",
        "x-http-method-override",
    ] {
        let request = attack.request("GET", "/things/1").header(name, "DELETE");
        attack
            .scene
            .refuses_any(&request, 400, &["ambiguous_request", "malformed_request"]);
    }
    for alias in [
        "X_HTTP_Method_Override",
        "X-HTTP_Method-Override",
        "X.HTTP.Method.Override",
    ] {
        let request = attack.request("GET", "/things/1").header(alias, "DELETE");
        let before = attack.upstream().count();
        let response = attack.gateway().send(&request);
        if response.status() == 200 {
            let seen = attack.upstream().requests()[before].clone();
            for (name, _) in &seen.head.fields {
                let folded = name.to_ascii_lowercase().replace(['_', '.'], "-");
                assert!(!folded.contains("method"), "{alias}: {:?}", seen.head);
            }
        } else {
            assert_eq!(response.status(), 400);
        }
    }
    // In a query or a body it is the app's; the route's rule is told to the app by its method.
    let (_, seen) = attack
        .scene
        .passes(&attack.request("GET", "/things/1?_method=DELETE"));
    assert_eq!(seen.head.method(), "GET");
    attack.calm();
}

#[test]
fn d8_only_a_preflight_is_exempt_and_it_carries_nobody() {
    let attack = methods();
    let preflight = || {
        Request::new("OPTIONS", "/things/1")
            .header("Origin", "https://app.test")
            .header("Access-Control-Request-Method", "GET")
    };
    let (_, seen) = attack.scene.passes(
        &preflight()
            .bearer(&attack.token)
            .header("Cookie", "sessionid=x")
            .header("X-Auth-User-Id", "1"),
    );
    for name in [
        "authorization",
        "cookie",
        "x-auth-user-id",
        "x-auth-tenant-id",
    ] {
        assert!(seen.header(name).is_none(), "{name}: {:?}", seen.head);
    }
    for request in [
        Request::new("OPTIONS", "/x"),
        Request::new("OPTIONS", "/x").header("Origin", "https://app.test"),
        Request::new("OPTIONS", "/x").header("Access-Control-Request-Method", "GET"),
        Request::new("OPTIONS", "/x")
            .header("Origin", "https://app.test")
            .header("Access-Control-Request-Method", "GET")
            .body(b"x"),
    ] {
        attack.scene.refuses(&request, 401, "credential_missing");
    }
    let unlisted = Request::new("OPTIONS", "/things/1")
        .header("Origin", "https://app.test")
        .header("Access-Control-Request-Method", "PUT");
    attack.scene.refuses(&unlisted, 405, "method_not_allowed");
    for method in ["TRACE", "CONNECT"] {
        let before = attack.upstream().bytes();
        let mut client = attack.client();
        client.send(&attack.request(method, "/x").bytes());
        let response = client.response("GET");
        assert!(
            [400, 405].contains(&response.status()),
            "{method}: {response:?}"
        );
        assert_eq!(attack.upstream().bytes(), before);
    }
    attack.calm();
}

#[test]
fn d9_a_static_suffix_opens_nothing_and_is_not_cached() {
    let attack = attack();
    for path in [
        "/api/account/x.css",
        "/api/x.js",
        "/admin/logo.png",
        "/admin/x.ico",
    ] {
        attack
            .scene
            .refuses(&Request::get(path), 401, "credential_missing");
    }
    for path in [
        "/api/account;.js",
        "/api/account%0a.css",
        "/api/account/..%2fstatic/x.js",
        "/api/account%00.css",
    ] {
        attack.refused_path(&attack.request("GET", path));
    }
    let (response, _) = attack
        .scene
        .passes(&attack.request("GET", "/api/account/x.css"));
    let storing = response.header("cache-control").unwrap_or_default();
    assert!(
        storing.contains("private") && storing.contains("no-store"),
        "{storing}"
    );
    let vary = response.head.all("vary").join(",").to_ascii_lowercase();
    assert!(vary.contains("authorization"), "{vary}");
    attack.calm();
}

#[test]
fn d9_what_the_upstream_marks_public_is_private() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.respond(
            200,
            &[("Cache-Control", "public, max-age=600, s-maxage=900")],
            b"x",
        );
    });
    let attack = Attack::before(upstream);
    let response = attack.gateway().send(&attack.request("GET", "/x.css"));
    let storing = response
        .header("cache-control")
        .unwrap_or_default()
        .to_ascii_lowercase();
    assert!(storing.contains("private"), "{storing}");
    assert!(
        !storing.contains("public") && !storing.contains("s-maxage"),
        "{storing}"
    );
    attack.calm();
}

/// Health lives on the admin listener alone; on the data port its names are paths like any other.
#[test]
fn d10_health_paths_open_nothing() {
    let attack = attack();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/config",
        "/.gateway/x",
        "/.well-known/countersign/x",
    ] {
        attack.scene.refuses(&Request::get(path), 404, "no_route");
    }
    for agent in ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"] {
        let request = Request::get("/admin").header("User-Agent", agent);
        attack.scene.refuses(&request, 401, "credential_missing");
    }
    for path in [
        "/healthz/../admin",
        "/.well-known/countersign/../../admin",
        "/.well-known/countersign/jwks.json/../../x",
    ] {
        attack.refused_path(&Request::get(path));
    }
    attack.upstream().assert_untouched();
    let health = attack.gateway().admin(&Request::get("/healthz/../metrics"));
    assert!(
        [400, 401, 403, 404].contains(&health.status()),
        "{health:?}"
    );
    attack.calm();
}

/// The key set is served at exactly its path, on a gateway that signs; nothing else of the prefix
/// is ours.
#[test]
fn d10_the_reserved_path_is_exact() {
    let attack = attack();
    for path in [
        "/.well-known/countersign/jwks.json/",
        "/.well-known/countersign/jwks.json/x",
        "/.well-known/countersign//jwks.json",
        "/.well-known/countersign/%6awks.json%2f",
        "/.well-known/countersign",
    ] {
        let mut client = attack.client();
        client.send(&Request::get(path).bytes());
        let response = client.response("GET");
        assert!(
            [400, 404].contains(&response.status()),
            "{path}: {response:?}"
        );
    }
    attack.upstream().assert_untouched();
    attack.calm();
}

#[test]
fn d11_nothing_is_allowed_by_default() {
    let attack = Attack::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { host: app.test, path: /api }, access: member, upstream: app },
  { match: { host: app.test, path: /calm }, access: member, upstream: app } ]",
        )
    });
    attack
        .scene
        .refuses(&attack.request("GET", "/"), 404, "no_route");
    attack
        .scene
        .refuses(&attack.request("GET", "/other"), 404, "no_route");
    for host in ["evil.test", "app.test.evil.test", "xapp.test", "127.0.0.1"] {
        let request = attack.request("GET", "/api").host(host);
        attack.scene.refuses(&request, 404, "no_route");
    }
    for host in ["APP.TEST", "app.test.", "app.test:80"] {
        let (_, seen) = attack
            .scene
            .passes(&attack.request("GET", "/api").host(host));
        assert_eq!(seen.head.all("host"), ["app.test"]);
    }
    attack.calm();
}

#[test]
fn d11_what_cannot_be_built_is_not_served() {
    let upstream = Recorder::start();
    for (section, yaml) in [
        ("routes", "[]"),
        (
            "routes",
            "[ { match: { path: / }, access: member, upstream: nobody } ]",
        ),
        (
            "routes",
            "[ { match: { path: / }, access: member, credentials: [nothing], upstream: app } ]",
        ),
        (
            "routes",
            "[ { match: { path: / }, access: open, upstream: app } ]",
        ),
        (
            "routes",
            "[ { match: { path: / }, upstream: app, acess: public } ]",
        ),
        (
            "routes",
            "[ { match: { path: /a/../b }, access: public, upstream: app } ]",
        ),
        (
            "routes",
            "[ { match: { path: / }, access: public, roles: [admin], upstream: app } ]",
        ),
        (
            "issuers",
            "- { name: app, algorithms: [HS256], secret: \"\" }",
        ),
        ("credentials", "[]"),
    ] {
        let builder = Builder::new().upstream(&upstream).set(section, yaml);
        let path = builder.write();
        let output = countersign(
            builder.folder(),
            &builder.env_pairs(),
            &["serve", "-c", path.to_str().expect("UTF-8")],
        );
        assert_eq!(output.code, Some(2), "{section}: {yaml}: {output:?}");
    }
    upstream.assert_untouched();
}

/// A route's own roles, credentials and accounts replace what is global for that key alone; the
/// rest of the policy stays.
#[test]
fn d12_a_routes_own_policy_does_not_loosen_the_rest() {
    let attack = Attack::on(Scene::with(|builder| {
        builder
            .users(USERS)
            .set("credentials", "[ bearer: {}, cookie: { name: access_token } ]")
            .set("accounts", "{ on_mismatch: reject }")
            .set(
                "routes",
                "[ { match: { path: /own }, access: member, accounts: { on_mismatch: use_live }, upstream: app },
  { match: { path: /cookie }, access: member, credentials: [cookie], upstream: app },
  { match: { path: / }, access: member, upstream: app } ]",
            )
    }));
    let stale = Token::user("5").account("99").signed();
    attack
        .scene
        .refuses(&Request::get("/").bearer(&stale), 401, "account_mismatch");
    let (_, seen) = attack.scene.passes(&Request::get("/own").bearer(&stale));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    // Its own accounts policy did not take the need for a credential away.
    attack
        .scene
        .refuses(&Request::get("/own"), 401, "credential_missing");
    attack.scene.refuses(
        &Request::get("/cookie").bearer(&attack.token),
        401,
        "credential_missing",
    );
    let cookie = Request::get("/cookie").header("Cookie", &format!("access_token={stale}"));
    attack.scene.refuses(&cookie, 401, "account_mismatch");
    attack.calm();
}

/// A login redirect leads to this site only, wherever the request pretends to come from.
#[test]
fn d13_a_login_redirect_stays_on_the_site() {
    let attack = Attack::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /, allow: [double_slash, semicolon, encoded_slash, encoded_backslash] }, access: member, login: \"/login/?next={path}\", upstream: app } ]",
        )
    });
    for path in [
        "/x",
        "//evil.test",
        "//evil.test/x",
        "/\\evil.test",
        "/%5cevil.test",
        "/https:evil.test",
        "/@evil.test",
        "/x%0d%0aSet-Cookie:%20a=1",
        "/x?next=//evil.test",
        "/x?a=%0d%0aX:1",
        "/;//evil.test",
    ] {
        let request = Request::get(path)
            .header("Accept", "text/html")
            .header("Sec-Fetch-Mode", "navigate")
            .header("Sec-Fetch-Dest", "document");
        let response = attack.gateway().send(&request);
        if response.status() != 303 {
            assert_eq!(response.status(), 400, "{path}: {response:?}");
            continue;
        }
        let location = response.header("location").expect("a location");
        let next = location
            .strip_prefix("/login/?next=")
            .expect("this site's login");
        assert!(
            next.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"%-_.~/".contains(&byte)),
            "{path}: {location}"
        );
        assert!(
            !next.starts_with("//") && !next.to_ascii_lowercase().starts_with("%2f%2f"),
            "{path}: {location}"
        );
        assert!(
            !next.to_ascii_lowercase().starts_with("%2f%5c"),
            "{path}: {location}"
        );
        assert!(response.header("set-cookie").is_none());
        let storing = response.header("cache-control").unwrap_or_default();
        assert!(storing.contains("no-store"), "{storing}");
    }
    attack.upstream().assert_untouched();
    attack.calm();
}
