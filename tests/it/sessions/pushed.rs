//! Sessions that the app's own transaction pushes, by the triggers that `countersign sql` prints: a
//! log-out is the next answer, and puts its streams out. Answers live an hour here, so that nothing
//! but a push explains a new one.

use std::fmt::Write as _;

use super::django::{self, FIVE, NOBODY, SEVEN, insert, login, stored};
use super::{LIVES, credential, database, get, with_keys, with_session};
use crate::harness::{
    Builder, Database, Ended, MariaDb, Recorder, Request, Scene, WebSocket, echo_on_ws, until,
    upgrade_headers,
};
use crate::live::triggers::{said, script};
use crate::live::until_push;
use crate::mysql::outbox;

const TABLE: &str = "{ table: django_session, session: session_key }";

fn configured(builder: Builder, source: &str, url: &str, invalidation: &str) -> Builder {
    with_keys(builder)
        .env("DATABASE_URL", url)
        .set("credentials", &format!("[ {} ]", credential("")))
        .set(
            "directory",
            &format!("source:\n  {source}\n{LIVES}\ninvalidation: {{ {invalidation} }}"),
        )
}

/// A configuration that is only read.
fn unserved() -> Builder {
    let upstream = "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]";
    Builder::new().set("upstreams", upstream)
}

fn postgres(builder: Builder, database: &Database, table: &str) -> Builder {
    let source = "postgres: { url: \"${DATABASE_URL}\", lookups: { default: \"SELECT id, account, active, password AS session_auth FROM users WHERE id = $user::bigint\" } }";
    let invalidation = format!("postgres_notify: {{ tables: [ {table} ] }}");
    configured(builder, source, &database.url(), &invalidation)
}

fn scene(configure: impl FnOnce(Builder) -> Builder) -> Scene {
    let scene = Scene::before(Recorder::answering(echo_on_ws), configure);
    until_push(&scene.gateway, true);
    scene
}

fn open(scene: &Scene, request: Request, origin: &str) -> WebSocket {
    let request = upgrade_headers(request).header("Origin", origin);
    let mut socket = WebSocket::open(scene.gateway.address(), &request);
    socket.echo("before");
    socket
}

/// The upstream may still be told of a stream's end meanwhile.
#[track_caller]
fn refused(scene: &Scene, request: &Request, reason: &str) {
    scene.check_refusal(&scene.gateway.send(request), 401, reason);
}

/// A log-out, a change and a log-in, by whatever runs SQL.
fn follows_the_app(scene: &Scene, run: &dyn Fn(&str)) {
    let socket = |key: &str| {
        let request = with_session(Request::get("/ws"), key);
        open(scene, request, "http://app.test")
    };
    let (mut five, mut seven) = (socket(FIVE), socket(SEVEN));
    scene.passes(&get(FIVE));
    run(&format!(
        "DELETE FROM django_session WHERE session_key = '{FIVE}'"
    ));
    assert_eq!(five.ended(), Ended::Code(4401));
    refused(scene, &get(FIVE), "session_invalid");
    seven.echo("after");
    scene.passes(&get(SEVEN));
    // Its absence is remembered too, and forgotten by a log-in.
    run(&insert(FIVE, &stored(&login("5", "password-of-5")), 3600));
    until("the log-in counts", || {
        scene.gateway.send(&get(FIVE)).status() == 200
    });
    let nobody = stored(&serde_json::json!({ "cart": [1] }));
    run(&format!(
        "UPDATE django_session SET session_data = '{nobody}' WHERE session_key = '{SEVEN}'"
    ));
    assert_eq!(seven.ended(), Ended::Code(4401));
    refused(scene, &get(SEVEN), "credential_missing");
    run(&format!(
        "UPDATE django_session SET expire_date = '2020-01-01 00:00:00' WHERE session_key = '{FIVE}'"
    ));
    until("the end counts", || {
        scene.gateway.send(&get(FIVE)).status() != 200
    });
    refused(scene, &get(FIVE), "session_expired");
}

#[test]
fn e12_a_logout_in_postgres_is_pushed_by_the_apps_own_transaction() {
    let database = database();
    database.run(&script(&postgres(unserved(), &database, TABLE)));
    let scene = scene(|builder| postgres(builder, &database, TABLE));
    follows_the_app(&scene, &|sql| drop(database.run(sql)));
}

