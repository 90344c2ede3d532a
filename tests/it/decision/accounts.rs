//! The account table, cell by cell: what the token says against what the live record says, under
//! each policy.

use crate::harness::{Request, Scene, Token, challenge_of};

/// Live: `member` is in 12 and also in 14, `plain` in 12 alone, `gone` nowhere any more but still
/// listed for 14, `none` nowhere at all. `boss` and `freeboss` have a role that may bypass.
const USERS: &str = r#"users:
  - { user: "member", account: "12", active: true, memberships: ["12", "14"] }
  - { user: "plain", account: "12", active: true }
  - { user: "gone", account: null, active: true, memberships: ["14"] }
  - { user: "none", account: null, active: true }
  - { user: "boss", account: "12", active: true, roles: [support, other] }
  - { user: "freeboss", account: null, active: true, roles: [support] }
  - { user: "bossoff", account: "12", active: false, roles: [support] }
  - { user: "bossclosed", account: "12", active: true, account_active: false, roles: [support] }
"#;

fn scene(accounts: &str) -> Scene {
    Scene::with(|builder| builder.users(USERS).set("accounts", accounts))
}

/// A user, and the account of its token.
type Caller<'a> = (&'a str, Option<&'a str>);

fn request((user, account): Caller<'_>) -> Request {
    let token = Token::user(user);
    let token = match account {
        Some(account) => token.account(account),
        None => token,
    };
    Request::get("/").bearer(&token.signed())
}

/// The caller acts in `account`, for this reason; whether the token is called stale.
#[track_caller]
fn acts(scene: &Scene, caller: Caller<'_>, account: Option<&str>, reason: &str, stale: bool) {
    let (response, seen, line) = scene.passes_as(&request(caller), reason);
    assert_eq!(seen.header("x-auth-account-id"), account, "{caller:?}");
    assert_eq!(seen.header("x-auth-user-id"), Some(caller.0));
    let mark = response.header("x-auth-token-stale");
    assert_eq!(mark, stale.then_some("account"), "{caller:?}");
    assert_eq!(line["account"].as_str(), account, "{line}");
    assert_eq!(line["token_account"].as_str(), caller.1, "{line}");
}

