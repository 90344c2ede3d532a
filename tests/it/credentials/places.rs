//! Each place, and what the upstream finds in it: kept, removed, or nothing at all.

use crate::harness::{Key, Request, Scene, Token};

fn token() -> String {
    Token::user("5").account("12").signed()
}

fn with_credentials(credentials: &str) -> Scene {
    Scene::with(|builder| builder.set("credentials", credentials))
}

#[test]
fn a_kept_bearer_arrives_as_it_was_sent() {
    let scene = with_credentials("[ bearer: { forward: keep } ]");
    let token = token();
    let (_, seen) = scene.passes(&Request::get("/").bearer(&token));
    assert_eq!(seen.head.all("authorization"), [format!("Bearer {token}")]);
}

#[test]
fn a_kept_bearer_is_written_in_one_form() {
    let scene = with_credentials("[ bearer: { forward: keep } ]");
    let token = token();
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let request = Request::get("/").header("Authorization", &format!("{scheme} {token}"));
        let response = scene.gateway.send(&request);
        // An upstream may compare the scheme by case (SimpleJWT does) and then fall back to a
        // session: it must see what the gateway saw.
        if response.status() == 200 {
            let seen = scene.upstream.last();
            assert_eq!(seen.head.all("authorization"), [format!("Bearer {token}")]);
        } else {
            assert_eq!(response.status(), 401, "{scheme}");
        }
    }
}

#[test]
fn a_removed_bearer_does_not_arrive() {
    let scene = with_credentials("[ bearer: { forward: remove } ]");
    let (_, seen) = scene.passes(&Request::get("/").bearer(&token()));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
}

#[test]
fn a_cookie_is_removed_alone() {
    let scene = with_credentials("[ cookie: { name: access_token, forward: remove } ]");
    let token = token();
    for (sent, arrives) in [
        (format!("access_token={token}"), None),
        (format!("a=1; access_token={token}; b=2"), Some("a=1; b=2")),
        (format!("access_token={token}; b=2"), Some("b=2")),
        (
            format!("xaccess_token=1; access_token={token}"),
            Some("xaccess_token=1"),
        ),
    ] {
        let (_, seen) = scene.passes(&Request::get("/").header("Cookie", &sent));
        assert_eq!(seen.header("cookie"), arrives, "{sent}");
        assert_eq!(seen.header("x-auth-credential"), Some("cookie"));
    }
    scene.never_written(&token);
}

#[test]
fn a_kept_cookie_stays_among_the_others() {
    let scene = with_credentials("[ cookie: { name: access_token, forward: keep } ]");
    let cookies = format!("a=1; access_token={}; b=2", token());
    let (_, seen) = scene.passes(&Request::get("/").header("Cookie", &cookies));
    assert_eq!(seen.head.all("cookie"), [cookies]);
}

#[test]
fn a_credential_may_have_a_name() {
    let scene = with_credentials("[ cookie: { name: access_token, forward: keep } ]");
    let named = Scene::with(|builder| {
        builder.set(
            "credentials",
            "[ { name: web, cookie: { name: access_token, forward: keep } } ]",
        )
    });
    let request = Request::get("/").header("Cookie", &format!("access_token={}", token()));
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.header("x-auth-credential"), Some("cookie"));
    let (_, seen, line) = named.passes_as(&request, "match");
    assert_eq!(seen.header("x-auth-credential"), Some("web"));
    assert_eq!(line["credential"], "web");
}

#[test]
fn a_scheme_that_is_not_accepted_is_malformed_even_beside_a_good_cookie() {
    let scene = with_credentials(
        "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
    );
    let request = Request::get("/")
        .header("Cookie", &format!("access_token={}", token()))
        .header("Authorization", "Basic YW5uOnNlY3JldA==");
    scene.refuses(&request, 401, "credential_malformed");
    scene.never_written("YW5uOnNlY3JldA==");
    scene.upstream.assert_untouched();
}

#[test]
fn where_no_bearer_is_accepted_authorization_is_malformed() {
    let scene = with_credentials("[ cookie: { name: access_token, forward: keep } ]");
    let request = Request::get("/").header("Authorization", "Basic eA==");
    scene.refuses(&request, 401, "credential_malformed");
}

/// A bearer and a cookie, both kept, and these routes.
fn both_kept(routes: &str) -> Scene {
    Scene::with(|builder| {
        builder
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
            .set("routes", routes)
    })
}

const BY_ROUTE: &str =
    "[ { match: { path: /web }, access: member, credentials: [cookie], upstream: app },
  { match: { path: /api }, access: member, credentials: [bearer], upstream: app },
  { match: { path: /open }, access: public, upstream: app } ]";

