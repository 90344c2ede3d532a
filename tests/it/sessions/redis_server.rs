//! The Redis server itself: gone, stopped, behind a password, over TLS; and the rows behind it.

use std::time::Instant;

use serde_json::json;

use super::django::{self, FIVE, GONE, SEVEN};
use super::redis::{CACHE, CACHED_DB, LONG, SHORT, log_in, scene, store, with_store};
use super::{LIVES, dead, get, postgres, with_keys};
use crate::harness::{
    Authority, Builder, Database, Link, PATIENCE, Recorder, Redis, Request, Scene, Token,
    countersign,
};

fn until_passes(scene: &Scene) {
    let deadline = Instant::now() + PATIENCE;
    while scene.gateway.send(&get(FIVE)).status() != 200 {
        assert!(Instant::now() < deadline, "it never passes");
    }
}

fn until_unavailable(scene: &Scene) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let response = scene.gateway.send(&get(FIVE));
        if response.status() != 200 {
            assert_eq!(response.reason().as_deref(), Some("directory_unavailable"));
            assert_eq!(response.header("set-cookie"), None, "nobody is logged out");
            return;
        }
        assert!(Instant::now() < deadline, "it still passes");
    }
}

#[test]
fn a_server_that_is_gone_is_not_a_dead_session() {
    let mut redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    let scene = scene(&redis, "", SHORT);
    scene.passes(&get(FIVE));
    redis.stop();
    until_unavailable(&scene);
    // Who has a token needs no session, and the instance stays.
    let token = Token::user("5").account("12").signed();
    scene.passes(&Request::get("/").bearer(&token));
    let ready = scene.gateway.admin(&Request::get("/readyz"));
    let said = ready.expect_status(200).json();
    assert_eq!(said["status"], "degraded", "{said}");
    assert_eq!(said["components"]["sessions"]["ready"], false, "{said}");
    redis.start_again();
    log_in(&redis, CACHE, FIVE, "5");
    until_passes(&scene);
    let deadline = Instant::now() + PATIENCE;
    while scene.gateway.admin(&Request::get("/readyz")).json()["status"] != "ready" {
        assert!(Instant::now() < deadline, "it is never ready");
    }
}

#[test]
fn a_server_that_stands_still_and_a_silent_path_are_unavailable_in_time() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    let link = Link::to(redis.port());
    let scene = Scene::before(Recorder::start(), |builder| {
        let directory = format!("{SHORT}\nlimits: {{ timeout: 4s }}");
        with_store(builder, &Redis::url_at(link.port()), "").set("directory", &directory)
    });
    scene.passes(&get(FIVE));
    redis.signal("STOP");
    until_unavailable(&scene);
    redis.signal("CONT");
    until_passes(&scene);
    link.go_silent();
    until_unavailable(&scene);
    link.go_on();
    until_passes(&scene);
    // Connections that were cut while they were idle are no refusal.
    for _ in 0..3 {
        link.lead_to(redis.port());
        scene
            .gateway
            .invalidate(&json!({ "tenant": "default", "session": FIVE }));
        scene.passes(&get(FIVE));
    }
}

#[test]
fn what_the_server_refuses_is_not_a_dead_session() {
    let redis = Redis::start();
    redis.run(&["LPUSH", &format!("{CACHE}{FIVE}"), "a list"]);
    let scene = scene(&redis, "", SHORT);
    let response = scene.refuses(&get(FIVE), 503, "directory_unavailable");
    assert_eq!(response.header("set-cookie"), None);
    log_in(&redis, CACHE, SEVEN, "7");
    scene.passes(&get(SEVEN));
}

#[test]
fn the_url_names_password_and_database() {
    let redis = Redis::with(
        &["--requirepass", "open-sesame"],
        &["-a", "open-sesame", "-n", "3"],
    );
    log_in(&redis, CACHE, FIVE, "5");
    let at = |rest: &str| {
        Scene::before(Recorder::start(), |builder| {
            with_store(builder, &format!("redis://{rest}"), "").set("directory", SHORT)
        })
    };
    let place = format!("127.0.0.1:{}", redis.port());
    let good = at(&format!(":open-sesame@{place}/3"));
    good.passes(&get(FIVE));
    good.never_written("open-sesame");
    // A user who may do nothing else.
    let reader = "ACL SETUSER reader on >reader-sesame ~* +@connection +getrange +pttl";
    redis.run(&reader.split(' ').collect::<Vec<_>>());
    at(&format!("reader:reader-sesame@{place}/3")).passes(&get(FIVE));
    dead(
        &at(&format!(":open-sesame@{place}/2")),
        &get(FIVE),
        "session_invalid",
    );
    for rest in [format!(":wrong-sesame@{place}/3"), format!("{place}/3")] {
        let scene = at(&rest);
        scene.refuses(&get(FIVE), 503, "directory_unavailable");
        scene.never_written("sesame");
    }
}

