//! Step 7: what a route asks of the live record, and ids that cannot stand in a header.

use serde_json::json;

use crate::harness::{Request, Scene, Token};

const USERS: &str = r#"users:
  - { user: "admin", account: "12", active: true, roles: [admin, staff], attributes: { plan: pro } }
  - { user: "plain", account: "12", active: true, roles: [staff], attributes: { plan: free } }
  - { user: "bare", account: "12", active: true }
"#;

const ROUTES: &str =
    "[ { match: { path: /admin }, access: member, roles: [admin, owner], upstream: app },
  { match: { path: /pro }, access: member, attributes: { plan: [pro, enterprise] }, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]";

fn scene() -> Scene {
    Scene::with(|builder| builder.users(USERS).set("routes", ROUTES))
}

fn get(path: &str, user: &str) -> Request {
    Request::get(path).bearer(&Token::user(user).account("12").signed())
}

#[test]
fn a_route_takes_any_of_its_roles_from_the_live_record() {
    let scene = scene();
    scene.passes_as(&get("/admin/x", "admin"), "match");
    for user in ["plain", "bare"] {
        scene.refuses(&get("/admin", user), 403, "role_required");
        scene.refuses(&get("/admin/x", user), 403, "role_required");
    }
    let boast = Token::user("plain")
        .account("12")
        .claim("roles", json!(["admin"]));
    let request = Request::get("/admin").bearer(&boast.signed());
    scene.refuses(&request, 403, "role_required");
}

#[test]
fn a_route_takes_any_value_of_an_attribute_it_asks_for() {
    let scene = scene();
    scene.passes_as(&get("/pro", "admin"), "match");
    scene.refuses(&get("/pro", "plain"), 403, "role_required");
    scene.refuses(&get("/pro", "bare"), 403, "role_required");
}

#[test]
fn an_id_that_cannot_stand_in_a_header_refuses_the_request() {
    let scene = Scene::with(|builder| {
        builder.users(
            r#"users:
  - { user: "zoë", account: "12", active: true }
  - { user: "ann", account: "kontö", active: true }
  - { user: "ben", account: "12", active: true, roles: ["a,b"] }
  - { user: "cat", account: "12", active: true, roles: ["größe"] }
"#,
        )
    });
    for user in ["zoë", "ann", "ben", "cat"] {
        let request = Request::get("/").bearer(&Token::user(user).signed());
        scene.refuses(&request, 403, "identity_unsafe");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn browsers_get_a_page_and_scripts_a_problem() {
    let scene = scene();
    let page = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let request = Request::get("/").header("Accept", page);
    let response = scene.gateway.send(&request).expect_status(401);
    let kind = response.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/html"), "{kind}");
    assert!(response.text().contains("credential_missing"));
    assert!(response.header("www-authenticate").is_some());
    assert!(
        response
            .header("cache-control")
            .unwrap_or_default()
            .contains("no-store")
    );
    for accept in ["application/json", "*/*", "application/problem+json"] {
        let request = Request::get("/").header("Accept", accept);
        scene.refuses(&request, 401, "credential_missing");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a_refused_head_has_no_body() {
    let scene = scene();
    let mut client = scene.gateway.client();
    let response = client.exchange(&Request::new("HEAD", "/"));
    assert_eq!(response.status(), 401);
    // The connection goes on at the right place.
    let next = client.exchange(&get("/", "admin"));
    assert_eq!(next.status(), 200);
}

#[test]
fn a_browser_without_a_credential_is_sent_to_the_login() {
    let scene = Scene::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: /accounts }, access: public, upstream: app },
  { match: { path: / }, access: member, login: \"/accounts/login/?next={path}\", upstream: app } ]",
        )
    });
    let page = |target| Request::get(target).header("Accept", "text/html");
    let response = scene
        .gateway
        .send(&page("/a b".replace(' ', "%20").as_str()).header("Sec-Fetch-Mode", "navigate"));
    assert_eq!(response.status(), 303, "{}", response.text());
    let location = response.header("location").unwrap_or_default();
    assert!(location.starts_with("/accounts/login/?next="), "{location}");
    assert!(!location.contains(' '), "{location}");
    assert!(
        response
            .header("cache-control")
            .unwrap_or_default()
            .contains("no-store")
    );
    scene.refuses(&Request::get("/x"), 401, "credential_missing");
    scene.upstream.assert_untouched();
}
