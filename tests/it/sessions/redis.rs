//! Sessions in a Redis cache: under Django's keys, in Django's bytes, with Django's ends.

use serde_json::json;

use super::django::{self, FALLBACK, FIVE, GHOST, INACTIVE, NOBODY, OTHER_HASH, SEVEN, pickled};
use super::{credential, dead, get, with_keys, with_session};
use crate::harness::{
    Builder, Ended, Recorder, Redis, Request, Scene, Token, WebSocket, echo_messages,
    upgrade_headers,
};

pub(super) const CACHE: &str = ":1:django.contrib.sessions.cache";
pub(super) const CACHED_DB: &str = ":1:django.contrib.sessions.cached_db";

pub(super) const USERS: &str = "users:
  - { user: \"5\", account: \"12\", active: true, session_auth: password-of-5 }
  - { user: \"7\", account: \"14\", active: true, session_auth: password-of-7 }
  - { user: \"8\", account: \"14\", active: false, session_auth: password-of-8 }
";

pub(super) fn store(more: &str) -> String {
    let store = format!(", store: {{ redis: {{ url: \"${{REDIS_URL}}\"{more} }} }}");
    format!("[ {}, bearer: {{}} ]", credential(&store))
}

pub(super) fn with_store(builder: Builder, url: &str, more: &str) -> Builder {
    with_keys(builder)
        .env("REDIS_URL", url)
        .users(USERS)
        .set("credentials", &store(more))
}

/// Answers that live until somebody says that they have changed.
pub(super) const LONG: &str = "source: { file: { path: users.yaml } }
cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";
/// Answers that live shortly.
pub(super) const SHORT: &str = "source: { file: { path: users.yaml } }
cache: { ttl: 1h, ttl_without_push: 50ms, negative_ttl: 50ms }";

pub(super) fn scene(redis: &Redis, more: &str, directory: &str) -> Scene {
    Scene::before(Recorder::start(), |builder| {
        with_store(builder, &redis.url(), more).set("directory", directory)
    })
}

/// A login in the cache.
pub(super) fn log_in(redis: &Redis, prefix: &str, key: &str, user: &str) {
    let session = django::login(user, &format!("password-of-{user}"));
    redis.put(&format!("{prefix}{key}"), &pickled(&session), 3600);
}

#[test]
fn e8_sessions_in_redis() {
    let redis = Redis::start();
    let put = |key: &str, value: &[u8]| redis.put(&format!("{CACHE}{key}"), value, 3600);
    for (key, user) in [(FIVE, "5"), (INACTIVE, "8"), (GHOST, "9")] {
        log_in(&redis, CACHE, key, user);
    }
    put(
        OTHER_HASH,
        &pickled(&django::login("5", "an older password")),
    );
    let old = django::login_with("5", "password-of-5", django::OLD_KEY);
    put(FALLBACK, &pickled(&old));
    put(NOBODY, &pickled(&json!({ "theme": "dark" })));
    let scene = scene(&redis, "", LONG);

    let (_, seen, line) = scene.passes_as(&get(FIVE), "account_filled");
    assert_eq!(seen.header("x-auth-user-id"), Some("5"));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(line["credential"], "django_session");
    scene.passes(&get(FALLBACK));
    dead(&scene, &get(OTHER_HASH), "session_invalid");
    for no_key in [
        "unknownunknownunknownunknownunkn",
        "short",
        "*",
        "a\\r\\nDEL b",
    ] {
        dead(&scene, &get(no_key), "session_invalid");
    }
    scene.refuses(&get(NOBODY), 401, "credential_missing");
    scene.refuses(&get(INACTIVE), 403, "user_inactive");
    scene.refuses(&get(GHOST), 401, "user_unknown");
    for secret in [FIVE, "password-of-5"] {
        scene.never_written(secret);
    }
}

#[test]
fn a_pickle_that_is_a_program_is_refused_and_not_run() {
    let redis = Redis::start();
    let scene = scene(&redis, "", SHORT);
    let told = scene.gateway.folder().join("told");
    let command = format!("touch {}", told.display());
    let mut global = b"\x80\x02cposix\nsystem\n(X".to_vec();
    global.extend(u32::try_from(command.len()).expect("short").to_le_bytes());
    global.extend(command.as_bytes());
    global.extend(b"tR.");
    let whole = pickled(&django::login("5", "password-of-5"));
    // A good session with one object in it.
    let object = [
        &whole[..whole.len() - 2],
        b"\x8c\x01x\x8c\x08datetime\x8c\x08datetime\x93u.",
    ];
    let spoilt = |at: usize, byte: u8| {
        let mut spoilt = whole.clone();
        spoilt[at] = byte;
        spoilt
    };
    for (name, value) in [
        ("a call", global),
        ("an object", object.concat()),
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("another protocol", spoilt(1, 6)),
        ("a number, as Django writes one", b"5".to_vec()),
        (
            "JSON",
            django::login("5", "password-of-5").to_string().into_bytes(),
        ),
        ("compressed", b"x\x9c\x03\x00\x00\x00\x00\x01".to_vec()),
        (
            "a row's text",
            django::stored(&django::login("5", "password-of-5")).into_bytes(),
        ),
        ("too large", [&whole[..], &vec![b'.'; 1 << 20]].concat()),
    ] {
        redis.put(&format!("{CACHE}{FIVE}"), &value, 3600);
        let response = scene.gateway.send(&get(FIVE));
        assert_eq!(
            response.reason().as_deref(),
            Some("session_invalid"),
            "{name}"
        );
        redis.run(&["FLUSHALL"]);
        scene
            .gateway
            .invalidate(&json!({ "tenant": "default", "session": FIVE }));
    }
    assert!(!told.exists());
}

#[test]
fn json_is_read_where_it_is_said_and_nowhere_else() {
    let redis = Redis::start();
    let text = django::login("5", "password-of-5").to_string();
    redis.put(&format!("{CACHE}{FIVE}"), text.as_bytes(), 3600);
    log_in(&redis, CACHE, SEVEN, "7");
    let scene = scene(&redis, ", serializer: json", LONG);
    scene.passes(&get(FIVE));
    dead(&scene, &get(SEVEN), "session_invalid");
}

#[test]
fn keys_have_the_prefix_and_version_of_the_cache() {
    let redis = Redis::start();
    log_in(&redis, "shop:2:django.contrib.sessions.cache", FIVE, "5");
    log_in(&redis, CACHE, SEVEN, "7");
    let scene = scene(&redis, ", key_prefix: shop, version: 2", LONG);
    scene.passes(&get(FIVE));
    dead(&scene, &get(SEVEN), "session_invalid");
}

#[test]
fn each_engine_has_its_own_sessions() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    log_in(&redis, CACHED_DB, SEVEN, "7");
    let either = scene(&redis, "", LONG);
    either.passes(&get(FIVE));
    either.passes(&get(SEVEN));
    let cache = scene(&redis, ", engine: cache", LONG);
    cache.passes(&get(FIVE));
    dead(&cache, &get(SEVEN), "session_invalid");
}

#[test]
fn e14_with_djangotenants_keys_a_session_is_its_tenants() {
    let redis = Redis::start();
    log_in(&redis, &format!("acme:{CACHE}"), FIVE, "5");
    log_in(&redis, CACHE, SEVEN, "5");
    let acme = USERS.replace("{ user", "{ tenant: acme, user");
    let globex = acme.replace("acme", "globex").replace("users:\n", "");
    let tenants = |builder: Builder, more: &str| {
        with_store(builder, &redis.url(), more)
            .users(&format!("{acme}{globex}"))
            .set("directory", LONG)
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
    };
    let at = |tenant: &str, key: &str| {
        let request = Request::get("/").host(&format!("{tenant}.example.test"));
        with_session(request, key)
    };
    let scene = Scene::with(|builder| tenants(builder, ", key_function: django_tenants"));
    let (_, seen) = scene.passes(&at("acme", FIVE));
    assert_eq!(seen.header("x-auth-tenant-id"), Some("acme"));
    dead(&scene, &at("globex", FIVE), "session_invalid");
    dead(&scene, &at("acme", SEVEN), "session_invalid");
    // Without it every tenant's app has the session; that is told when the file is checked.
    let shared = Scene::with(|builder| tenants(builder, ""));
    for tenant in ["acme", "globex"] {
        shared.passes(&at(tenant, SEVEN));
    }
    assert!(
        shared
            .gateway
            .log()
            .contains("the tenants share these sessions")
    );
}

#[test]
fn a_logout_and_a_password_change_count_as_soon_as_they_are_said() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    log_in(&redis, CACHE, SEVEN, "7");
    let scene = scene(&redis, "", LONG);
    scene.passes(&get(FIVE));
    scene.passes(&get(SEVEN));
    redis.run(&["DEL", &format!("{CACHE}{FIVE}")]);
    scene.passes(&get(FIVE));
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "session": FIVE }));
    dead(&scene, &get(FIVE), "session_invalid");
    let changed = USERS.replace("password-of-7", "a newer one");
    std::fs::write(scene.gateway.folder().join("users.yaml"), changed).expect("written");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "7" }));
    dead(&scene, &get(SEVEN), "session_invalid");
}

