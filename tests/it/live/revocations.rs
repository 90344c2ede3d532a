//! `POST /v1/revocations`: tokens that verify and are refused all the same.

use serde_json::{Value, json};

use super::{TABLES, directory, until_push};
use crate::harness::{
    Builder, Database, Ended, Recorder, Redis, Request, Scene, Token, WebSocket, echo_messages,
    now, until, upgrade_headers,
};

fn token(user: &str, jti: &str) -> Token {
    Token::user(user).claim("jti", jti).claim("iat", now())
}

fn get(token: &Token) -> Request {
    Request::get("/").bearer(&token.signed())
}

#[track_caller]
fn revoke(scene: &Scene, message: &Value, status: u16) -> Value {
    scene.gateway.revoke(message).expect_status(status).json()
}

fn passes(scene: &Scene, token: &Token) -> bool {
    let response = scene.gateway.send(&get(token));
    if response.status() == 200 {
        return true;
    }
    scene.check_refusal(&response, 401, "token_revoked");
    false
}

#[test]
fn a_token_is_revoked_by_its_id() {
    let scene = Scene::new();
    let (one, other) = (token("5", "one"), token("5", "other"));
    assert!(passes(&scene, &one));
    let message =
        json!({ "tenant": "default", "jti": "one", "issuer": "app", "until": now() + 60 });
    let answer = revoke(&scene, &message, 200);
    assert_eq!(answer, json!({ "revoked": true, "published": false }));
    assert!(!passes(&scene, &one));
    assert!(passes(&scene, &other));
    // Of another tenant, with the same id.
    revoke(
        &scene,
        &json!({ "tenant": "x", "jti": "other", "until": now() + 60 }),
        200,
    );
    assert!(passes(&scene, &other));
}

#[test]
fn a_user_is_logged_out_everywhere_and_may_log_in_again() {
    let scene = Scene::new();
    let (five, seven) = (token("5", "a"), token("7", "b"));
    revoke(
        &scene,
        &json!({ "tenant": "default", "user": 5, "until": "2100-01-01T00:00:00Z" }),
        400,
    );
    revoke(
        &scene,
        &json!({ "tenant": "default", "user": 5, "until": now() + 60 }),
        200,
    );
    assert!(!passes(&scene, &five));
    assert!(passes(&scene, &seven));
    // A login of a later second.
    let fresh = || Token::user("5").claim("iat", now()).claim("jti", "c");
    until("a new login counts", || passes(&scene, &fresh()));
    assert!(!passes(&scene, &five));
}

#[test]
fn a_revocation_ends_with_its_time_and_is_its_issuers() {
    let scene = Scene::new();
    let one = token("5", "one");
    revoke(
        &scene,
        &json!({ "tenant": "default", "jti": "one", "until": now() + 2 }),
        200,
    );
    assert!(!passes(&scene, &one));
    until("it is over", || passes(&scene, &one));
}

#[test]
fn what_cannot_be_read_revokes_nothing_and_says_why() {
    let scene = Scene::new();
    let good = || json!({ "tenant": "default", "jti": "x", "until": now() + 60 });
    for (member, value) in [
        ("tenant", Value::Null),
        ("tenant", json!(["a"])),
        ("jti", Value::Null),
        ("jti", json!(5)),
        ("jti", json!("")),
        ("user", json!("5")),
        ("issuer", json!("nobody")),
        ("until", Value::Null),
        ("until", json!("soon")),
        ("until", json!(5)),
        ("extra", json!(1)),
    ] {
        let mut message = good();
        message[member] = value;
        let answer = revoke(&scene, &message, 400);
        assert!(answer["error"].is_string(), "{message}: {answer}");
    }
    revoke(&scene, &json!([]), 400);
    for request in [
        Request::post("/v1/revocations", b"{}").host(&scene.gateway.admin_address().to_string()),
        scene.gateway.admin_request("GET", "/v1/revocations"),
    ] {
        let status = scene.gateway.admin(&request).status();
        assert!([401, 405].contains(&status), "{status}");
    }
}

