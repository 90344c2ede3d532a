//! Streams of one connection never share an identity.

use crate::harness::{Authority, H2Client, H2Request, Recorder, Scene, Token};

const USERS: &str = r#"users:
  - { tenant: a, user: "1", account: "a1", active: true }
  - { tenant: a, user: "2", account: "a2", active: true }
  - { tenant: b, user: "1", account: "b1", active: true }
  - { tenant: b, user: "2", account: "b2", active: true }
"#;

const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

fn scene() -> Scene {
    Scene::with(|builder| {
        builder
            .users(USERS)
            .set("tenants", "sources: [ token: {} ]")
            .set("listeners", H2C)
    })
}

fn request(tenant: &str, user: &str, target: &str) -> H2Request {
    let token = Token::user(user).tenant(tenant).signed();
    H2Request::get(&format!("app.test{target}")).bearer(&token)
}

#[test]
fn many_callers_at_once_on_one_connection() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    for _ in 0..5 {
        let callers: Vec<_> = (0..100)
            .map(|number| (["a", "b"][number % 2], ["1", "2"][number / 2 % 2], number))
            .collect();
        let requests = callers
            .iter()
            .map(|(tenant, user, number)| request(tenant, user, &format!("/{number}")));
        let responses = client.send_all(requests.collect());
        for ((tenant, user, number), response) in callers.iter().zip(responses) {
            let seen = response.expect("a response").json();
            assert_eq!(seen["tenant"], *tenant);
            assert_eq!(seen["user"], *user);
            assert_eq!(seen["account"], format!("{tenant}{user}"));
            assert_eq!(seen["target"], format!("/{number}"));
        }
    }
}

#[test]
fn a_refused_stream_refuses_nobody_else() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    let anonymous = H2Request::get("app.test/x");
    let requests = (0..40).map(|number| {
        if number % 2 == 0 {
            anonymous.clone()
        } else {
            request("a", "1", "/x")
        }
    });
    for (number, response) in client.send_all(requests.collect()).into_iter().enumerate() {
        let response = response.expect("a response");
        let wanted = if number % 2 == 0 { 401 } else { 200 };
        assert_eq!(response.status, wanted);
        if wanted == 401 {
            assert_eq!(response.json()["reason"], "credential_missing");
            assert!(response.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(scene.upstream.count(), 20);
}

#[test]
fn over_tls_it_is_chosen_by_alpn() {
    let authority = Authority::new();
    let scene = Scene::with(|builder| builder.tls(&authority, &["app.test"]));
    let client = H2Client::tls(scene.gateway.address(), "app.test", &authority);
    let token = Token::user("5").account("12").signed();
    let response = client.send(&H2Request::get("app.test/x").bearer(&token));
    assert_eq!(response.expect("a response").json()["user"], "5");
    let seen = scene.upstream.only();
    assert_eq!(seen.head.start, "GET /x HTTP/1.1");
    assert_eq!(seen.head.all("host"), ["app.test"]);
    assert_eq!(seen.head.all("x-forwarded-proto"), ["https"]);
    let via = seen.header("via").expect("a Via line");
    assert!(via.starts_with("2 ") || via.starts_with("2.0 "), "{via}");
}

#[test]
fn b23_prior_knowledge_is_not_taken_unless_configured() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00");
    let answer = client.rest();
    // No HTTP/2 SETTINGS frame comes back.
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1"),
        "{answer:?}"
    );
    scene.upstream.assert_untouched();
}

#[test]
fn b20_cookie_crumbs_become_one_cookie() {
    let scene = Scene::with(|builder| {
        builder.set("listeners", H2C).set(
            "credentials",
            "[ cookie: { name: access_token, forward: keep } ]",
        )
    });
    let client = H2Client::clear(scene.gateway.address());
    let token = Token::user("5").account("12").signed();
    let request = H2Request::get("app.test/")
        .header("cookie", "a=1")
        .header("cookie", &format!("access_token={token}"))
        .header("cookie", "b=2");
    let response = client.send(&request).expect("a response");
    assert_eq!(response.status, 200);
    let seen = scene.upstream.only();
    assert_eq!(
        seen.head.all("cookie"),
        [format!("a=1; access_token={token}; b=2")]
    );
    let twice = request.header(
        "cookie",
        &format!("access_token={}", Token::user("7").signed()),
    );
    let response = client.send(&twice).expect("a response");
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["reason"], "ambiguous_request");
}

#[test]
fn b1_spoofed_headers_are_removed_here_too() {
    let scene = Scene::with(|builder| builder.set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    let token = Token::user("5").account("12").signed();
    let request = H2Request::get("app.test/")
        .bearer(&token)
        .header("x-auth-user-id", "evil")
        .header("x_auth_user_id", "evil")
        .header("x.auth.user.id", "evil")
        .header("remote-user", "evil")
        .header("x-forwarded-for", "6.6.6.6");
    client.send(&request).expect("a response");
    let seen = scene.upstream.only();
    assert_eq!(seen.head.all("x-auth-user-id"), ["5"]);
    assert!(
        !seen
            .head
            .fields
            .iter()
            .any(|(_, value)| value.contains("evil")),
        "{:?}",
        seen.head
    );
}

#[test]
fn cancelled_streams_leave_the_others_alone() {
    let gate = crate::harness::Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| {
            if exchange.path() == "/slow" {
                gate.pass();
            }
            crate::harness::answer_by_default(exchange);
        }
    });
    let scene = Scene::before(upstream, |builder| builder.set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    let token = Token::user("5").account("12").signed();
    for _ in 0..20 {
        client.cancel(&H2Request::new("POST", "app.test/slow").bearer(&token));
    }
    for number in 0..50 {
        let request = H2Request::get(&format!("app.test/{number}")).bearer(&token);
        let response = client.send(&request).expect("a response");
        assert_eq!(response.json()["target"], format!("/{number}"));
    }
    gate.open();
}
