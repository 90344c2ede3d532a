//! Django sessions: found in the app's own store, held against the live password, resolved like a
//! token, and refused once when they are dead.

mod csrf;
mod django;
mod mixed;
mod pushed;
mod real;
mod redis;
mod redis_server;
mod schemas;
mod store;
mod streams;

use crate::harness::{
    ADMIN_TOKEN, Builder, Database, MariaDb, Recorder, Request, Response, SECRET, Scene,
    execute_sqlite,
};

/// The credential of the scenes; `{{more}}` is filled in.
fn credential(more: &str) -> String {
    format!(
        "django_session: {{ secret_key: \"${{DJANGO_SECRET_KEY}}\", \
         secret_key_fallbacks: [ \"${{DJANGO_OLD_KEY}}\" ]{more} }}"
    )
}

fn with_keys(builder: Builder) -> Builder {
    builder
        .env("DJANGO_SECRET_KEY", django::SECRET_KEY)
        .env("DJANGO_OLD_KEY", django::OLD_KEY)
}

/// The environment that the configuration names, for a command of its own.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("JWT_SECRET", SECRET),
    ("COUNTERSIGN_ADMIN_TOKEN", ADMIN_TOKEN),
    ("DJANGO_SECRET_KEY", django::SECRET_KEY),
    ("DJANGO_OLD_KEY", django::OLD_KEY),
];

const LIVES: &str = "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";

fn postgres(database: &Database, lives: &str, change: impl FnOnce(Builder) -> Builder) -> Scene {
    postgres_before(Recorder::start(), database, lives, change)
}

fn postgres_before(
    upstream: Recorder,
    database: &Database,
    lives: &str,
    change: impl FnOnce(Builder) -> Builder,
) -> Scene {
    let directory = format!(
        "source:
  postgres:
    url: \"${{DATABASE_URL}}\"
    lookups:
      default: SELECT id, account, active, password AS session_auth FROM users WHERE id = $user::bigint
{lives}"
    );
    Scene::before(upstream, |builder| {
        change(
            with_keys(builder)
                .env("DATABASE_URL", &database.url())
                .set("credentials", &format!("[ {} ]", credential("")))
                .set("directory", &directory),
        )
    })
}

/// A MariaDB database with the app's tables and sessions of every kind, and a gateway before it.
fn mysql() -> (MariaDb, Scene) {
    let tables = django::TABLES.replace("TIMESTAMPTZ", "DATETIME(6)");
    let database = MariaDb::with(&format!("{tables}{}", django::rows()));
    let directory = format!(
        "source:
  mysql:
    url: \"${{DATABASE_URL}}\"
    lookups:
      default: SELECT id, account, active, password AS session_auth FROM users WHERE id = $user
{LIVES}"
    );
    let scene = Scene::with(|builder| {
        with_keys(builder)
            .env("DATABASE_URL", &database.url())
            .set("credentials", &format!("[ {} ]", credential("")))
            .set("directory", &directory)
    });
    (database, scene)
}

fn sqlite(change: impl FnOnce(Builder) -> Builder) -> Scene {
    let directory = format!(
        "source:
  sqlite:
    path: app.db
    lookups:
      default: SELECT id, account, active, password AS session_auth FROM users WHERE id = $user
{LIVES}"
    );
    Scene::before(Recorder::start(), |builder| {
        execute_sqlite(&builder.folder().join("app.db"), django::TABLES);
        execute_sqlite(&builder.folder().join("app.db"), &django::rows());
        change(
            with_keys(builder)
                .set("credentials", &format!("[ {} ]", credential("")))
                .set("directory", &directory),
        )
    })
}

/// A PostgreSQL database with the app's tables and sessions of every kind.
fn database() -> Database {
    Database::with(&format!("{}{}", django::TABLES, django::rows()))
}

fn with_session(request: Request, key: &str) -> Request {
    request.header("Cookie", &format!("theme=dark; sessionid={key}"))
}

fn get(key: &str) -> Request {
    with_session(Request::get("/"), key)
}

const DELETED: &str =
    "sessionid=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; SameSite=Lax";

/// Requires that a session is refused as dead and its cookie deleted.
#[track_caller]
fn dead(scene: &Scene, request: &Request, reason: &str) -> Response {
    let response = scene.refuses(request, 401, reason);
    assert_eq!(response.header("set-cookie"), Some(DELETED), "{response:?}");
    response
}
