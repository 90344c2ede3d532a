//! D1 to D6: what the rules match is byte for byte what the upstream gets, and anything with a
//! second reading is refused.

use super::support::Attack;
use crate::harness::{Builder, Request, Token};

pub(super) const USERS: &str = r#"users:
  - { user: "admin", account: "12", active: true, roles: [admin] }
  - { user: "5", account: "12", active: true }
  - { user: "7", account: "14", active: true }
"#;

/// `/public` is open, `/admin` asks for a role, `/calm` and `/api` for a user; nothing else exists.
const ROUTES: &str = "[ { match: { path: /public }, access: public, upstream: app },
  { match: { path: /admin }, access: member, roles: [admin], upstream: app },
  { match: { path: /api }, access: member, upstream: app },
  { match: { path: /calm }, access: member, upstream: app },
  { match: { path: =/exact }, access: public, upstream: app } ]";

pub(super) fn attack() -> Attack {
    Attack::with(rules)
}

fn rules(builder: Builder) -> Builder {
    builder.users(USERS).set("routes", ROUTES)
}

fn admin() -> String {
    Token::user("admin").account("12").signed()
}

#[test]
fn d1_the_path_that_is_matched_is_the_path_that_is_sent() {
    let attack = attack();
    for (path, sent) in [
        ("/%61dmin", "/admin"),
        ("/adm%69n/%7Ex", "/admin/~x"),
        ("/admin/%2dx", "/admin/-x"),
        ("/admin/%c3%a9", "/admin/%C3%A9"),
        ("/admin/%20", "/admin/%20"),
        ("/admin?a=%61/../", "/admin?a=%61/../"),
    ] {
        attack
            .scene
            .refuses(&Request::get(path), 401, "credential_missing");
        attack
            .scene
            .refuses(&attack.request("GET", path), 403, "role_required");
        let (_, seen) = attack.scene.passes(&Request::get(path).bearer(&admin()));
        assert_eq!(seen.head.target(), sent);
    }
    attack.calm();
}

#[test]
fn d2_a_path_with_two_readings_is_refused() {
    let attack = attack();
    for path in [
        "/public/../admin",
        "/public/..",
        "/public/%2e%2e/admin",
        "/public/%2E%2e/admin",
        "/public/.%2e/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..\\admin",
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/%2e%2e%3b/admin",
        "/public/.. /admin",
        "/public/..%20/admin",
        "/public/..%09/admin",
        "/./admin",
        "/admin/.",
        "/admin%2f",
        "/admin%2F..%2F",
        "/admin%00",
        "/admin%0a",
        "/admin%0d%0a",
        "/admin%7f",
        "//admin",
        "///admin",
        "/admin//x",
        "//evil.test/admin",
        "\\admin",
        "/\\admin",
        "/%2561dmin",
        "/%252561dmin",
        "/%25252e%25252e/admin",
        "/public/%252e%252e%252fadmin",
        "/%u0061dmin",
        "/admin%",
        "/admin%6",
        "/admin%zz",
        "/admin;x=1",
        "/admin;",
        "/%c0%ae%c0%ae/admin",
        "/%e0%80%ae/admin",
        "/%f8%80%80%80%ae/admin",
        "/%ff",
        "/%C2%85",
        "/public/%e2%80%a8/%2e%2e/x",
    ] {
        for token in [None, Some(admin())] {
            let request = Request::get(path);
            let request = match token {
                Some(token) => request.bearer(&token),
                None => request,
            };
            attack.refused_path(&request);
        }
    }
    for path in [
        &b"/\xc3\xa9"[..],
        b"/\xff",
        b"/\x01",
        b"/\x7f",
        b"/a\tb",
        b"/a\"b",
        b"/a`b",
        b"/a<b>",
    ] {
        let bytes = [b"GET ", path, b" HTTP/1.1\r\nHost: app.test\r\n\r\n"].concat();
        attack.refused_bytes(&bytes, 400, &["malformed_request", "ambiguous_request"]);
    }
    attack.upstream().assert_untouched();
    attack.calm();
}

/// Case and suffixes are other paths, and there is no route for them.
#[test]
fn d2_another_spelling_is_another_path() {
    let attack = attack();
    for path in [
        "/ADMIN",
        "/Admin",
        "/admin.json",
        "/admin~",
        "/admin:x",
        "/exact/",
        "/EXACT",
        "/exact/x",
    ] {
        attack
            .scene
            .refuses(&Request::get(path).bearer(&admin()), 404, "no_route");
    }
    attack
        .scene
        .refuses(&attack.request("GET", "/admin/"), 403, "role_required");
    let (_, seen) = attack
        .scene
        .passes(&Request::get("/admin/").bearer(&admin()));
    assert_eq!(seen.head.target(), "/admin/");
    attack.calm();
}

