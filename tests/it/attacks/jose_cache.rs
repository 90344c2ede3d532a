//! What is remembered of a token: never more than the token itself would still be good for, and
//! never another's.

use super::{get, never_written, refuses_token, token};
use crate::harness::{Scene, Token, now};

#[test]
fn a35_a_token_that_expires_while_it_is_remembered_is_refused() {
    let scene = Scene::with(|builder| {
        builder.set(
            "directory",
            "{ source: { file: { path: users.yaml } }, cache: { ttl: 60s, ttl_without_push: 60s } }",
        )
    });
    let expires = now() + 3;
    let brief = token().claim("exp", expires).signed();
    scene.passes_as(&get(&brief), "match");
    // On one connection, so that one core remembers it; again and again until its second has come.
    let mut client = scene.gateway.client();
    let mut served = 0_u32;
    let refused = loop {
        let sent = now();
        let response = client.exchange(&get(&brief));
        if response.status() != 200 {
            break response;
        }
        served += 1;
        assert!(sent < expires, "served at {sent}, expired at {expires}");
    };
    assert!(now() >= expires);
    assert!(served > 0);
    scene.check_refusal(&refused, 401, "token_expired");
    let before = scene.upstream.bytes();
    // On any core, and for good.
    for _ in 0..4 {
        refuses_token(&scene, &brief, "token_expired");
    }
    assert_eq!(scene.upstream.bytes(), before);
}

#[test]
fn a36_a_remembered_token_answers_for_itself_alone() {
    let scene = Scene::new();
    let five = token().signed();
    let seven = Token::user("7").account("14").signed();
    let parts = |token: &str| -> Vec<String> { token.split('.').map(str::to_owned).collect() };
    let (a, b) = (parts(&five), parts(&seven));
    let mut client = scene.gateway.client();
    for _ in 0..100 {
        for (token, user) in [(&five, "5"), (&seven, "7")] {
            let response = client.exchange(&get(token)).expect_status(200);
            assert_eq!(response.json()["user"], user);
        }
    }
    let before = scene.upstream.bytes();
    // Everything that shares most of its bytes with a remembered one.
    let mut flipped = five.clone().into_bytes();
    let middle = five.len() - 10;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    for forged in [
        format!("{}.{}.{}", a[0], a[1], b[2]),
        format!("{}.{}.{}", a[0], b[1], a[2]),
        String::from_utf8(flipped).expect("ASCII"),
    ] {
        let response = client.exchange(&get(&forged));
        scene.check_refusal(&response, 401, "signature_invalid");
        never_written(&scene, &forged);
    }
    for cut in 1..8 {
        let shorter = &five[..five.len() - cut];
        let response = client.exchange(&get(shorter));
        assert_eq!(response.status(), 401, "{cut}");
    }
    assert_eq!(scene.upstream.bytes(), before);
}

#[test]
fn a36_a_remembered_token_is_judged_by_the_route_it_is_used_on() {
    let users = r#"users:
  - { user: "5", account: "12", active: true, roles: [reader] }
"#;
    let scene = Scene::with(|builder| {
        builder.users(users).set(
            "routes",
            "[ { match: { path: /admin }, access: member, roles: [admin], upstream: app },\n  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let reader = token().signed();
    let admin = crate::harness::Request::get("/admin").bearer(&reader);
    let mut client = scene.gateway.client();
    for _ in 0..10 {
        client.exchange(&get(&reader)).expect_status(200);
        let response = client.exchange(&admin);
        scene.check_refusal(&response, 403, "role_required");
    }
    assert_eq!(scene.upstream.count(), 10);
    never_written(&scene, &reader);
}
