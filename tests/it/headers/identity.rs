//! The identity headers: what is known is sent, what is not is absent, never empty.

use crate::harness::{Request, Scene, Token};

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

const USERS: &str = r#"users:
  - { user: "full", account: "12", active: true, roles: [writer, admin, reader], attributes: { email: ann@example.test, plan: pro } }
  - { user: "one", account: "12", active: true, roles: admin }
  - { user: "bare", account: "12", active: true }
  - { user: "none", account: null, active: true }
  - { user: "zoe", account: "12", active: true, attributes: { email: "Zoë", plan: "" } }
"#;

fn scene() -> Scene {
    Scene::with(|builder| {
        builder
            .users(USERS)
            .set("accounts", "{ on_no_account: allow }")
            .set(
                "identity",
                "{ attributes: { email: X-Auth-Email, plan: X-Auth-Plan } }",
            )
    })
}

#[test]
fn everything_known_is_sent_once() {
    let (_, seen) = scene().passes(&get("full"));
    let one = |name| {
        let values = seen.head.all(name);
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0]
    };
    assert_eq!(one("x-auth-user-id"), "full");
    assert_eq!(one("x-auth-account-id"), "12");
    assert_eq!(one("x-auth-tenant-id"), "default");
    assert_eq!(one("x-auth-roles"), "admin,reader,writer");
    assert_eq!(one("x-auth-credential"), "bearer");
    assert_eq!(one("x-auth-email"), "ann@example.test");
    assert_eq!(one("x-auth-plan"), "pro");
    assert!(!one("x-request-id").is_empty());
}

#[test]
fn a_role_written_as_text_is_one_role() {
    let (_, seen) = scene().passes(&get("one"));
    assert_eq!(seen.head.all("x-auth-roles"), ["admin"]);
}

#[test]
fn what_is_not_known_is_absent() {
    let scene = scene();
    let (_, seen) = scene.passes(&get("bare"));
    for name in ["x-auth-roles", "x-auth-email", "x-auth-plan"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let (_, seen) = scene.passes(&get("none"));
    assert_eq!(seen.header("x-auth-account-id"), None);
    assert_eq!(seen.header("x-auth-user-id"), Some("none"));
}

#[test]
fn b2_what_is_not_known_does_not_let_the_clients_own_through() {
    let scene = scene();
    let request = get("none")
        .header("X-Auth-Account-Id", "99")
        .header("X-Auth-Roles", "admin")
        .header("X-Auth-Email", "root@example.test");
    let (_, seen) = scene.passes(&request);
    for name in ["x-auth-account-id", "x-auth-roles", "x-auth-email"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[test]
fn attributes_outside_ascii_are_encoded_as_rfc_8187() {
    let (_, seen) = scene().passes(&get("zoe"));
    assert_eq!(seen.head.all("x-auth-email"), ["UTF-8''Zo%C3%AB"]);
    assert!(
        seen.head
            .all("x-auth-plan")
            .iter()
            .all(|value| !value.is_empty())
    );
}

#[test]
fn the_names_are_the_configured_ones() {
    let scene = Scene::with(|builder| {
        builder.set(
            "identity",
            "{ headers: { user: X-Gateway-User, account: X-Gateway-Account } }",
        )
    });
    let request = Request::get("/")
        .bearer(&Token::user("5").signed())
        .header("x-gateway-user", "1")
        .header("X_GATEWAY_ACCOUNT", "1");
    let (_, seen) = scene.passes(&request);
    assert_eq!(seen.head.all("x-gateway-user"), ["5"]);
    assert_eq!(seen.head.all("x-gateway-account"), ["12"]);
    assert!(!seen.head.names().contains(&"x_gateway_account".to_owned()));
}