/// A route's `match.allow` admits a form behind its prefix; the most eager reading must be covered
/// by the same route.
#[test]
fn d2_an_admitted_form_does_not_lead_behind_another_route() {
    let attack = Attack::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /files, allow: [encoded_slash, semicolon, double_slash] }, access: public, upstream: app },
  { match: { path: /admin }, access: member, roles: [admin], upstream: app },
  { match: { path: /calm }, access: member, upstream: app } ]",
        )
    });
    for path in ["/files/a%2Fb", "/files/a;v=1", "/files//a"] {
        let (_, seen) = attack.scene.passes(&Request::get(path));
        assert_eq!(seen.head.target(), path);
    }
    for path in [
        "/files/..%2Fadmin",
        "/files%2F..%2Fadmin",
        "/files/..;/admin",
        "/files;/../admin",
        "//admin",
        "/admin%2Fx",
        "/admin;x",
        "//files/../admin",
        "/%2Fadmin",
        "/files%2Fx",
        "/files/a%5Cb",
        "/files/a%252Fb",
    ] {
        attack.refused_path(&Request::get(path));
    }
    attack.calm();
}

#[test]
fn d3_the_query_takes_no_part() {
    let attack = attack();
    for path in [
        "/admin?x=/public/health",
        "/admin?/public",
        "/admin?/../public",
        "/admin?x=%2f..%2fpublic",
        "/admin?",
        "/admin??/public",
        "/admin/?;/public",
    ] {
        attack
            .scene
            .refuses(&Request::get(path), 401, "credential_missing");
        attack
            .scene
            .refuses(&attack.request("GET", path), 403, "role_required");
    }
    attack
        .scene
        .refuses(&Request::get("/nowhere?/public"), 404, "no_route");
    let (_, seen) = attack
        .scene
        .passes(&Request::get("/public?/../admin//;%2f"));
    assert_eq!(seen.head.target(), "/public?/../admin//;%2f");
    attack.calm();
}

#[test]
fn d4_a_fragment_is_refused() {
    let attack = attack();
    for path in [
        "/admin#/public",
        "/public#/../admin",
        "/public#",
        "#/public",
        "/public?x#y",
    ] {
        attack.refused_path(&Request::get(path));
    }
    // Encoded it is a character like any other.
    let (_, seen) = attack.scene.passes(&Request::get("/public/%23x"));
    assert_eq!(seen.head.target(), "/public/%23x");
    attack.calm();
}

#[test]
fn d5_a_prefix_covers_whole_segments_only() {
    let attack = attack();
    for path in [
        "/publicx",
        "/public.html",
        "/publi",
        "/x/public",
        "/apix",
        "/api-v2",
        "/exactly",
        "/",
    ] {
        attack.scene.refuses(&Request::get(path), 404, "no_route");
    }
    for path in ["/public", "/public/", "/public/x/y", "/exact"] {
        attack.scene.passes(&Request::get(path));
    }
    for path in ["/api", "/api/", "/api/x"] {
        attack
            .scene
            .refuses(&Request::get(path), 401, "credential_missing");
    }
    attack.calm();
}

/// What is left after a prefix is taken away is a path again, and never an authority.
#[test]
fn d6_a_stripped_prefix_leaves_a_path() {
    let attack = Attack::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /strip, allow: [double_slash, semicolon, encoded_slash] }, access: public, strip_prefix: /strip, upstream: app },
  { match: { path: /calm }, access: member, upstream: app } ]",
        )
    });
    for (path, sent) in [
        ("/strip", &["/"][..]),
        ("/strip/", &["/"]),
        ("/strip/x?q=//evil.test", &["/x?q=//evil.test"]),
        ("/strip/http:/x", &["/http:/x"]),
    ] {
        let (_, seen) = attack.scene.passes(&Request::get(path));
        assert!(
            sent.contains(&seen.head.target()),
            "{path}: {}",
            seen.head.target()
        );
        assert_eq!(seen.head.all("host"), ["app.test"]);
    }
    for path in [
        "/strip//evil.test",
        "/strip//evil.test/x",
        "/strip/http://evil.test/x",
        "/strip///",
        "/strip/../x",
        "/strip/%2e%2e/x",
        "/strip%2F%2Fevil.test",
    ] {
        let before = attack.upstream().count();
        let mut client = attack.client();
        client.send(&Request::get(path).bytes());
        let response = client.response("GET");
        if response.status() == 200 {
            let seen = attack.upstream().requests()[before].clone();
            let target = seen.head.target();
            assert!(
                target.starts_with('/') && !target.starts_with("//"),
                "{path}: {target}"
            );
            assert_eq!(seen.head.all("host"), ["app.test"]);
        } else {
            let reason = response.reason().unwrap_or_default();
            attack
                .scene
                .check_refusal(&response, response.status(), &reason);
            assert!([400, 404].contains(&response.status()), "{path}");
        }
    }
    attack.calm();
}
