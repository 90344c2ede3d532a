//! Sessions beside tokens, on optional routes, and where a route does not accept them.

use super::django::{FIVE, GHOST, GONE, NOBODY, OTHER_HASH, SEVEN};
use super::{credential, get, sqlite, with_session};
use crate::harness::{Builder, Request, Scene, Token};

fn both(conflict: &str) -> Scene {
    sqlite(|builder| two_places(builder).set("conflict", conflict))
}

fn two_places(builder: Builder) -> Builder {
    builder.set(
        "credentials",
        &format!("[ bearer: {{ forward: keep }}, {} ]", credential("")),
    )
}

fn request(user: &str, key: &str) -> Request {
    with_session(Request::get("/"), key).bearer(&Token::user(user).account("12").signed())
}

#[test]
fn e7_a_session_and_a_token_of_one_user_are_one_identity() {
    let scene = both("reject");
    let (_, seen, line) = scene.passes_as(&request("5", FIVE), "match");
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    assert_eq!(line["credential"], "bearer");
    assert!(line["session"].is_string());
    scene.passes_as(&get(FIVE), "account_filled");
    // A session of nobody stands beside a token like any other cookie.
    scene.passes(&request("5", NOBODY));
}

#[test]
fn e7_a_session_and_a_token_of_two_users_are_a_conflict() {
    let scene = both("reject");
    scene.refuses(&request("5", SEVEN), 401, "credential_conflict");
    scene.refuses(&request("7", FIVE), 401, "credential_conflict");
    scene.upstream.assert_untouched();
}

#[test]
fn e7_a_bad_one_never_falls_back_to_the_good_one() {
    for conflict in ["reject", "prefer_first"] {
        let scene = both(conflict);
        super::dead(&scene, &request("5", GONE), "session_expired");
        super::dead(&scene, &request("5", OTHER_HASH), "session_invalid");
        super::dead(
            &scene,
            &request("5", "no-such-session-at-all"),
            "session_invalid",
        );
        let expired = Token::user("5").expires_in(-5).signed();
        let bad_token = with_session(Request::get("/"), FIVE).bearer(&expired);
        scene.refuses(&bad_token, 401, "token_expired");
        let basic = with_session(Request::get("/"), FIVE).header("Authorization", "Basic YTpi");
        scene.refuses(&basic, 401, "credential_malformed");
        scene.upstream.assert_untouched();
    }
}

#[test]
fn prefer_first_takes_the_token_and_does_not_forward_the_session() {
    let scene = both("prefer_first");
    let (_, seen) = scene.passes(&request("5", SEVEN));
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    scene.refuses(&request("5", GHOST), 401, "user_unknown");
}

#[test]
fn an_optional_route_is_no_way_around_a_dead_session() {
    let scene = sqlite(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: optional, upstream: app } ]",
        )
    });
    let (_, seen) = scene.passes(&get(FIVE));
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    super::dead(&scene, &get(GONE), "session_expired");
    let (_, seen, _) = scene.passes_as(&get(NOBODY), "optional_anonymous");
    assert_eq!(seen.header("x-auth-user-id"), None);
    // The app keeps its visitors' sessions.
    let cookie = format!("theme=dark; sessionid={NOBODY}");
    assert_eq!(seen.header("cookie"), Some(&*cookie));
}

#[test]
fn a_route_that_does_not_accept_sessions_removes_them() {
    let scene = sqlite(|builder| {
        two_places(builder).set(
            "routes",
            "[ { match: { path: / }, access: member, credentials: [bearer], upstream: app } ]",
        )
    });
    scene.refuses(&get(FIVE), 401, "credential_missing");
    let (_, seen) = scene.passes(&request("5", SEVEN));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    scene.passes(&request("5", GONE));
}

#[test]
fn a_session_that_the_app_needs_not_see_is_removed() {
    let scene = sqlite(|builder| {
        builder.set(
            "credentials",
            &format!("[ {} ]", credential(", forward: remove")),
        )
    });
    let (_, seen) = scene.passes(&get(FIVE));
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
}

#[test]
fn e10_a_session_is_no_reason_to_trust_another_site() {
    let scene = sqlite(|builder| builder);
    let post = |fields: &[(&str, &str)]| {
        let request = with_session(Request::post("/", b"x"), FIVE);
        fields.iter().fold(request, |request, (name, value)| {
            request.header(name, value)
        })
    };
    scene.passes(&post(&[("Sec-Fetch-Site", "same-origin")]));
    scene.passes(&post(&[("Origin", "http://app.test")]));
    for evil in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Origin", "http://evil.test"),
    ] {
        scene.refuses(&post(&[evil]), 403, "origin_not_allowed");
    }
}
