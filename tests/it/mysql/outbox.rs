//! The outbox and the triggers that `countersign sql mysql` prints.

use serde_json::json;

use super::{LOOKUP, TABLES, account_of, configured, until_account, until_push};
use crate::harness::{Builder, Ended, MariaDb, Recorder, Request, Scene, Token, WebSocket};
use crate::harness::{countersign, echo_messages, until, upgrade_headers};
use crate::live::outbox::late_transactions;

const PUSHED: &str = "cache: { ttl: 1h, ttl_without_push: 100ms, negative_ttl: 1h }
limits: { timeout: 2s }
invalidation: { outbox: { poll: 50ms, tables: [ { table: users, user: id, watch: [account_id, is_active, role] }, { table: accounts, account: id, watch: [status] } ] } }";

/// What `countersign sql mysql` prints for this.
fn script(database: &MariaDb, more: &str) -> String {
    script_of(&configured(Builder::new(), database, LOOKUP, more).set(
        "upstreams",
        "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
    ))
}

/// The same for this configuration.
pub(crate) fn script_of(builder: &Builder) -> String {
    builder.write();
    let arguments = ["sql", "mysql", "-c", "countersign.yaml"];
    let output = countersign(builder.folder(), &builder.env_pairs(), &arguments);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout
}

fn scene(database: &MariaDb) -> Scene {
    let scene = Scene::with(|builder| configured(builder, database, LOOKUP, PUSHED));
    until_push(&scene.gateway, true);
    scene
}

fn with_triggers() -> (MariaDb, Scene) {
    let database = MariaDb::with(TABLES);
    database.run(&script(&database, PUSHED));
    let scene = scene(&database);
    (database, scene)
}

/// What a script says, in its order.
pub(crate) fn said(database: &MariaDb, sql: &str) -> Vec<String> {
    let last = database.run("SELECT COALESCE(MAX(id), 0) FROM countersign_outbox");
    database.run(sql);
    let sql = format!(
        "SELECT message FROM countersign_outbox WHERE id > {} ORDER BY id",
        last.trim()
    );
    let rows = database.run(&sql);
    rows.lines().map(|line| line.replace(' ', "")).collect()
}

#[test]
fn what_the_app_writes_is_the_next_answer() {
    let (database, scene) = with_triggers();
    assert_eq!(account_of(&scene, "5"), "12");
    for (sql, answer) in [
        ("UPDATE users SET account_id = 14 WHERE id = 5", "14"),
        (
            "UPDATE users SET is_active = false WHERE id = 5",
            "user_inactive",
        ),
        ("UPDATE users SET is_active = true WHERE id = 5", "14"),
        (
            "UPDATE accounts SET status = 'closed' WHERE id = 14",
            "account_inactive",
        ),
        ("UPDATE accounts SET status = 'active' WHERE id = 14", "14"),
        ("DELETE FROM users WHERE id = 5", "user_unknown"),
        ("INSERT INTO users (id, account_id) VALUES (5, 13)", "13"),
        ("UPDATE users SET id = 8 WHERE id = 5", "user_unknown"),
        ("REPLACE INTO users (id, account_id) VALUES (5, 12)", "12"),
        (
            "INSERT INTO users (id, account_id) VALUES (5, 0) ON DUPLICATE KEY UPDATE account_id = 14",
            "14",
        ),
        (
            "START TRANSACTION; UPDATE users SET account_id = 13 WHERE id = 5; SAVEPOINT s; UPDATE users SET account_id = 12 WHERE id = 5; ROLLBACK TO s; COMMIT",
            "13",
        ),
        // No trigger sees it; the app says so.
        (
            "TRUNCATE users; INSERT INTO countersign_outbox (message) VALUES ('{}')",
            "user_unknown",
        ),
    ] {
        database.run(sql);
        until_account(&scene, "5", answer);
    }
}

#[test]
fn e12_an_open_websocket_ends_with_the_move() {
    let database = MariaDb::with(TABLES);
    database.run(&script(&database, PUSHED));
    let upstream = Recorder::answering(|exchange| {
        echo_messages(exchange);
    });
    let scene = Scene::before(upstream, |builder| {
        configured(builder, &database, LOOKUP, PUSHED)
    });
    until_push(&scene.gateway, true);
    let request = upgrade_headers(Request::get("/ws")).bearer(&Token::user("5").signed());
    let mut socket = WebSocket::open(scene.gateway.address(), &request);
    socket.echo("before");
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    assert_eq!(socket.ended(), Ended::Code(4403));
}

