//! The way back: nothing that only the gateway may say, and no credential where it does not
//! belong.

use serde_json::json;

use super::{get, member, never_written, token};
use crate::harness::{
    Exchange, Key, KeyServer, Recorder, Request, Scene, Token, key_set, upgrade_headers,
};

const EVIL: &str = "evil-7";

#[test]
fn b29_an_upstream_cannot_speak_in_the_gateways_name() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let fields = [
            ("X-Auth-User-Id", EVIL),
            ("x_auth_user_id", EVIL),
            ("X-Auth-Account-Id", EVIL),
            ("X-Auth-Tenant-Id", EVIL),
            ("X-Auth-Roles", EVIL),
            ("X-Auth-Assertion", EVIL),
            ("X-Auth-Token-Stale", EVIL),
            ("X-Request-Id", EVIL),
            ("X-Acted-As-User", "5"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", EVIL),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", EVIL),
            ("Proxy-Connection", EVIL),
            ("Upgrade", "h2c"),
            ("Set-Cookie", "app=1"),
            ("Location", "/next"),
        ];
        exchange.respond(200, &fields, b"hello");
    });
    let scene = Scene::before(upstream, |builder| {
        builder
            .file("assertion.pem", &Key::generate("ES256").private_pem())
            .set(
                "identity",
                "{ assertion: { private_key: { file: assertion.pem } }, echo: { user: X-Acted-As-User, account: X-Acted-As-Account, tenant: X-Acted-As-Tenant } }",
            )
    });
    let response = scene.gateway.send(&member()).expect_status(200);
    for (name, value) in &response.head.fields {
        assert!(!value.contains(EVIL), "{name}: {value}");
    }
    for name in [
        "x-auth-user-id",
        "x-auth-assertion",
        "x-acted-as-user",
        "keep-alive",
        "upgrade",
        "x-hop",
    ] {
        assert_eq!(response.header(name), None, "{name}");
    }
    assert_eq!(response.header("set-cookie"), Some("app=1"));
    assert_eq!(response.header("location"), Some("/next"));
    assert_eq!(response.body, b"hello");
}

#[test]
fn b29_whoever_serves_keys_or_records_sees_no_credential() {
    let key = Key::generate("ES256").with_kid("one");
    let keys = KeyServer::serving(key_set(&[&key]));
    let directory = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path().ends_with("/5") {
            exchange.respond_json(&json!({ "id": "5", "account_id": "12", "is_active": true }));
        } else {
            exchange.respond(404, &[], b"");
        }
    });
    let issuers = super::issuer(&format!(
        "algorithms: [ES256]\naudiences: any\njwks_url: {}/keys",
        keys.url()
    ));
    let source = format!(
        "source: {{ http: {{ url: \"{}/identity/{{tenant}}/{{user}}\", fields: {{ user: id, account: account_id, active: is_active }} }} }}",
        directory.url()
    );
    let scene = Scene::with(|builder| builder.set("issuers", &issuers).set("directory", &source));
    let good = token().signed_by(&key);
    let request = get(&good)
        .header("Cookie", "sessionid=secret-session")
        .header("X-Api-Key", "secret-key");
    scene.passes_as(&request, "match");
    let seen: Vec<_> = keys
        .requests()
        .into_iter()
        .chain(directory.requests())
        .collect();
    assert!(seen.len() >= 2);
    for seen in seen {
        for name in ["authorization", "cookie", "x-api-key", "x-auth-user-id"] {
            assert_eq!(seen.header(name), None, "{name}: {:?}", seen.head);
        }
        let text = format!("{:?}", seen.head);
        assert!(!text.contains("secret-"), "{text}");
    }
    never_written(&scene, &good);
    scene.never_written("secret-session");
}

const CREDENTIALS: &str = r#"[ bearer: { forward: remove },
  cookie: { name: access_token, forward: remove },
  query: { parameter: token, scope: websocket, forward: remove },
  websocket_protocol: { prefix: "bearer.", forward: remove } ]"#;

