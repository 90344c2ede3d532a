//! Step 5: the token speaks for the request's tenant, or for none that it could be.

use serde_json::json;

use crate::harness::{Request, Scene, Token};

const USERS: &str = r#"users:
  - { tenant: a, user: "5", account: "12", active: true }
  - { tenant: b, user: "5", account: "99", active: true }
  - { tenant: default, user: "5", account: "1", active: true }
"#;

fn scene(tenants: &str) -> Scene {
    Scene::with(|builder| builder.users(USERS).set("tenants", tenants))
}

fn get(token: &Token) -> Request {
    Request::get("/").bearer(&token.signed())
}

#[test]
fn the_tokens_claim_can_be_the_source() {
    let scene = scene("sources: [ token: {} ]");
    for (tenant, account) in [("a", "12"), ("b", "99")] {
        let (_, seen) = scene.passes(&get(&Token::user("5").tenant(tenant)));
        assert_eq!(seen.header("x-auth-tenant-id"), Some(tenant));
        assert_eq!(seen.header("x-auth-account-id"), Some(account));
    }
    let without = get(&Token::user("5"));
    scene.refuses_any_status(&without, &["tenant_missing", "tenant_mismatch"]);
    scene.refuses(&get(&Token::user("5").tenant("c")), 401, "user_unknown");
    scene.refuses_any_status(
        &get(&Token::user("5").tenant(json!(["a"]))),
        &[
            "claim_missing",
            "credential_malformed",
            "tenant_mismatch",
            "tenant_missing",
        ],
    );
}

#[test]
fn e2_a_token_of_one_tenant_is_nothing_in_another() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]");
    let at = |host: &str, token: &Token| get(token).host(host);
    scene.passes(&at("a.example.test", &Token::user("5").tenant("a")));
    scene.refuses(
        &at("b.example.test", &Token::user("5").tenant("a")),
        403,
        "tenant_mismatch",
    );
    scene.refuses(
        &at("b.example.test", &Token::user("5")),
        403,
        "tenant_mismatch",
    );
    for tenant in [json!("A"), json!("a "), json!(""), json!(null), json!(5)] {
        let response = scene
            .gateway
            .send(&at("a.example.test", &Token::user("5").tenant(tenant)));
        assert!(
            [401, 403].contains(&response.status()),
            "{}",
            response.text()
        );
    }
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn an_issuer_that_is_bound_to_one_tenant_needs_no_claim() {
    let scene = Scene::with(|builder| {
        builder
            .users(USERS)
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
            .set(
                "issuers",
                r#"- name: app
  algorithms: [HS256]
  secret: "${JWT_SECRET}"
  claims: { user: user_id, account: account_id, tenant: tenant_schema }
  tenants: [a]"#,
            )
    });
    scene.passes(&get(&Token::user("5")).host("a.example.test"));
    scene.refuses(
        &get(&Token::user("5")).host("b.example.test"),
        403,
        "tenant_mismatch",
    );
    let foreign = Token::user("5").tenant("b");
    scene.refuses(
        &get(&foreign).host("b.example.test"),
        403,
        "tenant_mismatch",
    );
}

#[test]
fn with_one_tenant_a_token_needs_no_claim_but_must_not_name_another() {
    let scene = Scene::with(|builder| builder.users(USERS));
    let (_, seen) = scene.passes(&get(&Token::user("5")));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("default"));
    scene.passes(&get(&Token::user("5").tenant("default")));
    scene.refuses(&get(&Token::user("5").tenant("a")), 403, "tenant_mismatch");
}

#[test]
fn a_dotted_path_reaches_into_the_claims() {
    let scene = Scene::with(|builder| {
        builder
            .users(USERS)
            .set("tenants", "sources: [ token: {} ]")
            .set(
                "issuers",
                r#"- name: app
  algorithms: [HS256]
  secret: "${JWT_SECRET}"
  claims: { user: sub, account: org.id, tenant: org.tenant }"#,
            )
    });
    let token = Token::user("x")
        .claim("sub", "5")
        .claim("org", json!({ "id": 12, "tenant": "a" }));
    let (_, seen, _) = scene.passes_as(&get(&token), "match");
    assert_eq!(seen.header("x-auth-tenant-id"), Some("a"));
}
