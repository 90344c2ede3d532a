//! Where a request names its tenant, and what happens when it names none or two.

use crate::harness::{Request, Scene, Token};

const USERS: &str = r#"users:
  - { tenant: a, user: "5", account: "12", active: true }
  - { tenant: b, user: "5", account: "99", active: true }
  - { tenant: fallback, user: "5", account: "1", active: true }
"#;

fn scene(tenants: &str) -> Scene {
    Scene::with(|builder| builder.users(USERS).set("tenants", tenants))
}

fn request(tenant: &str, path: &str) -> Request {
    Request::get(path).bearer(&Token::user("5").tenant(tenant).signed())
}

#[track_caller]
fn acts_in(scene: &Scene, request: &Request, tenant: &str, account: &str) {
    let (_, seen) = scene.passes(request);
    assert_eq!(seen.head.all("x-auth-tenant-id"), [tenant]);
    assert_eq!(seen.head.all("x-auth-account-id"), [account]);
}

#[test]
fn a_host_names_its_tenant() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]");
    let at = |host: &str, tenant| request(tenant, "/").host(host);
    acts_in(&scene, &at("a.example.test", "a"), "a", "12");
    acts_in(&scene, &at("b.example.test:8080", "b"), "b", "99");
    acts_in(&scene, &at("A.Example.TEST.", "a"), "a", "12");
    scene.refuses(&at("a.example.test", "b"), 403, "tenant_mismatch");
    for host in [
        "example.test",
        "app.test",
        "x.a.example.test",
        "a.example.test.evil.test",
    ] {
        scene.refuses(&at(host, "a"), 400, "tenant_missing");
    }
    for host in ["a_b.example.test", "-a.example.test"] {
        let response = scene.gateway.send(&at(host, "a"));
        assert!([400, 404].contains(&response.status()), "{host}");
    }
}

#[test]
fn a_path_names_its_tenant() {
    let scene = scene("sources: [ path: \"/t/{tenant}\" ]");
    acts_in(&scene, &request("a", "/t/a/records"), "a", "12");
    acts_in(&scene, &request("b", "/t/b"), "b", "99");
    scene.refuses(&request("a", "/t/b/records"), 403, "tenant_mismatch");
    scene.refuses(&request("a", "/records"), 400, "tenant_missing");
    scene.refuses(&request("a", "/t"), 400, "tenant_missing");
    assert_eq!(scene.upstream.last().head.target(), "/t/b");
}

#[test]
fn what_a_client_writes_is_nobodys_tenant_on_a_public_route() {
    let scene = Scene::with(|builder| {
        builder
            .users(USERS)
            .set("tenants", "{ sources: [ header: X-Tenant-Id, token: {} ], known: [a, b] }")
            .set(
                "routes",
                "[ { match: { path: /open }, access: public, upstream: app }, { match: { path: / }, access: member, upstream: app } ]",
            )
    });
    for tenant in ["b", "zz"] {
        let request = Request::get("/open").header("X-Tenant-Id", tenant);
        let (_, _, line) = scene.passes_as(&request, "public");
        assert_eq!(line["tenant"], serde_json::Value::Null, "{line}");
    }
    let (_, _, line) = scene.passes_as(
        &request("a", "/").header("X-Tenant-Id", "a"),
        "account_filled",
    );
    assert_eq!(line["tenant"], "a");
}

#[test]
fn a_header_only_narrows_what_the_token_proves() {
    let scene = scene("sources: [ header: X-Tenant-Id ]");
    let naming = |named: &str, tenant| request(tenant, "/").header("X-Tenant-Id", named);
    acts_in(&scene, &naming("a", "a"), "a", "12");
    let (_, seen) = scene.passes(&naming("b", "b"));
    assert_eq!(seen.head.all("x-tenant-id"), ["b"]);
    scene.refuses(&naming("b", "a"), 403, "tenant_mismatch");
    scene.refuses(&request("a", "/"), 400, "tenant_missing");
    let twice = naming("a", "a").header("X-Tenant-Id", "b");
    let response = scene.gateway.send(&twice);
    let reason = response.reason().unwrap_or_default();
    assert!(
        ["ambiguous_request", "tenant_conflict"].contains(&&*reason),
        "{reason}"
    );
    let without = Token::user("5").signed();
    let request = Request::get("/")
        .bearer(&without)
        .header("X-Tenant-Id", "a");
    scene.refuses(&request, 403, "tenant_mismatch");
}