#[test]
fn a_statement_says_which_sessions_it_concerns() {
    let database = database();
    database.run(&script(&postgres(unserved(), &database, TABLE)));
    let session = |key: &str| format!(r#"{{"tenant":"default","session":"{key}"}}"#);
    let later = "UPDATE django_session SET expire_date = expire_date + interval '1 hour'";
    let five = format!("WHERE session_key = '{FIVE}'");
    for (sql, expected) in [
        (format!("{later} {five}"), vec![session(FIVE)]),
        (
            format!("UPDATE django_session SET session_data = session_data {five}"),
            vec![],
        ),
        (
            format!("BEGIN; DELETE FROM django_session {five}; ROLLBACK"),
            vec![],
        ),
        (
            format!("DELETE FROM django_session WHERE session_key IN ('{FIVE}', '{SEVEN}')"),
            vec![session(FIVE), session(SEVEN)],
        ),
        (
            "INSERT INTO django_session SELECT 'key' || g, '', now() FROM generate_series(1, 101) g"
                .into(),
            vec![r#"{"tenant":"default"}"#.to_owned()],
        ),
    ] {
        assert_eq!(said(&database, &sql), expected, "{sql}");
    }
    let watched = "{ table: django_session, session: session_key, watch: [session_data] }";
    database.run(&script(&postgres(unserved(), &database, watched)));
    let nobody = format!("WHERE session_key = '{NOBODY}'");
    assert!(said(&database, &format!("{later} {nobody}")).is_empty());
    let changed = format!("UPDATE django_session SET session_data = 'x' {nobody}");
    assert_eq!(said(&database, &changed), [session(NOBODY)]);
    let gone = format!("DELETE FROM django_session {nobody}");
    assert_eq!(said(&database, &gone), [session(NOBODY)]);
}

#[test]
fn e14_with_a_schema_per_tenant_a_logout_is_its_own_tenants() {
    let mut sql = String::new();
    for schema in ["a", "b"] {
        let tables = django::TABLES.replace("password-of-5", &format!("of-{schema}"));
        let row = insert(FIVE, &stored(&login("5", &format!("of-{schema}"))), 3600);
        let _ = write!(
            sql,
            "CREATE SCHEMA {schema}; SET search_path = {schema};{tables}{row}"
        );
    }
    let database = Database::with(&sql);
    let configure = |builder: Builder| {
        let source = "postgres: { url: \"${DATABASE_URL}\", schema_per_tenant: true, lookups: { default: \"SELECT id, account, active, password AS session_auth FROM users WHERE id = $user::bigint\" } }";
        let invalidation = format!("postgres_notify: {{ tables: [ {TABLE} ] }}");
        configured(builder, source, &database.url(), &invalidation)
            .set("tenants", "sources: [ host: \"{tenant}.example.test\" ]")
    };
    database.run(&script(&configure(unserved())));
    let scene = scene(configure);
    let at = |path: &str, tenant: &str| {
        let request = Request::get(path).host(&format!("{tenant}.example.test"));
        with_session(request, FIVE)
    };
    let socket = |tenant: &str| {
        open(
            &scene,
            at("/ws", tenant),
            &format!("http://{tenant}.example.test"),
        )
    };
    let (mut a, mut b) = (socket("a"), socket("b"));
    database.run(&format!(
        "DELETE FROM a.django_session WHERE session_key = '{FIVE}'"
    ));
    assert_eq!(a.ended(), Ended::Code(4401));
    refused(&scene, &at("/", "a"), "session_invalid");
    b.echo("after");
    scene.passes(&at("/", "b"));
}

fn mysql(builder: Builder, database: &MariaDb, table: &str) -> Builder {
    let source = "mysql: { url: \"${DATABASE_URL}\", lookups: { default: \"SELECT id, account, active, password AS session_auth FROM users WHERE id = $user\" } }";
    let invalidation = format!("outbox: {{ poll: 50ms, tables: [ {table} ] }}");
    configured(builder, source, &database.url(), &invalidation)
}

fn mariadb() -> MariaDb {
    let tables = django::TABLES.replace("TIMESTAMPTZ", "DATETIME(6)");
    MariaDb::with(&format!("{tables}{}", django::rows()))
}

#[test]
fn e12_a_logout_in_mysql_is_pushed_by_the_apps_own_transaction() {
    let database = mariadb();
    database.run(&outbox::script_of(&mysql(unserved(), &database, TABLE)));
    let scene = scene(|builder| mysql(builder, &database, TABLE));
    follows_the_app(&scene, &|sql| drop(database.run(sql)));
}

#[test]
fn a_row_of_mysql_says_which_session_it_is() {
    let database = mariadb();
    let watched = "{ table: django_session, session: session_key, watch: [session_data] }";
    database.run(&outbox::script_of(&mysql(unserved(), &database, watched)));
    let session = format!(r#"{{"tenant":"default","session":"{FIVE}"}}"#);
    let five = format!("WHERE session_key = '{FIVE}'");
    for (sql, expected) in [
        (
            format!("UPDATE django_session SET expire_date = NOW() {five}"),
            vec![],
        ),
        (
            format!("START TRANSACTION; DELETE FROM django_session {five}; ROLLBACK"),
            vec![],
        ),
        (
            format!("UPDATE django_session SET session_data = 'X' {five}"),
            vec![session.clone()],
        ),
        (
            format!("UPDATE django_session SET session_data = 'x' {five}"),
            vec![session.clone()],
        ),
        (
            format!("DELETE FROM django_session {five}"),
            vec![session.clone()],
        ),
    ] {
        assert_eq!(outbox::said(&database, &sql), expected, "{sql}");
    }
}