#[test]
fn over_tls_the_certificate_has_to_be_the_servers() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (certificate, key) = authority.issue(&["localhost"]);
    let (certificate, key) = (file("tls.crt", &certificate), file("tls.key", &key));
    let ca = file("ca.crt", &authority.pem());
    let other = file("other.crt", &Authority::new().pem());
    let redis = Redis::over_tls(&certificate, &key, &ca);
    log_in(&redis, CACHE, FIVE, "5");
    let url = format!("rediss://localhost:{}/0", redis.port());
    let trusting = |ca: &str| {
        Scene::before(Recorder::start(), |builder| {
            with_store(builder, &url, "")
                .env("SSL_CERT_FILE", ca)
                .set("directory", SHORT)
        })
    };
    trusting(&ca).passes(&get(FIVE));
    trusting(&other).refuses(&get(FIVE), 503, "directory_unavailable");
}

const CACHED: &str = ", engine: cached_db";

fn rows_behind(redis: &Redis, lives: &str) -> (Database, Scene) {
    let database = Database::with(&format!("{}{}", django::TABLES, django::rows()));
    let scene = postgres(&database, lives, |builder| {
        builder
            .env("REDIS_URL", &redis.url())
            .set("credentials", &store(CACHED))
    });
    (database, scene)
}

#[test]
fn what_is_not_in_redis_is_in_the_table() {
    let redis = Redis::start();
    let (database, scene) = rows_behind(&redis, LIVES);
    // In the table alone, in Redis alone, in neither.
    scene.passes(&get(FIVE));
    log_in(&redis, CACHED_DB, "inredisinredisinredisinredisinre", "7");
    let (_, seen) = scene.passes(&get("inredisinredisinredisinredisinre"));
    assert_eq!(seen.header("x-auth-user-id"), Some("7"));
    log_in(&redis, CACHE, "ofanotherengineofanotherengineof", "7");
    dead(
        &scene,
        &get("ofanotherengineofanotherengineof"),
        "session_invalid",
    );
    dead(&scene, &get(GONE), "session_expired");
    // As Django, Redis first.
    let forged = django::pickled(&django::login("7", "of somebody else"));
    redis.put(&format!("{CACHED_DB}{SEVEN}"), &forged, 3600);
    dead(&scene, &get(SEVEN), "session_invalid");
    // Nothing was written there for it.
    assert_eq!(redis.run(&["DBSIZE"]).trim(), "3");
    // A log-out deletes both.
    database.run("DELETE FROM django_session");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "session": FIVE }));
    dead(&scene, &get(FIVE), "session_invalid");
}

#[test]
fn without_redis_the_rows_count() {
    let mut redis = Redis::start();
    let lives = "cache: { ttl: 1h, ttl_without_push: 50ms, negative_ttl: 50ms }";
    let (database, scene) = rows_behind(&redis, lives);
    redis.stop();
    scene.passes(&get(FIVE));
    dead(&scene, &get(GONE), "session_expired");
    let ready = scene.gateway.admin(&Request::get("/readyz"));
    ready.expect_status(200);
    // Without either nobody knows.
    database.run("ALTER TABLE django_session RENAME TO elsewhere");
    until_unavailable(&scene);
}

#[test]
fn check_says_what_redis_needs() {
    let check = |credentials: &str, more: &[&str]| {
        let builder = with_keys(Builder::new())
            .env("REDIS_URL", "redis://nobody:canary@127.0.0.1:1/0")
            .users(super::redis::USERS)
            .set("directory", LONG)
            .set("upstreams", "[ { servers: [ \"http://127.0.0.1:1\" ] } ]")
            .set("credentials", credentials);
        builder.write();
        let args = [&["check", "-c", "countersign.yaml"], more].concat();
        let output = countersign(builder.folder(), &builder.env_pairs(), &args);
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(!said.contains("canary"), "{said}");
        (output.code, said)
    };
    let refused = |more: &str, at: &str, words: &str| {
        let (code, said) = check(&store(more), &[]);
        assert_eq!(code, Some(2), "{said}");
        let told = |line: &str| line.contains(at) && line.contains(words);
        assert!(said.lines().any(told), "no {words:?} in:\n{said}");
    };
    refused(", table: other", "store.redis.table", "engine: cached_db");
    refused(CACHED, "store.redis.engine", "no database");
    refused(", version: -1", "store.redis.version", "");
    refused(
        ", key_function: own",
        "store.redis.key_function",
        "django_tenants",
    );
    refused(", serializer: msgpack", "store.redis.serializer", "json");
    refused(", prefix: x", "store.redis.prefix", "key_prefix");
    let elsewhere = store("").replace("${REDIS_URL}", "memcached://127.0.0.1");
    let (code, said) = check(&elsewhere, &[]);
    assert!(code == Some(2) && said.contains("Redis"), "{said}");
    assert_eq!(check(&store(""), &[]).0, Some(0));
    let (code, said) = check(&store(""), &["--connect"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("sessions in redis"), "{said}");
}