#[track_caller]
fn mismatch(scene: &Scene, caller: Caller<'_>) {
    let response = scene.refuses(&request(caller), 401, "account_mismatch");
    let challenge = challenge_of(&response);
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

/// The rows on which all policies agree: the same account, none in the token, none at all.
#[track_caller]
fn common_rows(scene: &Scene) {
    acts(scene, ("plain", Some("12")), Some("12"), "match", false);
    acts(scene, ("plain", None), Some("12"), "account_filled", false);
    scene.refuses(&request(("none", None)), 403, "account_missing");
}

#[test]
fn use_live_is_the_default_and_follows_the_record() {
    for scene in [
        Scene::with(|builder| builder.users(USERS)),
        scene("{ on_mismatch: use_live }"),
    ] {
        common_rows(&scene);
        acts(
            &scene,
            ("plain", Some("14")),
            Some("12"),
            "live_account",
            true,
        );
        acts(
            &scene,
            ("member", Some("14")),
            Some("12"),
            "live_account",
            true,
        );
        scene.refuses(&request(("gone", Some("14"))), 403, "account_missing");
        scene.refuses(&request(("none", Some("14"))), 403, "account_missing");
    }
}

#[test]
fn use_live_without_an_account_where_that_is_allowed() {
    let scene = scene("{ on_mismatch: use_live, on_no_account: allow }");
    acts(&scene, ("none", None), None, "no_account", false);
    acts(&scene, ("gone", Some("14")), None, "no_account", true);
}

#[test]
fn reject_refuses_what_does_not_agree() {
    let scene = scene("{ on_mismatch: reject }");
    common_rows(&scene);
    mismatch(&scene, ("plain", Some("14")));
    mismatch(&scene, ("member", Some("14")));
    mismatch(&scene, ("gone", Some("14")));
    mismatch(&scene, ("none", Some("14")));
}

#[test]
fn reject_still_refuses_where_no_account_is_allowed() {
    let scene = scene("{ on_mismatch: reject, on_no_account: allow }");
    acts(&scene, ("none", None), None, "no_account", false);
    mismatch(&scene, ("none", Some("14")));
}

#[test]
fn allow_member_acts_in_a_live_membership_alone() {
    let scene = scene("{ on_mismatch: allow_member }");
    common_rows(&scene);
    acts(&scene, ("member", Some("14")), Some("14"), "member", false);
    mismatch(&scene, ("member", Some("15")));
    mismatch(&scene, ("plain", Some("14")));
    acts(&scene, ("gone", Some("14")), Some("14"), "member", false);
    mismatch(&scene, ("gone", Some("15")));
    mismatch(&scene, ("none", Some("14")));
}

#[test]
fn observe_does_as_the_app_does_today_and_records_it() {
    let scene = scene("{ on_mismatch: observe }");
    common_rows(&scene);
    acts(&scene, ("plain", Some("14")), Some("14"), "observed", true);
    acts(&scene, ("none", Some("14")), Some("14"), "observed", true);
}

#[test]
fn observe_and_no_account_where_that_is_allowed() {
    let scene = scene("{ on_mismatch: observe, on_no_account: allow }");
    acts(&scene, ("none", None), None, "no_account", false);
}

#[test]
fn a_live_bypass_role_acts_where_its_token_says_under_every_policy() {
    for policy in ["use_live", "reject", "allow_member", "observe"] {
        let scene = scene(&format!(
            "{{ on_mismatch: {policy}, bypass_roles: [support] }}"
        ));
        for caller in [("boss", Some("14")), ("freeboss", Some("14"))] {
            let (_, seen, line) = scene.passes_as(&request(caller), "bypass");
            assert_eq!(seen.header("x-auth-account-id"), Some("14"), "{policy}");
            assert_eq!(line["bypass"], true, "{line}");
            assert_eq!(line["account"], "14", "{line}");
        }
        let (_, seen, line) = scene.passes_as(&request(("freeboss", None)), "bypass");
        assert_eq!(seen.header("x-auth-account-id"), None, "{policy}");
        assert_eq!(line["bypass"], true, "{line}");
        acts(&scene, ("boss", Some("12")), Some("12"), "match", false);
        acts(&scene, ("boss", None), Some("12"), "account_filled", false);
    }
}

#[test]
fn e6_a_bypass_role_in_the_token_is_no_role() {
    let scene = scene("{ on_mismatch: reject, bypass_roles: [support, admin] }");
    let token = Token::user("plain")
        .account("14")
        .claim("roles", serde_json::json!(["support", "admin"]))
        .claim("role", "support")
        .claim("is_superuser", true);
    let request = Request::get("/").bearer(&token.signed());
    scene.refuses(&request, 401, "account_mismatch");
    scene.upstream.assert_untouched();
}

#[test]
fn a_bypass_role_skips_nothing_but_the_account() {
    let scene = scene("{ on_mismatch: reject, bypass_roles: [support] }");
    scene.refuses(&request(("bossoff", Some("14"))), 403, "user_inactive");
    scene.refuses(
        &request(("bossclosed", Some("12"))),
        403,
        "account_inactive",
    );
    let expired = Token::user("boss").account("14").expires_in(-5).signed();
    scene.refuses(&Request::get("/").bearer(&expired), 401, "token_expired");
    scene.upstream.assert_untouched();
}

#[test]
fn without_bypass_roles_nobody_bypasses() {
    let scene = scene("{ on_mismatch: reject }");
    mismatch(&scene, ("boss", Some("14")));
    scene.refuses(&request(("freeboss", None)), 403, "account_missing");
}

#[test]
fn a_route_may_have_its_own_policy() {
    let scene = Scene::with(|builder| {
        builder.users(USERS).set("accounts", "{ on_mismatch: use_live }").set(
            "routes",
            "[ { match: { path: /strict }, access: member, upstream: app, accounts: { on_mismatch: reject } },
  { match: { path: / }, access: member, upstream: app } ]",
        )
    });
    let token = Token::user("plain").account("14").signed();
    scene.passes_as(&Request::get("/").bearer(&token), "live_account");
    let strict = Request::get("/strict/x").bearer(&token);
    scene.refuses(&strict, 401, "account_mismatch");
}

#[test]
fn numbers_and_strings_are_one_account() {
    let scene = scene("{ on_mismatch: reject }");
    let token = Token::user("plain").account(12).signed();
    scene.passes_as(&Request::get("/").bearer(&token), "match");
    for account in [serde_json::json!("012"), serde_json::json!("12 ")] {
        let token = Token::user("plain").account(account).signed();
        let response = scene.gateway.send(&Request::get("/").bearer(&token));
        assert_eq!(response.status(), 401, "{}", response.text());
    }
    let token = Token::user("plain")
        .account(serde_json::Value::Null)
        .signed();
    scene.passes_as(&Request::get("/").bearer(&token), "account_filled");
}
