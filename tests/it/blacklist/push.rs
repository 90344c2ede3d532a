//! What the app takes back is pushed in its own transaction, by the triggers that `countersign sql`
//! prints. Answers live an hour here, so that nothing but a push explains a new one.

use super::token;
use super::{
    LONG, configured, get, given_again, made, mysql_tables, passes, postgres_tables, taken_back,
};
use crate::harness::{
    Builder, Database, Ended, MariaDb, Recorder, Request, Scene, WebSocket, echo_on_ws, until,
    upgrade_headers,
};
use crate::live::triggers::{said, script};
use crate::live::until_push;
use crate::mysql::outbox;

pub(super) fn unserved() -> Builder {
    let upstream = "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]";
    Builder::new().set("upstreams", upstream)
}

fn pushed() -> String {
    format!("{LONG}\ninvalidation: {{ postgres_notify: {{}} }}")
}

fn database() -> Database {
    let rows: Vec<String> = [("one", "5"), ("two", "5"), ("seven", "7"), ("none", "NULL")]
        .map(|(id, user)| made(id, user))
        .into();
    let database = Database::with(&format!("{}{}", postgres_tables(), rows.concat()));
    let builder = configured(unserved(), &database, &pushed());
    database.run(&script(&builder));
    database
}

pub(super) fn served(configure: impl FnOnce(Builder) -> Builder) -> Scene {
    let scene = Scene::before(Recorder::answering(echo_on_ws), configure);
    until_push(&scene.gateway, true);
    scene
}

fn open(scene: &Scene, user: &str, id: &str) -> WebSocket {
    let request = upgrade_headers(Request::get("/ws")).bearer(&token(user, id).signed());
    let mut socket = WebSocket::open(scene.gateway.address(), &request);
    socket.echo("before");
    socket
}

/// Taken back, and given again, by whatever runs SQL.
fn follows_the_app(scene: &Scene, run: &dyn Fn(&str)) {
    let (mut one, mut two) = (open(scene, "5", "one"), open(scene, "5", "two"));
    let mut seven = open(scene, "7", "seven");
    run(&taken_back("one"));
    assert_eq!(one.ended(), Ended::Code(4401));
    assert!(!passes(scene, &get("5", "one")));
    let line = scene
        .gateway
        .audit(|line| line["decision"] == "stream_closed");
    assert_eq!(line["reason"], "token_revoked");
    two.echo("after");
    seven.echo("after");
    assert!(passes(scene, &get("5", "two")));
    run(&given_again("one"));
    until("it is given again", || passes(scene, &get("5", "one")));
    // A row that names another token than before concerns both.
    run(&taken_back("one"));
    until("it is taken back", || !passes(scene, &get("5", "one")));
    run("UPDATE token_blacklist_blacklistedtoken SET token_id = \
         (SELECT id FROM token_blacklist_outstandingtoken WHERE jti = 'seven')");
    assert_eq!(seven.ended(), Ended::Code(4401));
    until("it is given again", || passes(scene, &get("5", "one")));
    assert!(!passes(scene, &get("7", "seven")));
}

#[test]
fn e12_a_websocket_ends_when_its_token_is_taken_back() {
    let database = database();
    let scene = served(|builder| configured(builder, &database, &pushed()));
    follows_the_app(&scene, &|sql| drop(database.run(sql)));
}

#[test]
fn a_websocket_ends_without_push_too() {
    let database = database();
    let scene = super::scene(&database, super::SHORT);
    let mut one = open(&scene, "5", "one");
    database.run(&taken_back("one"));
    assert_eq!(one.ended(), Ended::Code(4401));
}

#[test]
fn a_websocket_rests_on_the_list_no_longer_than_a_request_though_other_things_are_pushed() {
    let database = Database::with(&format!("{}{}", postgres_tables(), made("one", "5")));
    // Push is up, and no trigger is there.
    let more = format!(
        "{}\ninvalidation: {{ redis: {{ url: \"${{REDIS_URL}}\" }} }}",
        super::SHORT
    );
    let redis = crate::harness::Redis::start();
    let scene =
        served(|builder| configured(builder, &database, &more).env("REDIS_URL", &redis.url()));
    let mut one = open(&scene, "5", "one");
    database.run(&taken_back("one"));
    assert_eq!(one.ended(), Ended::Code(4401));
}

