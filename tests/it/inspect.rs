//! What an operator may look at: who is connected, and what the directory says of a user.

use serde_json::{Value, json};

use crate::harness::{
    Database, Ended, Gate, Recorder, Request, Scene, Token, WebSocket, echo_messages, until,
    upgrade_headers,
};

fn streams(scene: &Scene, query: &str) -> Value {
    let request = scene
        .gateway
        .admin_request("GET", &format!("/v1/streams{query}"));
    scene.gateway.admin(&request).expect_status(200).json()
}

fn inspected(scene: &Scene, path: &str, status: u16) -> Value {
    let target = format!("/v1/directory/{path}");
    let request = scene.gateway.admin_request("GET", &target);
    scene.gateway.admin(&request).expect_status(status).json()
}

fn caller(user: &str, account: &str) -> Token {
    Token::user(user).account(account)
}

fn open(scene: &Scene, token: &Token) -> WebSocket {
    let request = upgrade_headers(Request::get("/ws")).bearer(&token.signed());
    WebSocket::open(scene.gateway.address(), &request)
}

#[test]
fn open_streams_are_listed_until_they_end() {
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| match exchange.path() {
            "/ws" => {
                echo_messages(exchange);
            }
            "/poll" => {
                gate.pass();
                exchange.respond(200, &[], b"at last");
            }
            path => {
                let kind = if path == "/events" {
                    "text/event-stream; charset=utf-8"
                } else {
                    "application/octet-stream"
                };
                exchange.begin_chunked(&[("Content-Type", kind)]);
                exchange.send_chunk(b"data: 1\n\n");
                gate.pass();
                exchange.end_chunks();
            }
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    assert_eq!(
        streams(&scene, ""),
        json!({ "streams": [], "open": 0, "next": null })
    );
    let token = caller("5", "12").expires_in(600);
    let mut socket = open(&scene, &token);
    socket.echo("before");
    let mut clients: Vec<_> = ["/events", "/download", "/poll"]
        .into_iter()
        .map(|path| {
            let mut client = scene.gateway.client();
            client.send(
                &Request::get(path)
                    .bearer(&caller("7", "14").signed())
                    .bytes(),
            );
            client
        })
        .collect();
    until("four are open", || streams(&scene, "")["open"] == 4);
    let listed = streams(&scene, "?user=5&tenant=default");
    let one = &listed["streams"][0];
    for (member, value) in [
        ("kind", json!("websocket")),
        ("tenant", json!("default")),
        ("user", json!("5")),
        ("account", json!("12")),
        ("credential", json!("bearer")),
        ("route", json!("/")),
        ("client", json!("127.0.0.1")),
    ] {
        assert_eq!(one[member], value, "{member} of {one}");
    }
    let times = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    assert!(times("since") < times("expires"), "{one}");
    let line = scene.gateway.audit(|line| line["path"] == "/ws");
    assert_eq!(line["request_id"], one["request_id"]);
    assert!(!listed.to_string().contains(&token.signed()), "{listed}");

    let mut kinds: Vec<String> = Vec::new();
    let mut after = 0;
    loop {
        let page = streams(&scene, &format!("?limit=1&after={after}"));
        let stream = &page["streams"][0];
        kinds.push(stream["kind"].as_str().expect("a kind").to_owned());
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    kinds.sort();
    assert_eq!(kinds, ["body", "request", "sse", "websocket"]);
    assert_eq!(streams(&scene, "?user=6")["streams"], json!([]));
    assert_eq!(streams(&scene, "?tenant=other")["open"], 4);

    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").status(), 200);
    }
    until("one is open", || streams(&scene, "")["open"] == 1);
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    assert_eq!(socket.ended(), Ended::Code(4403));
    until("none is open", || streams(&scene, "")["open"] == 0);
}

#[test]
fn the_list_is_bounded_and_needs_the_token() {
    let scene = Scene::new();
    for query in [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?after=-1",
        "?what=1",
        "?user=",
        "?user=%FF",
        "?tenant=%00",
    ] {
        let request = scene
            .gateway
            .admin_request("GET", &format!("/v1/streams{query}"));
        let answer = scene.gateway.admin(&request).expect_status(400).json();
        assert!(answer["error"].is_string(), "{query}: {answer}");
    }
    for path in ["/v1/streams", "/v1/directory/default/5"] {
        let host = scene.gateway.admin_address().to_string();
        let bare = Request::get(path).host(&host);
        scene.gateway.admin(&bare).expect_status(401);
        scene
            .gateway
            .admin(&bare.bearer("wrong"))
            .expect_status(401);
        let other = scene.gateway.admin_request("GET", path);
        let page = other.header("Origin", "http://evil.test");
        scene.gateway.admin(&page).expect_status(403);
        let post = scene.gateway.admin_request("POST", path).body(b"{}");
        let refused = scene.gateway.admin(&post).expect_status(405);
        assert_eq!(refused.header("allow"), Some("GET, HEAD"), "{path}");
    }
}

#[test]
fn a_user_is_shown_as_cached_and_as_the_source_says() {
    let scene = Scene::with(|builder| {
        builder
            .users("users: [ { user: \"5\", account: \"12\", active: true, roles: [b, a], memberships: [\"12\"], attributes: { email: a@example.test } } ]\n")
            .set(
                "directory",
                "source: { file: { path: users.yaml } }\ncache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }",
            )
    });
    let found = inspected(&scene, "default/5", 200);
    assert_eq!(found["cached"], Value::Null, "{found}");
    assert_eq!(found["agrees"], Value::Null);
    let record = json!({
        "user": "5", "account": "12", "active": true, "account_active": true,
        "roles": ["a", "b"], "memberships": ["12"], "tokens_valid_after": null,
        "attributes": { "email": "a@example.test" },
    });
    assert_eq!(found["source"], json!({ "known": true, "record": record }));
    assert_eq!(
        (&found["tenant"], &found["subject"]),
        (&json!("default"), &json!("5"))
    );

    scene.passes(&Request::get("/").bearer(&caller("5", "12").signed()));
    let found = inspected(&scene, "default/5", 200);
    assert_eq!(found["agrees"], true, "{found}");
    assert_eq!(found["cached"]["record"], record);
    assert!(found["cached"]["age_ms"].is_u64());

    scene.refuses(
        &Request::get("/").bearer(&caller("9", "12").signed()),
        401,
        "user_unknown",
    );
    let found = inspected(&scene, "default/9", 404);
    assert_eq!(found["agrees"], true, "{found}");
    assert_eq!(found["source"]["reason"], "user_unknown");
    assert_eq!(inspected(&scene, "other/5", 404)["agrees"], Value::Null);
}

#[test]
fn ids_are_percent_decoded_once() {
    let scene = Scene::with(|builder| {
        builder.users("users: [ { user: \"a/b c%2F\", account: \"12\", active: true }, { user: \"Zoë\", account: \"13\", active: true } ]\n")
    });
    let found = inspected(&scene, "default/a%2Fb%20c%252F", 200);
    assert_eq!(found["source"]["record"]["user"], "a/b c%2F");
    let found = inspected(&scene, "default/Zo%C3%AB?lookup=default", 200);
    assert_eq!(found["source"]["record"]["account"], "13");
    for path in [
        "default/a/b",
        "default/",
        "default",
        "/5",
        "default/%FF",
        "default/%00",
        "default/%205",
        "default/5?lookup=other",
        "default/5?x=1",
    ] {
        let answer = inspected(&scene, path, 400);
        assert!(answer["error"].is_string(), "{path}: {answer}");
    }
}

#[test]
fn a_source_that_differs_or_is_down_is_told_beside_what_is_cached() {
    let database = Database::alone_with(
        "CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint, password text);
         INSERT INTO users VALUES (5, 12, 'hash-one');",
    );
    let scene = Scene::with(|builder| {
        builder.env("DATABASE_URL", &database.url()).set(
            "directory",
            "source: { postgres: { url: \"${DATABASE_URL}\", lookups: { default: \"SELECT id, account_id AS account, true AS active, password AS session_auth FROM users WHERE id = $user::bigint\" } } }\n\
             cache: { ttl: 1h, ttl_without_push: 1h }\nlimits: { timeout: 2s }",
        )
    });
    scene.passes(&Request::get("/").bearer(&caller("5", "12").signed()));
    assert_eq!(inspected(&scene, "default/5", 200)["agrees"], true);
    database.run("UPDATE users SET account_id = 14, password = 'hash-two'");
    let found = inspected(&scene, "default/5", 200);
    assert_eq!(found["agrees"], false);
    assert_eq!(found["differs"], json!(["account", "session_auth"]));
    assert_eq!(found["cached"]["record"]["account"], "12");
    assert_eq!(found["source"]["record"]["account"], "14");
    assert!(!found.to_string().contains("hash-"), "{found}");
    // Looking has changed nothing.
    let (_, seen) = scene.passes(&Request::get("/").bearer(&caller("5", "12").signed()));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    database.run("DELETE FROM users");
    let found = inspected(&scene, "default/5", 404);
    assert_eq!(found["differs"], json!(["known"]), "{found}");
    database.stop();
    let found = inspected(&scene, "default/5", 503);
    assert_eq!(found["cached"]["record"]["account"], "12", "{found}");
    assert!(found["source"]["error"].is_string(), "{found}");
    assert_eq!(found["agrees"], Value::Null);
}