#[test]
fn a_logout_counts_within_the_life_of_what_nobody_pushes() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    let scene = scene(&redis, "", SHORT);
    scene.passes(&get(FIVE));
    redis.run(&["FLUSHALL"]);
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while scene.gateway.send(&get(FIVE)).status() == 200 {
        assert!(std::time::Instant::now() < deadline, "it still passes");
    }
    dead(&scene, &get(FIVE), "session_invalid");
}

#[test]
fn e12_a_logout_ends_its_sockets_though_nobody_says_so() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    log_in(&redis, CACHE, SEVEN, "7");
    let echo = Recorder::answering(|exchange| {
        echo_messages(exchange);
    });
    let directory = SHORT.replace("ttl: 1h, ttl_without", "ttl: 200ms, ttl_without");
    let scene = Scene::before(echo, |builder| {
        with_store(builder, &redis.url(), "").set("directory", &directory)
    });
    let open = |key: &str| {
        let request = upgrade_headers(Request::get("/ws")).header("Origin", "http://app.test");
        let mut socket = WebSocket::open(scene.gateway.address(), &with_session(request, key));
        socket.echo("before");
        socket
    };
    let (mut five, mut seven) = (open(FIVE), open(SEVEN));
    redis.run(&["DEL", &format!("{CACHE}{FIVE}")]);
    assert_eq!(five.ended(), Ended::Code(4401));
    seven.echo("after");
    let line = scene
        .gateway
        .audit(|line| line["decision"] == "stream_closed");
    assert_eq!(line["reason"], "session_invalid");
}