#[test]
fn what_a_route_does_not_accept_proves_nothing_and_is_removed() {
    let scene = both_kept(BY_ROUTE);
    let five = token();
    let another = Token::user("7").account("14").signed();
    let cookie = |token: &str| format!("access_token={token}; theme=dark");
    let request = Request::get("/api").header("Cookie", &cookie(&five));
    scene.refuses(&request, 401, "credential_missing");
    let request = Request::get("/api")
        .bearer(&five)
        .header("Cookie", &cookie(&another));
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
}

#[test]
fn a_public_route_keeps_only_what_is_kept() {
    let scene =
        Scene::with(|builder| {
            builder
            .set(
                "credentials",
                "[ bearer: { forward: remove }, cookie: { name: access_token, forward: keep } ]",
            )
            .set("routes", "[ { match: { path: / }, access: public, upstream: app } ]")
        });
    let cookie = format!("access_token={}", token());
    let request = Request::get("/").bearer(&token()).header("Cookie", &cookie);
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.header("cookie"), Some(&*cookie));
    assert_eq!(seen.header("x-auth-user-id"), None);
    assert_eq!(seen.header("x-auth-tenant-id"), None);
}

/// On an optional route too: else a token that no look at the live record would let through reached
/// the app beside nobody.
#[test]
fn what_an_optional_route_does_not_accept_is_removed_where_nobody_acts() {
    let forged = Token::user("5").account("12").signed_by(&Key::secret(
        "HS256",
        "another-secret-of-nobody-0123456789-abcdefgh",
    ));
    let expired = Token::user("5").account("12").expires_in(-600).signed();
    for (accepted, kept) in [("cookie", "cookie"), ("bearer", "authorization")] {
        let scene = both_kept(&format!(
            "[ {{ match: {{ path: / }}, access: optional, credentials: [{accepted}], upstream: app }} ]"
        ));
        for sent in [&token(), &forged, &expired] {
            let request = match accepted {
                "cookie" => Request::get("/")
                    .bearer(sent)
                    .header("Cookie", "theme=dark"),
                _ => {
                    Request::get("/").header("Cookie", &format!("theme=dark; access_token={sent}"))
                }
            };
            let (_, seen, _) = scene.passes_as(&request, "optional_anonymous");
            assert_eq!(seen.header("authorization"), None, "{accepted}");
            assert_eq!(seen.header("cookie"), Some("theme=dark"), "{accepted}");
            assert_eq!(seen.header("x-auth-user-id"), None);
        }
        // What the route accepts is as it was.
        let request = match accepted {
            "cookie" => Request::get("/").header("Cookie", &format!("access_token={}", token())),
            _ => Request::get("/").bearer(&token()),
        };
        let (_, seen) = scene.passes(&request);
        assert_eq!(seen.header("x-auth-user-id"), Some("5"));
        assert!(seen.header(kept).is_some(), "{kept}");
    }
}

#[test]
fn a34_one_place_holds_one_credential_whatever_the_route_accepts() {
    let scene = both_kept(
        "[ { match: { path: /open }, access: public, upstream: app },
  { match: { path: /free }, access: optional, credentials: [bearer], upstream: app },
  { match: { path: / }, access: member, credentials: [bearer], upstream: app } ]",
    );
    let twice = format!("access_token={}; access_token=evil", token());
    for path in ["/open", "/free", "/", "/api"] {
        let request = Request::get(path).bearer(&token()).header("Cookie", &twice);
        scene.refuses(&request, 400, "ambiguous_request");
    }
    scene.upstream.assert_untouched();
    // The same value twice, and other cookies, say one thing.
    let same = format!("a=1; access_token={0}; a=2; access_token={0}", token());
    scene.passes(&Request::get("/open").header("Cookie", &same));
}

#[test]
fn e9_odd_cookies_do_not_confuse_the_reader() {
    let scene = with_credentials("[ cookie: { name: access_token, forward: keep } ]");
    let token = token();
    for cookies in [
        format!("Access_Token={token}"),
        format!("x=\"; access_token={token}"),
        format!("=access_token={token}"),
        format!("access_token {token}"),
    ] {
        let response = scene
            .gateway
            .send(&Request::get("/").header("Cookie", &cookies));
        // Whatever it is read as, a user is named only where the cookie is really there.
        assert!([200, 400, 401].contains(&response.status()), "{cookies}");
        if response.status() == 200 {
            let seen = scene.upstream.last();
            let arrived = seen.header("cookie").unwrap_or_default();
            assert!(
                arrived.contains(&format!("access_token={token}")),
                "{arrived}"
            );
        }
    }
}