#[test]
fn b30_a_credential_that_is_not_for_the_upstream_does_not_reach_it() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        drop(crate::harness::accept(exchange, None));
        if exchange.head.get("upgrade").is_none() {
            crate::harness::answer_by_default(exchange);
        }
    });
    let scene = Scene::before(upstream, |builder| builder.set("credentials", CREDENTIALS));
    let token = token().signed();
    let signature = token.rsplit('.').next().expect("a signature");
    let cookie = format!("a=1; access_token={token}; b=2");
    for request in [
        get(&token),
        Request::get("/").header("Cookie", &cookie),
        get(&token).header("Cookie", &cookie),
    ] {
        let (_, seen) = scene.passes(&request);
        assert_eq!(seen.header("authorization"), None);
        assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
    }
    let target = format!("/ws?room=1&token={token}&x=2");
    let by_query = upgrade_headers(Request::get(&target));
    let offered = format!("chat, bearer.{token}");
    let by_protocol =
        upgrade_headers(Request::get("/ws")).header("Sec-WebSocket-Protocol", &offered);
    for handshake in [by_query, by_protocol] {
        let opened = crate::harness::WebSocket::try_open(scene.gateway.address(), &handshake);
        assert!(opened.is_ok(), "{:?}", opened.err());
    }
    for connection in 0..scene.upstream.connections() {
        let raw = scene.upstream.raw(connection);
        let text = String::from_utf8_lossy(&raw);
        assert!(!text.contains(signature), "{text}");
    }
    let targets: Vec<_> = scene.upstream.requests();
    assert!(
        targets
            .iter()
            .any(|seen| seen.head.target() == "/ws?room=1&x=2")
    );
    never_written(&scene, &token);
}

#[test]
fn b30_a_redirect_to_the_login_page_carries_no_credential() {
    let scene = Scene::with(|builder| {
        builder.set("credentials", CREDENTIALS).set(
            "routes",
            "[ { match: { path: / }, access: member, upstream: app, login: \"/accounts/login/?next={path}\" } ]",
        )
    });
    let expired = token().issued_ago(900).expires_in(-600).signed();
    let signature = expired.rsplit('.').next().expect("a signature");
    let navigation = |target: &str| {
        Request::get(target)
            .header("Accept", "text/html")
            .header("Sec-Fetch-Mode", "navigate")
    };
    for request in [
        navigation("/page?x=1").bearer(&expired),
        navigation("/page?x=1").header("Cookie", &format!("access_token={expired}")),
        navigation(&format!("/page?x=1&token={expired}")),
        navigation(&format!("/page?%74oken={expired}")),
    ] {
        let response = scene.gateway.send(&request);
        assert_eq!(response.status(), 303, "{response:?}");
        let location = response.header("location").expect("a place");
        assert!(
            location.starts_with("/accounts/login/?next=%2Fpage"),
            "{location}"
        );
        let whole = format!("{:?}{}", response.head, response.text());
        let whole = whole.replace("%2D", "-").replace("%5F", "_");
        assert!(!whole.contains(signature), "{whole}");
        let storing = response.header("cache-control").unwrap_or_default();
        assert!(storing.contains("no-store"), "{storing}");
    }
    scene.upstream.assert_untouched();
    never_written(&scene, &expired);
}

#[test]
fn b30_a_redirect_of_the_upstream_is_the_apps_own() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.respond(302, &[("Location", "https://elsewhere.test/x")], b"");
    });
    let scene = Scene::before(upstream, |builder| builder);
    let good = Token::user("5").account("12").signed();
    let response = scene.gateway.send(&get(&good));
    assert_eq!(response.status(), 302);
    assert_eq!(
        response.header("location"),
        Some("https://elsewhere.test/x")
    );
    // Passed on, never followed: the gateway made one request.
    assert_eq!(scene.upstream.count(), 1);
    assert_eq!(response.header("authorization"), None);
    let whole = format!("{:?}", response.head);
    assert!(!whole.contains(&good), "{whole}");
}