#[test]
fn e12_a_stream_whose_token_is_revoked_ends_with_4401() {
    let upstream = Recorder::answering(|exchange| {
        echo_messages(exchange);
    });
    let scene = Scene::before(upstream, |builder| builder);
    let open = |jti: &str| {
        let request = upgrade_headers(Request::get("/ws")).bearer(&token("5", jti).signed());
        WebSocket::open(scene.gateway.address(), &request)
    };
    let (mut one, mut two) = (open("one"), open("two"));
    one.echo("before");
    two.echo("before");
    revoke(
        &scene,
        &json!({ "tenant": "default", "jti": "one", "until": now() + 60 }),
        200,
    );
    assert_eq!(one.ended(), Ended::Code(4401));
    two.echo("after");
    revoke(
        &scene,
        &json!({ "tenant": "default", "user": "5", "until": now() + 60 }),
        200,
    );
    assert_eq!(two.ended(), Ended::Code(4401));
}

/// Every replica has it, and one that is started afterwards.
fn shared(configure: &dyn Fn(Builder) -> Builder) {
    let replica = || Scene::with(configure);
    let (first, second) = (replica(), replica());
    for scene in [&first, &second] {
        until_push(&scene.gateway, true);
    }
    let (one, other) = (token("5", "one"), token("6", "other"));
    for scene in [&first, &second] {
        assert!(passes(scene, &one));
    }
    let message = json!({ "tenant": "default", "jti": "one", "until": now() + 600 });
    let answer = revoke(&first, &message, 200);
    assert_eq!(answer, json!({ "revoked": true, "published": true }));
    assert!(!passes(&first, &one));
    until("the other replica has it", || !passes(&second, &one));
    let third = replica();
    assert!(!passes(&third, &one));
    assert!(passes(&third, &other));
}

#[test]
fn with_postgres_every_replica_and_a_restarted_one_refuse() {
    let database = Database::with(TABLES);
    shared(&|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("directory", &directory("postgres_notify: {}"))
            // Longer than the test: only the push explains it.
            .set("revocations", "{ store: postgres, refresh: 25s }")
    });
}

#[test]
fn with_redis_every_replica_and_a_restarted_one_refuse() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    shared(&|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .env("REDIS_URL", &redis.url())
            .set("directory", &directory("redis: { url: \"${REDIS_URL}\" }"))
            .set("revocations", "{ store: redis, refresh: 25s }")
    });
}

#[test]
fn without_push_the_others_find_it_by_themselves_and_an_outage_is_told() {
    let mut redis = Redis::start();
    let url = redis.url();
    let replica = || {
        Scene::with(|builder| {
            builder.env("REDIS_URL", &url).set(
                "revocations",
                "{ store: redis, url: \"${REDIS_URL}\", refresh: 100ms }",
            )
        })
    };
    let (first, second) = (replica(), replica());
    let one = token("5", "one");
    let message = json!({ "tenant": "default", "jti": "one", "until": now() + 600 });
    revoke(&first, &message, 200);
    until("the other replica has it", || !passes(&second, &one));
    redis.stop();
    revoke(
        &first,
        &json!({ "tenant": "default", "jti": "two", "until": now() + 600 }),
        503,
    );
    assert!(
        passes(&first, &token("5", "two")),
        "what was not accepted is not in effect"
    );
    assert!(!passes(&first, &one), "what was accepted stays");
    until("readiness tells", || {
        first.gateway.admin(&Request::get("/readyz")).status() == 503
    });
    // A replica that cannot read the store lets nobody in.
    let blind = Scene::with(|builder| {
        builder.not_ready().env("REDIS_URL", &url).set(
            "revocations",
            "{ store: redis, url: \"${REDIS_URL}\", refresh: 100ms }",
        )
    });
    blind.refuses(&get(&token("6", "x")), 503, "directory_unavailable");
    redis.start_again();
    until("it reads again", || {
        blind.gateway.send(&get(&token("5", "y"))).status() == 200
    });
}
