//! A real Django behind the gateway: it logs people in and out by itself, and the gateway sees the
//! same person as it does, every time.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    Builder, Gateway, PATIENCE, Process, Redis, Request, Response, django_bin, free_port, until,
};

const SECRET: &str = "secret-of-the-shop-0123456789-abcdefghijklmnopqrstuvw";
const OLD_SECRET: &str = "secret-of-the-shop-last-year-abcdefghijklmnopqrstuvw";
const SIGNED_COOKIES: &str = "django.contrib.sessions.backends.signed_cookies";

/// The app under gunicorn, and the gateway before it; both read one database.
struct Shop {
    // First, so that it ends first.
    gateway: Gateway,
    #[expect(dead_code, reason = "it lives as long as the shop")]
    app: Process,
}

fn command(program: &str, folder: &Path, env: &[(&str, &str)]) -> Command {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/django");
    let mut command = Command::new(django_bin().join(program));
    command
        .current_dir(fixtures)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SITE_DB", folder.join("app.db"))
        .env("SITE_SECRET", SECRET)
        .envs(env.iter().copied());
    command
}

impl Shop {
    fn open(credential: &str, more: &[(&str, &str)], change: impl Fn(Builder) -> Builder) -> Self {
        let port = free_port();
        let builder = Builder::new();
        let folder = builder.folder().to_owned();
        let made = command("python", &folder, more)
            .args(["shop.py", "migrate"])
            .output()
            .expect("python");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let bind = format!("127.0.0.1:{port}");
        let mut serve = command("gunicorn", &folder, more);
        serve.args(["--bind", &bind, "--threads", "4", "shop:application"]);
        let app = Process::spawn(serve);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&bind).is_err() {
            assert!(Instant::now() < deadline, "{}", app.stderr_text());
            std::thread::sleep(Duration::from_millis(20));
        }
        let builder = builder
            .env("DJANGO_SECRET_KEY", SECRET)
            .env("DJANGO_OLD_SECRET", OLD_SECRET)
            .set("upstreams", &format!("[ {{ name: app, servers: [ \"http://{bind}\" ] }} ]"))
            .set("credentials", &format!("[ {credential} ]"))
            .set(
                "routes",
                "[ { match: { path: /login/ }, access: public, upstream: app }, \
                   { match: { path: /visit/ }, access: optional, upstream: app }, \
                   { match: { path: / }, access: member, upstream: app } ]",
            )
            .set(
                "directory",
                "source:
  sqlite:
    path: app.db
    lookups:
      default: SELECT id, id + 7 AS account, is_active AS active, password AS session_auth FROM auth_user WHERE id = $user
cache: { ttl: 1h, ttl_without_push: 50ms, negative_ttl: 50ms }",
            );
        Self {
            gateway: change(builder).start(),
            app,
        }
    }

    fn browser(&self) -> Browser<'_> {
        Browser {
            shop: self,
            cookies: BTreeMap::new(),
        }
    }
}