#[test]
fn a_statement_says_whose_tokens_it_concerns() {
    let database = database();
    let user = |id: u32| format!(r#"{{"tenant":"default","user":"{id}"}}"#);
    let tenant = || r#"{"tenant":"default"}"#.to_owned();
    let many = "INSERT INTO token_blacklist_outstandingtoken (token, expires_at, user_id, jti) \
                SELECT '', now(), g, 'many' || g FROM generate_series(1, 101) g;";
    for (sql, expected) in [
        // What is made, but not taken back, says nothing.
        (made("three", "5"), vec![]),
        (taken_back("one"), vec![user(5)]),
        (format!("BEGIN; {} ROLLBACK", taken_back("two")), vec![]),
        (
            "UPDATE token_blacklist_blacklistedtoken SET blacklisted_at = now()".into(),
            vec![],
        ),
        (given_again("one"), vec![user(5)]),
        (
            taken_back("one").replace("jti = 'one'", "jti IN ('one', 'two', 'seven')"),
            vec![user(5), user(7)],
        ),
        // Whose it is, is not known.
        (taken_back("none"), vec![tenant()]),
        (
            "DELETE FROM token_blacklist_blacklistedtoken".into(),
            vec![user(5), user(7), tenant()],
        ),
        (many.into(), vec![]),
        (
            taken_back("").replace("jti = ''", "jti LIKE 'many%'"),
            vec![tenant()],
        ),
        (
            "TRUNCATE token_blacklist_blacklistedtoken".into(),
            vec![tenant()],
        ),
    ] {
        let mut expected = expected;
        expected.sort();
        assert_eq!(said(&database, &sql), expected, "{sql}");
    }
}

#[test]
fn a_list_elsewhere_has_no_triggers_here() {
    let database = Database::with(&postgres_tables());
    let elsewhere = "{ simplejwt_blacklist: { url: \"postgres://u:p@elsewhere/app\" } }";
    let users = "invalidation: { postgres_notify: { tables: [ { table: users, user: id } ] } }";
    let builder = configured(unserved(), &database, users).set("revocations", elsewhere);
    assert!(!script(&builder).contains("blacklist"));
    let here = database.url().replace("postgres@", "reader@");
    let here = format!("{{ simplejwt_blacklist: {{ url: \"{here}\" }} }}");
    let builder = configured(unserved(), &database, users).set("revocations", &here);
    assert!(script(&builder).contains("token_blacklist_blacklistedtoken"));
}

fn mysql(builder: Builder, database: &MariaDb) -> Builder {
    let source = format!(
        "source: {{ mysql: {{ url: \"${{DATABASE_URL}}\", lookups: {{ default: \"{}\" }} }} }}\n{LONG}\n\
         invalidation: {{ outbox: {{ poll: 50ms }} }}",
        super::LOOKUP
    );
    builder
        .env("DATABASE_URL", &database.url())
        .set("directory", &source)
        .set("revocations", "{ simplejwt_blacklist: {} }")
}

#[test]
fn e12_in_mysql_too() {
    let rows = [("one", "5"), ("two", "5"), ("seven", "7")].map(|(id, user)| made(id, user));
    let database = MariaDb::with(&format!("{}{}", mysql_tables(), rows.concat()));
    database.run(&outbox::script_of(&mysql(unserved(), &database)));
    let scene = served(|builder| mysql(builder, &database));
    follows_the_app(&scene, &|sql| drop(database.run(sql)));
    let none = made("none", "NULL") + &taken_back("none");
    assert_eq!(outbox::said(&database, &none), [r#"{"tenant":"default"}"#]);
    let rolled_back = format!("START TRANSACTION; {} ROLLBACK", given_again("none"));
    assert!(outbox::said(&database, &rolled_back).is_empty());
}