#[test]
fn a_session_ends_with_its_key() {
    let redis = Redis::start();
    let whole = pickled(&django::login("5", "password-of-5"));
    redis.put(&format!("{CACHE}{FIVE}"), &whole, 1);
    let name = format!("{CACHE}{SEVEN}");
    redis.put(&name, &pickled(&django::login("7", "password-of-7")), 3600);
    redis.run(&["PERSIST", &name]);
    let scene = scene(&redis, "", LONG);
    // The answer is kept for an hour, and the session is not.
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while scene.gateway.send(&get(FIVE)).status() == 200 {
        assert!(std::time::Instant::now() < deadline, "it still passes");
    }
    scene.refuses_any_status(&get(FIVE), &["session_expired", "session_invalid"]);
    scene.passes(&get(SEVEN));
}

#[test]
fn session_and_token_are_one_person_or_none() {
    let redis = Redis::start();
    log_in(&redis, CACHE, FIVE, "5");
    let scene = scene(&redis, "", LONG);
    let token = |user: &str| Token::user(user).account("12").signed();
    scene.passes(&get(FIVE).bearer(&token("5")));
    scene.refuses(&get(FIVE).bearer(&token("7")), 401, "credential_conflict");
}

/// The name of one engine begins with the other's: with `d_db` in front, a key of the one would be
/// another name of a session of the other, which no log-out names and the app does not know.
#[test]
fn e8_a_session_has_one_key() {
    let redis = Redis::start();
    log_in(&redis, CACHED_DB, FIVE, "5");
    let scenes = ["", ", engine: cache"].map(|more| scene(&redis, more, LONG));
    for scene in &scenes {
        dead(scene, &get(&format!("d_db{FIVE}")), "session_invalid");
    }
    scenes[0].passes(&get(FIVE));
}
