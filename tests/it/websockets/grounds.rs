//! What else a stream rests on: every credential of its handshake, the key that signed it, its tenant.
//! A request would be refused; so is the stream.

use serde_json::json;

use super::lease::echoing;
use crate::harness::{
    Ended, Key, Request, Scene, Token, WebSocket, execute_sqlite, now, upgrade_headers,
};

fn caller() -> Token {
    Token::user("5").account("12")
}

fn open(scene: &Scene, request: Request) -> WebSocket {
    WebSocket::open(scene.gateway.address(), &upgrade_headers(request))
}

fn two_places() -> Scene {
    echoing(|builder| {
        builder
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
            .set(
                "directory",
                "source: { file: { path: users.yaml } }\ncache: { ttl: 1h, ttl_without_push: 1h }",
            )
    })
}

fn with_both(bearer: &Token, cookie: &Token) -> Request {
    Request::get("/ws")
        .bearer(&bearer.signed())
        .header("Cookie", &format!("access_token={}", cookie.signed()))
}

#[test]
fn the_first_credential_that_expires_ends_the_stream() {
    let scene = two_places();
    let mut both = open(&scene, with_both(&caller(), &caller().expires_in(3)));
    let mut one = open(&scene, Request::get("/ws").bearer(&caller().signed()));
    both.echo("before");
    assert_eq!(both.ended(), Ended::Code(4401));
    one.echo("after");
}

#[test]
fn a_credential_beside_the_acting_one_that_is_revoked_ends_the_stream() {
    let scene = two_places();
    let beside = caller().claim("jti", "beside");
    let mut both = open(&scene, with_both(&caller(), &beside));
    let mut other = open(&scene, Request::get("/ws").bearer(&caller().signed()));
    both.echo("before");
    let what = json!({ "tenant": "default", "jti": "beside", "until": now() + 3600 });
    scene.gateway.revoke(&what).expect_status(200);
    assert_eq!(both.ended(), Ended::Code(4401));
    other.echo("after");
}

#[test]
fn a_withdrawn_key_ends_its_streams_and_another_one_beside_it_does_not() {
    let key = |kid| Key::generate("ES256").with_kid(kid);
    let (one, two) = (key("one"), key("two"));
    let set = |keys: &[&Key]| {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        json!({ "keys": keys }).to_string()
    };
    let scene = echoing(|builder| {
        builder
            .file("jwks.json", &set(&[&one]))
            .set(
                "issuers",
                "- name: app\n  algorithms: [ES256]\n  audiences: any\n  jwks_file: jwks.json\n  leeway: 0s\n  claims: { user: user_id, account: account_id }",
            )
            .set(
                "directory",
                "source: { file: { path: users.yaml } }\ncache: { ttl: 300ms, ttl_without_push: 300ms }",
            )
    });
    let with = |key: &Key| Request::get("/ws").bearer(&caller().signed_by(key));
    let mut by_one = open(&scene, with(&one));
    by_one.echo("before");
    scene.gateway.replace_file("jwks.json", &set(&[&one, &two]));
    // Once the set is read, its new key is known; by then the stream has been decided again.
    let mut by_two = open(&scene, with(&two));
    by_two.echo("by the other");
    assert!(by_one.is_quiet_for(std::time::Duration::from_millis(900)));
    by_one.echo("still trusted");
    scene.gateway.replace_file("jwks.json", &set(&[&two]));
    assert_eq!(by_one.ended(), Ended::Code(4401));
    by_two.echo("after");
}

const TABLES: &str = "CREATE TABLE users (tenant TEXT, id TEXT, account TEXT);
    INSERT INTO users VALUES ('a', '5', '12'), ('b', '5', '12');
    CREATE TABLE domains (domain TEXT, tenant TEXT);
    INSERT INTO domains VALUES ('app.test', 'a'), ('other.test', 'b');
    CREATE TABLE tenants (tenant TEXT);
    INSERT INTO tenants VALUES ('a'), ('b');";

fn by_domain() -> Scene {
    sources(", token: {}")
}

fn sources(more: &str) -> Scene {
    echoing(|builder| {
        execute_sqlite(&builder.folder().join("app.db"), TABLES);
        builder
            .set(
                "tenants",
                &format!("sources: [ domain: {{ query: \"SELECT tenant FROM domains WHERE domain = $host\" }}{more} ]\nknown: {{ query: \"SELECT tenant FROM tenants\" }}"),
            )
            .set(
                "directory",
                "source:\n  sqlite:\n    path: app.db\n    lookups: { default: \"SELECT id, account, true AS active FROM users WHERE id = $user AND tenant = $tenant\" }\ncache: { ttl: 1h, ttl_without_push: 1h }",
            )
    })
}

fn at(host: &str, tenant: &str) -> Request {
    let token = caller().tenant(tenant).signed();
    Request::get("/ws").host(host).bearer(&token)
}

#[test]
fn a_domain_that_is_anothers_now_ends_the_streams_of_before() {
    for change in [
        "UPDATE domains SET tenant = 'b' WHERE domain = 'app.test'",
        "DELETE FROM tenants WHERE tenant = 'a'",
    ] {
        let scene = by_domain();
        let mut moved = open(&scene, at("app.test", "a"));
        let mut other = open(&scene, at("other.test", "b"));
        moved.echo("before");
        other.echo("before");
        scene.gateway.invalidate(&json!({}));
        moved.echo("nothing has changed");
        execute_sqlite(&scene.gateway.folder().join("app.db"), change);
        scene.gateway.invalidate(&json!({}));
        assert_eq!(moved.ended(), Ended::Code(4403), "{change}");
        other.echo("after");
    }
}

/// A host that no row knows: the token alone names the tenant, and goes on to.
#[test]
fn a_stream_whose_host_no_look_up_knew_goes_on() {
    let scene = by_domain();
    let mut socket = open(&scene, at("unlisted.test", "a"));
    socket.echo("before");
    for _ in 0..2 {
        scene.gateway.invalidate(&json!({}));
        socket.echo("after");
    }
}

/// Where the domain alone names the tenant, its end is the tenant's; where the token names it too, a
/// request would pass without it, and so does the stream.
#[test]
fn a_domain_that_is_gone_ends_the_streams_that_it_alone_placed() {
    for (more, goes_on) in [("", false), (", token: {}", true)] {
        let scene = sources(more);
        let mut socket = open(&scene, at("app.test", "a"));
        socket.echo("before");
        let gone = "DELETE FROM domains WHERE domain = 'app.test'";
        execute_sqlite(&scene.gateway.folder().join("app.db"), gone);
        scene.gateway.invalidate(&json!({ "tenant": "a" }));
        if goes_on {
            let mut another = open(&scene, at("app.test", "a"));
            another.echo("a request passes");
            socket.echo("after");
        } else {
            assert_eq!(socket.ended(), Ended::Code(4403));
            let response = scene.gateway.send(&at("app.test", "a"));
            scene.check_refusal(&response, 404, "tenant_unknown");
        }
    }
}