#[test]
fn e3_values_that_are_no_tenant_get_nowhere() {
    let scene = scene("sources: [ header: X-Tenant-Id ]");
    for named in ["a b", "a/../b", "A", "a%2fb", "\u{212b}", &"a".repeat(300)] {
        let response = scene
            .gateway
            .send(&request("a", "/").header("X-Tenant-Id", named));
        assert!([400, 403, 404].contains(&response.status()), "{named}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn sources_that_disagree_are_a_conflict() {
    let scene = scene(
        "sources: [ host: \"{tenant}.example.test\", header: X-Tenant-Id, path: \"/t/{tenant}\" ]",
    );
    let at = |host: &str, header: &str, path: &str| {
        request("a", path).host(host).header("X-Tenant-Id", header)
    };
    acts_in(&scene, &at("a.example.test", "a", "/t/a/x"), "a", "12");
    acts_in(&scene, &at("app.test", "a", "/x"), "a", "12");
    for request in [
        at("b.example.test", "a", "/x"),
        at("a.example.test", "b", "/x"),
        at("a.example.test", "a", "/t/b/x"),
        at("app.test", "a", "/t/b/x"),
    ] {
        scene.refuses(&request, 403, "tenant_conflict");
    }
}

#[test]
fn a_conflict_is_one_on_a_public_route_too() {
    let scene = Scene::with(|builder| {
        builder
            .set(
                "tenants",
                "sources: [ host: \"{tenant}.example.test\", header: X-Tenant-Id ]",
            )
            .set(
                "routes",
                "[ { match: { path: / }, access: public, upstream: app } ]",
            )
    });
    scene.passes(&Request::get("/").host("app.test"));
    let request = Request::get("/")
        .host("a.example.test")
        .header("X-Tenant-Id", "b");
    scene.refuses(&request, 403, "tenant_conflict");
}

#[test]
fn the_default_serves_where_nothing_speaks() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]\ndefault: fallback");
    acts_in(&scene, &request("fallback", "/"), "fallback", "1");
    acts_in(&scene, &request("a", "/").host("a.example.test"), "a", "12");
    scene.refuses(&request("a", "/"), 403, "tenant_mismatch");
}

#[test]
fn known_tenants_are_the_only_ones() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]\nknown: [a]");
    acts_in(&scene, &request("a", "/").host("a.example.test"), "a", "12");
    scene.refuses(
        &request("b", "/").host("b.example.test"),
        404,
        "tenant_unknown",
    );
}

#[test]
fn e1_the_same_user_id_in_two_tenants_is_two_users() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]");
    let mut client = scene.gateway.client();
    for _ in 0..20 {
        for (tenant, account) in [("a", "12"), ("b", "99")] {
            let host = format!("{tenant}.example.test");
            let response = client
                .exchange(&request(tenant, "/").host(&host))
                .expect_status(200);
            let seen = response.json();
            assert_eq!(
                (&seen["tenant"], &seen["account"]),
                (&tenant.into(), &account.into())
            );
        }
    }
}

#[test]
fn a_change_in_one_tenant_is_none_in_the_other() {
    let scene = scene("sources: [ host: \"{tenant}.example.test\" ]");
    let a = request("a", "/").host("a.example.test");
    let b = request("b", "/").host("b.example.test");
    acts_in(&scene, &a, "a", "12");
    acts_in(&scene, &b, "b", "99");
    scene.gateway.replace_users(
        "users: [ { tenant: a, user: \"5\", account: \"13\", active: true }, { tenant: b, user: \"5\", account: \"99\", active: true } ]",
    );
    scene
        .gateway
        .invalidate(&serde_json::json!({ "tenant": "a", "user": "5" }));
    acts_in(&scene, &a, "a", "13");
    acts_in(&scene, &b, "b", "99");
}