/// Keeps cookies as a browser does.
struct Browser<'s> {
    shop: &'s Shop,
    cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    fn send(&mut self, request: Request) -> Response {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request;
        if !cookies.is_empty() {
            request = request.header("Cookie", &cookies.join("; "));
        }
        if let Some(token) = self.cookies.get("csrftoken") {
            request = request.header("X-CSRFToken", token);
        }
        let response = self.shop.gateway.send(&request);
        for line in response.head.all("set-cookie") {
            let (name, rest) = line.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or_default();
            let value = value.trim_matches('"');
            if value.is_empty() || line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    #[track_caller]
    fn log_in(&mut self, name: &str, password: &str) -> Value {
        self.send(Request::get("/login/")).expect_status(200);
        let request = Request::post("/login/", b"")
            .header("X-Name", name)
            .header("X-Password", password);
        let said = self.send(request).expect_status(200).json();
        assert!(self.cookies.contains_key("sessionid"), "a session");
        said
    }

    /// Whom the app and the gateway both see.
    #[track_caller]
    fn me(&mut self) -> Value {
        let said = self.send(Request::get("/me/")).expect_status(200).json();
        assert_eq!(
            said["user"].to_string(),
            said["gateway_user"].as_str().unwrap_or_default(),
            "{said}"
        );
        said["user"].clone()
    }

    #[track_caller]
    fn is_nobody(&mut self, reason: &str) {
        let response = self.send(Request::get("/me/"));
        assert_eq!(response.status(), 401, "{}", response.text());
        assert_eq!(response.reason().as_deref(), Some(reason));
    }

    /// Until the old answers are past their life.
    fn until_refused(&mut self, reason: &str) {
        let kept = self.cookies.clone();
        until("the old answers are past their life", || {
            // The app, which sees it first, may have deleted the cookie.
            self.cookies.clone_from(&kept);
            self.send(Request::get("/me/")).status() != 200
        });
        self.cookies = kept;
        self.is_nobody(reason);
        assert!(
            !self.cookies.contains_key("sessionid"),
            "the cookie is deleted"
        );
        self.is_nobody("credential_missing");
    }
}

const KEPT: &str = "django_session: { secret_key: \"${DJANGO_SECRET_KEY}\", secret_key_fallbacks: [ \"${DJANGO_OLD_SECRET}\" ] }";

#[test]
fn people_who_log_in_are_recognised_until_they_log_out() {
    let shop = Shop::open(KEPT, &[], |builder| builder);
    let mut nobody = shop.browser();
    nobody.is_nobody("credential_missing");
    // A visitor's session is no credential, and stays.
    nobody.send(Request::get("/visit/")).expect_status(200);
    assert!(nobody.cookies.contains_key("sessionid"));
    nobody.is_nobody("credential_missing");
    nobody.send(Request::get("/visit/")).expect_status(200);

    let (mut ann, mut ben) = (shop.browser(), shop.browser());
    ann.log_in("ann", "ann's password");
    ben.log_in("ben", "ben's password");
    for _ in 0..3 {
        assert_eq!(ann.me(), 5);
        assert_eq!(ben.me(), 7);
    }
    let before = ann.cookies.clone();
    ann.send(Request::post("/logout/", b"")).expect_status(200);
    ann.cookies = before;
    ann.until_refused("session_invalid");
    assert_eq!(ben.me(), 7);
}

#[test]
fn a_new_password_ends_every_session_but_the_one_that_set_it() {
    let shop = Shop::open(KEPT, &[], |builder| builder);
    let (mut here, mut there) = (shop.browser(), shop.browser());
    here.log_in("ann", "ann's password");
    there.log_in("ann", "ann's password");
    assert_eq!((here.me(), there.me()), (5.into(), 5.into()));
    let change = Request::post("/password/", b"")
        .header("X-Password", "another")
        .header("X-Stay", "1");
    here.send(change).expect_status(200);
    there.until_refused("session_invalid");
    assert_eq!(here.me(), 5);
    here.send(Request::post("/password/", b"").header("X-Password", "a third"))
        .expect_status(200);
    here.until_refused("session_invalid");
}

#[test]
fn a_session_of_before_the_secret_was_rotated_counts() {
    let rotated = [("SITE_OLD_SECRET", OLD_SECRET)];
    // The gateway's fallback is the app's secret of today: its sessions are those of before.
    let swapped = "django_session: { secret_key: \"${DJANGO_OLD_SECRET}\", secret_key_fallbacks: [ \"${DJANGO_SECRET_KEY}\" ] }";
    let shop = Shop::open(swapped, &rotated, |builder| builder);
    let mut ann = shop.browser();
    ann.log_in("ann", "ann's password");
    assert_eq!(ann.me(), 5);
    let alone = "django_session: { secret_key: \"${DJANGO_OLD_SECRET}\" }";
    let shop = Shop::open(alone, &rotated, |builder| builder);
    let mut ann = shop.browser();
    ann.log_in("ann", "ann's password");
    ann.is_nobody("session_invalid");
}

#[test]
fn sessions_that_are_their_own_cookie() {
    let credential =
        "django_session: { secret_key: \"${DJANGO_SECRET_KEY}\", store: { signed_cookies: {} } }";
    let shop = Shop::open(credential, &[("SITE_ENGINE", SIGNED_COOKIES)], |builder| {
        builder
    });
    let mut ann = shop.browser();
    ann.log_in("ann", "ann's password");
    assert!(ann.cookies["sessionid"].starts_with('.'), "compressed");
    assert_eq!(ann.me(), 5);
    ann.send(Request::post("/password/", b"").header("X-Password", "another"))
        .expect_status(200);
    ann.until_refused("session_invalid");
}

const CACHE: &str = "django.contrib.sessions.backends.cache";
const CACHED_DB: &str = "django.contrib.sessions.backends.cached_db";

/// Logs in, out, in again and changes the password, with sessions in Redis.
fn in_redis(store: &str, more: &[(&str, &str)]) {
    let redis = Redis::start();
    let url = redis.url();
    let credential = format!(
        "django_session: {{ secret_key: \"${{DJANGO_SECRET_KEY}}\", store: {{ redis: {{ url: \"{url}\"{store} }} }} }}"
    );
    let env = [&[("SITE_REDIS", &*url)], more].concat();
    let shop = Shop::open(&credential, &env, |builder| builder);
    let mut nobody = shop.browser();
    nobody.send(Request::get("/visit/")).expect_status(200);
    assert!(nobody.cookies.contains_key("sessionid"));
    nobody.is_nobody("credential_missing");

    let (mut here, mut there) = (shop.browser(), shop.browser());
    here.log_in("ann", "ann's password");
    there.log_in("ann", "ann's password");
    let mut ben = shop.browser();
    ben.log_in("ben", "ben's password");
    assert_eq!(
        (here.me(), there.me(), ben.me()),
        (5.into(), 5.into(), 7.into())
    );
    let before = here.cookies.clone();
    here.send(Request::post("/logout/", b"")).expect_status(200);
    here.cookies = before;
    here.until_refused("session_invalid");
    assert_eq!(there.me(), 5);
    there
        .send(Request::post("/password/", b"").header("X-Password", "another"))
        .expect_status(200);
    there.until_refused("session_invalid");
    assert_eq!(ben.me(), 7);
    // What is in Redis is all that there is, unless there are rows.
    redis.run(&["FLUSHALL"]);
    if store.contains("cached_db") {
        assert_eq!(ben.me(), 7);
    } else {
        ben.until_refused("session_invalid");
    }
}

#[test]
fn sessions_in_djangos_redis_cache() {
    in_redis(", engine: cache", &[("SITE_ENGINE", CACHE)]);
}

#[test]
fn sessions_of_cached_db_are_in_redis_and_in_rows() {
    let prefixed = [("SITE_ENGINE", CACHED_DB), ("SITE_KEY_PREFIX", "shop")];
    in_redis(", engine: cached_db, key_prefix: shop", &prefixed);
}

#[test]
fn sessions_in_django_redis_as_pickles_and_as_json() {
    let backend = ("SITE_CACHE", "django_redis.cache.RedisCache");
    let json = r#"{"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}"#;
    in_redis("", &[("SITE_ENGINE", CACHE), backend]);
    let as_json = [
        ("SITE_ENGINE", CACHE),
        backend,
        ("SITE_CACHE_OPTIONS", json),
    ];
    in_redis(", serializer: json", &as_json);
}

#[test]
fn a_session_that_became_a_bearer_token_has_djangos_csrf_check() {
    let credential =
        "django_session: { secret_key: \"${DJANGO_SECRET_KEY}\", forward: reissue }, bearer: {}";
    let shop = Shop::open(credential, &[], |builder| {
        builder.set(
            "identity",
            "{ reissue: { issuer: app, also: authorization } }",
        )
    });
    let mut ann = shop.browser();
    ann.log_in("ann", "ann's password");
    let said = ann
        .send(Request::post("/api/", b"x"))
        .expect_status(200)
        .json();
    assert_eq!(
        said["user"],
        Value::Null,
        "the session is not forwarded: {said}"
    );
    assert!(
        said["authorization"]
            .as_str()
            .is_some_and(|line| line.starts_with("Bearer "))
    );
    let token = ann.cookies.remove("csrftoken").expect("Django's token");
    let refused = ann.send(Request::post("/api/", b"x"));
    assert_eq!(refused.reason().as_deref(), Some("csrf_failed"));
    // The cookie alone, as another site would have it sent.
    ann.cookies.insert("csrftoken".into(), token);
    let cookies = format!(
        "sessionid={}; csrftoken={}",
        ann.cookies["sessionid"], ann.cookies["csrftoken"]
    );
    let forged = Request::post("/api/", b"x").header("Cookie", &cookies);
    let refused = shop.gateway.send(&forged);
    assert_eq!(refused.reason().as_deref(), Some("csrf_failed"));
}