#[test]
fn a_row_says_whom_it_concerns_and_only_when_something_watched_changed() {
    let database = MariaDb::with(TABLES);
    database.run(&script(&database, PUSHED));
    let user = |id: u32| format!(r#"{{"tenant":"default","user":"{id}"}}"#);
    for (sql, expected) in [
        (
            "UPDATE users SET account_id = 14 WHERE id = 5",
            vec![user(5)],
        ),
        ("UPDATE users SET seen = NOW()", vec![]),
        ("UPDATE users SET account_id = account_id", vec![]),
        ("UPDATE accounts SET note = 'x'", vec![]),
        (
            "UPDATE users SET role = 'staff' WHERE id = 5",
            vec![user(5)],
        ),
        // The collation would pass over these.
        (
            "UPDATE users SET role = 'Staff' WHERE id = 5",
            vec![user(5)],
        ),
        (
            "UPDATE users SET role = 'Stäff' WHERE id = 5",
            vec![user(5)],
        ),
        (
            "UPDATE users SET role = 'Stäff ' WHERE id = 5",
            vec![user(5)],
        ),
        ("UPDATE users SET role = NULL WHERE id = 5", vec![user(5)]),
        (
            "UPDATE users SET id = 9 WHERE id = 5",
            vec![user(5), user(9)],
        ),
        (
            "UPDATE accounts SET status = 'closed' WHERE id = 12",
            vec![r#"{"tenant":"default","account":"12"}"#.to_owned()],
        ),
        ("DELETE FROM users WHERE id = 9", vec![user(9)]),
        (
            "START TRANSACTION; UPDATE users SET account_id = 1; ROLLBACK",
            vec![],
        ),
    ] {
        assert_eq!(said(&database, sql), expected, "{sql}");
    }
    // A second run replaces the first, and has everything read again.
    let again = script(&database, PUSHED);
    assert_eq!(said(&database, &again), ["{}"]);
    assert_eq!(
        said(&database, "UPDATE users SET account_id = 13 WHERE id = 6").len(),
        0
    );
    assert_eq!(
        said(&database, "UPDATE users SET account_id = 14 WHERE id = 6"),
        [user(6)]
    );
}

#[test]
fn names_and_values_are_only_ever_names_and_values() {
    let database = MariaDb::with(
        "CREATE TABLE `a``b; DROP` (`us\"er` varchar(200), `te'nant` varchar(100) CHARACTER SET latin1, `key` varbinary(100));",
    );
    let more = "invalidation: { outbox: { table: 'my``box', tables: [ { table: 'a`b; DROP', user: 'us\"er', account: key, tenant: \"te'nant\" } ] } }";
    let script = script(&database, &more.replace("my``box", "my`box"));
    database.run(&script);
    let outbox = "SELECT message FROM `my``box` WHERE id > 1 ORDER BY id";
    database.run(
        r#"INSERT INTO `a``b; DROP` VALUES ('it''s "5" \\ ü', 'é', 'k'), (NULL, 'é', NULL), ('7', NULL, NULL), (NULL, 'x', x'ff00')"#,
    );
    let said: Vec<serde_json::Value> = database
        .run(outbox)
        .lines()
        // The client shows a backslash as two.
        .map(|line| serde_json::from_str(&line.replace("\\\\", "\\")).expect(line))
        .collect();
    assert_eq!(
        said,
        [
            json!({ "tenant": "é", "user": "it's \"5\" \\ ü" }),
            json!({ "tenant": "é", "account": "k" }),
            json!({ "tenant": "é" }),
            json!({}),
            // Bytes that are no text, told twice: of the account, and of whether there is one.
            json!({}),
            json!({}),
        ]
    );
}

#[test]
fn e16_a_message_whose_transaction_ends_late_is_not_lost() {
    let database = MariaDb::with(TABLES);
    database.run(&script(&database, PUSHED));
    let run = |sql: &str| drop(database.run(sql));
    late_transactions(run, || database.session(), || scene(&database));
}

#[test]
fn every_replica_reads_every_message() {
    let (database, first) = with_triggers();
    let others = [scene(&database), scene(&database)];
    let all: Vec<&Scene> = std::iter::once(&first).chain(&others).collect();
    for scene in &all {
        assert_eq!(account_of(scene, "5"), "12");
    }
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    for scene in &all {
        until_account(scene, "5", "14");
    }
    let request = first.gateway.admin_request("POST", "/v1/invalidate");
    let request = request.body(br#"{"tenant":"default","user":"5"}"#);
    let answer = first.gateway.admin(&request).expect_status(200).json();
    assert_eq!(answer, json!({ "applied": true, "published": true }));
    let last = database.run("SELECT message FROM countersign_outbox ORDER BY id DESC LIMIT 1");
    assert!(last.contains("\"user\":\"5\""), "{last}");
}

#[test]
fn e18_a_lost_server_is_noticed_and_everything_is_forgotten_after_it() {
    let database = MariaDb::alone_with(TABLES);
    database.run(&script(&database, PUSHED));
    let scene = scene(&database);
    assert_eq!(account_of(&scene, "5"), "12");
    let frozen = database.freeze();
    until_push(&scene.gateway, false);
    drop(frozen);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    database.run("DROP TRIGGER countersign_outbox_1_update");
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    assert_eq!(account_of(&scene, "5"), "12", "cached until it is said");
    database.cut_connections();
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    database.stop();
    until_push(&scene.gateway, false);
    database.start_again();
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "14");
}

#[test]
fn old_rows_can_go_and_an_emptied_table_is_noticed() {
    let (database, scene) = with_triggers();
    let script = script(&database, PUSHED);
    let cleanup: Vec<&str> = script
        .lines()
        .skip_while(|line| !line.contains("DELETE FROM"))
        .take_while(|line| line.starts_with("--"))
        .map(|line| line.trim_start_matches('-'))
        .collect();
    // Cached, so that an answer that is new shows that the message was read.
    assert_eq!(account_of(&scene, "5"), "12");
    assert_eq!(account_of(&scene, "7"), "14");
    for _ in 0..3 {
        database.run("UPDATE users SET account_id = 13 WHERE id = 7");
        until_account(&scene, "7", "13");
        database.run("UPDATE countersign_outbox SET said_at = NOW() - INTERVAL 2 HOUR WHERE id < (SELECT id FROM (SELECT MAX(id) AS id FROM countersign_outbox) AS n)");
        database.run(&cleanup.join("\n"));
        let rows = database.run("SELECT count(*) FROM countersign_outbox");
        assert_eq!(rows.trim(), "1");
        database.run("UPDATE users SET account_id = 14 WHERE id = 7");
        until_account(&scene, "7", "14");
    }
    assert!(!scene.gateway.log().contains("push is lost"));
    database.run("TRUNCATE countersign_outbox; UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    until_account(&scene, "5", "13");
}

#[test]
fn a_user_who_may_only_read_the_outbox_suffices_for_reading_it() {
    let database = MariaDb::with(TABLES);
    database.run(&script(&database, PUSHED));
    let name = database.name();
    database.run(&format!(
        "CREATE USER reader_{name}@'%'; GRANT SELECT ON {name}.* TO reader_{name}@'%';
         CREATE USER app_{name}@'%'; GRANT SELECT, UPDATE ON {name}.users TO app_{name}@'%'"
    ));
    let url = database.url_of(&format!("reader_{name}"));
    let scene = Scene::with(|builder| {
        configured(builder, &database, LOOKUP, PUSHED).env("DATABASE_URL", &url)
    });
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    // The app's own user has no right to the outbox and needs none; and a hole is closed.
    database.run(&format!(
        "SET ROLE NONE; START TRANSACTION; UPDATE {name}.users SET account_id = 1; ROLLBACK;
         UPDATE {name}.users SET account_id = 14 WHERE id = 5"
    ));
    until_account(&scene, "5", "14");
    let request = scene.gateway.admin_request("POST", "/v1/invalidate");
    let answer = scene.gateway.admin(&request.body(b"{}"));
    assert_eq!(
        answer.expect_status(200).json(),
        json!({ "applied": true, "published": false })
    );
    until("push stays up", || {
        !scene.gateway.log().contains("push is lost")
    });
}

#[test]
fn wrong_command_lines_say_what_would_be_right() {
    let database = MariaDb::with(TABLES);
    let upstream = "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]";
    let builder = configured(Builder::new(), &database, LOOKUP, "").set("upstreams", upstream);
    builder.write();
    for (arguments, wanted) in [
        (
            ["sql", "mysql", "-c", "countersign.yaml"],
            "no outbox in MySQL",
        ),
        (
            ["sql", "postgres", "-c", "countersign.yaml"],
            "postgres_notify",
        ),
        (["sql", "oracle", "-c", "countersign.yaml"], "sql mysql"),
    ] {
        let output = countersign(builder.folder(), &builder.env_pairs(), &arguments);
        assert_eq!(output.code, Some(2), "{}", output.stdout);
        assert!(output.stderr.contains(wanted), "{}", output.stderr);
    }
}
