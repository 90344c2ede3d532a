//! The outbox: a table of messages, read again and again by every replica.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{TABLES, account_of, directory, until, until_account, until_push};
use crate::harness::{Builder, Database, Scene, Session, countersign};

const OUTBOX: &str = "outbox: { poll: 50ms, tables: [ { table: users, user: id, watch: [account_id, is_active, role] }, { table: accounts, account: id, watch: [status] } ] }";

/// What `countersign sql postgres` prints for this.
fn script(database: &Database) -> String {
    let builder = Builder::new()
        .set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
        )
        .env("DATABASE_URL", &database.url())
        .set("directory", &directory(OUTBOX));
    builder.write();
    let arguments = ["sql", "postgres", "-c", "countersign.yaml"];
    let output = countersign(builder.folder(), &builder.env_pairs(), &arguments);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout
}

/// The statement of the script that deletes what is old.
fn cleanup(script: &str) -> String {
    let lines = script.lines().skip_while(|line| !line.contains("DELETE"));
    let lines = lines.take_while(|line| line.starts_with("--"));
    let text: Vec<&str> = lines.map(|line| line.trim_start_matches('-')).collect();
    text.join("\n")
}

fn scene(database: &Database) -> Scene {
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("directory", &directory(OUTBOX))
    });
    until_push(&scene.gateway, true);
    scene
}

fn with_triggers() -> (Database, Scene) {
    let database = Database::with(TABLES);
    database.run(&script(&database));
    let scene = scene(&database);
    (database, scene)
}

#[test]
fn what_the_app_writes_is_the_next_answer() {
    let (database, scene) = with_triggers();
    assert_eq!(account_of(&scene, "5"), "12");
    for (sql, user, answer) in [
        ("UPDATE users SET account_id = 14 WHERE id = 5", "5", "14"),
        (
            "UPDATE accounts SET status = 'closed' WHERE id = 14",
            "5",
            "account_inactive",
        ),
        (
            "UPDATE accounts SET status = 'active' WHERE id = 14",
            "5",
            "14",
        ),
        ("DELETE FROM users WHERE id = 5", "5", "user_unknown"),
        (
            "INSERT INTO users (id, account_id) VALUES (5, 13)",
            "5",
            "13",
        ),
        ("TRUNCATE users", "5", "user_unknown"),
        // The app's own word.
        (
            "INSERT INTO users (id, account_id) VALUES (5, 12); UPDATE users SET role = 'x'; INSERT INTO countersign_outbox (message) VALUES ('{}')",
            "5",
            "12",
        ),
    ] {
        database.run(sql);
        until_account(&scene, user, answer);
    }
    // What is rolled back, or is not watched, is not said.
    let rows = || database.run("SELECT count(*) FROM countersign_outbox");
    let before = rows();
    database.run("BEGIN; UPDATE users SET account_id = 14; ROLLBACK");
    database.run("UPDATE users SET seen = now(); UPDATE users SET account_id = account_id");
    assert_eq!(rows(), before);
    // A statement that touches many rows says little.
    database.run("INSERT INTO users (id) SELECT generate_series(1000, 2000)");
    database.run("UPDATE users SET account_id = 13");
    until_account(&scene, "5", "13");
    let messages = database
        .run("SELECT message FROM countersign_outbox ORDER BY id DESC LIMIT 2")
        .replace(' ', "");
    assert_eq!(
        messages,
        "{\"tenant\":\"default\"}\n{\"tenant\":\"default\"}\n"
    );
}

#[test]
fn e16_a_message_whose_transaction_ends_late_is_not_lost() {
    let database = Database::with(TABLES);
    database.run(&script(&database));
    let run = |sql: &str| drop(database.run(sql));
    late_transactions(run, || database.session(), || scene(&database));
}

/// Transactions that end long after others whose rows stand above theirs, in any database.
pub(crate) fn late_transactions(
    run: impl Fn(&str),
    session: impl Fn() -> Session,
    start: impl FnOnce() -> Scene,
) {
    // One has its id before the gateway begins, one after; both end long after others above them.
    let mut first = session();
    first.run("BEGIN; UPDATE users SET account_id = 14 WHERE id = 5");
    run("UPDATE users SET account_id = 13 WHERE id = 7");
    let scene = start();
    assert_eq!(account_of(&scene, "5"), "12");
    let mut second = session();
    second.run("BEGIN; UPDATE users SET account_id = 14 WHERE id = 6");
    assert_eq!(account_of(&scene, "6"), "13");
    // Some ids are never used.
    run("BEGIN; UPDATE users SET account_id = 12 WHERE id = 7; ROLLBACK");
    let (begun, mut turn) = (Instant::now(), false);
    while begun.elapsed() < Duration::from_secs(5) {
        turn = !turn;
        let account = if turn { "14" } else { "13" };
        run(&format!(
            "UPDATE users SET account_id = {account} WHERE id = 7"
        ));
        until_account(&scene, "7", account);
    }
    assert_eq!(account_of(&scene, "5"), "12");
    assert_eq!(account_of(&scene, "6"), "13");
    second.run("COMMIT");
    until_account(&scene, "6", "14");
    first.run("COMMIT");
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    assert!(!scene.gateway.log().contains("push is lost"));
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
    // And what one of them is told goes to the others.
    database.run("ALTER TABLE users DISABLE TRIGGER USER");
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    let request = first.gateway.admin_request("POST", "/v1/invalidate");
    let request = request.body(br#"{"tenant":"default","user":"5"}"#);
    let answer = first.gateway.admin(&request).expect_status(200).json();
    assert_eq!(answer, json!({ "applied": true, "published": true }));
    assert_eq!(account_of(&first, "5"), "13");
    for scene in &all {
        until_account(scene, "5", "13");
    }
}

#[test]
fn e21_more_than_one_reading_holds_is_read_to_its_end() {
    let (database, scene) = with_triggers();
    assert_eq!(account_of(&scene, "5"), "12");
    let before = scene.gateway.metric("countersign_invalidations_total");
    database.run(
        "ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET account_id = 14 WHERE id = 5;
         INSERT INTO countersign_outbox (message)
         SELECT format('{\"tenant\":\"default\",\"user\":\"%s\"}', n) FROM generate_series(100, 20000) n;
         INSERT INTO countersign_outbox (message) VALUES ('{\"tenant\":\"default\",\"user\":\"5\"}')",
    );
    until_account(&scene, "5", "14");
    assert!(scene.gateway.metric("countersign_invalidations_total") >= before + 19_902);
}

#[test]
fn e20_forged_messages_cost_look_ups_and_nothing_else() {
    let (database, scene) = with_triggers();
    assert_eq!(account_of(&scene, "5"), "12");
    for message in ["'*'", "''", "repeat('[', 100000)", "'{\"user\":\"5\"}'"] {
        database.run(&format!(
            "INSERT INTO countersign_outbox (message) VALUES ({message})"
        ));
        assert_eq!(account_of(&scene, "5"), "12", "{message}");
    }
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
}

#[test]
fn old_rows_can_go_and_an_emptied_table_is_noticed() {
    let (database, scene) = with_triggers();
    // Cached, so that an answer that is new shows that the message was read.
    assert_eq!(account_of(&scene, "7"), "14");
    database.run("UPDATE users SET account_id = 13 WHERE id = 7");
    until_account(&scene, "7", "13");
    let cleanup = cleanup(&script(&database));
    for _ in 0..3 {
        database.run("UPDATE users SET account_id = 14 WHERE id = 7");
        until_account(&scene, "7", "14");
        database.run("UPDATE countersign_outbox SET said_at = now() - interval '2 hours' WHERE id < (SELECT max(id) FROM countersign_outbox)");
        database.run(&cleanup);
        let rows = database.run("SELECT count(*) FROM countersign_outbox");
        assert_eq!(rows.trim(), "1");
        database.run("UPDATE users SET account_id = 13 WHERE id = 7");
        until_account(&scene, "7", "13");
    }
    assert!(!scene.gateway.log().contains("push is lost"));
    // Ids begin anew, below those that have been read; nothing that is said then is lost.
    database.run(
        "BEGIN; TRUNCATE countersign_outbox RESTART IDENTITY;
         UPDATE users SET account_id = 14 WHERE id = 5; COMMIT",
    );
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    scene
        .gateway
        .wait_for_log("newest row of the outbox is gone");
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    until_account(&scene, "5", "13");
}

#[test]
fn another_row_of_the_same_number_is_noticed() {
    let (database, scene) = with_triggers();
    assert_eq!(account_of(&scene, "5"), "12");
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    until_account(&scene, "5", "13");
    // The first row again, with the same words.
    database.run(
        "BEGIN; TRUNCATE countersign_outbox RESTART IDENTITY;
         UPDATE users SET account_id = 14 WHERE id = 5; COMMIT",
    );
    assert_eq!(
        database.run("SELECT id FROM countersign_outbox").trim(),
        "1"
    );
    until_account(&scene, "5", "14");
}

#[test]
fn e18_a_lost_server_is_noticed_and_everything_is_forgotten_after_it() {
    let database = Database::alone_with(TABLES);
    database.run(&script(&database));
    let scene = scene(&database);
    assert_eq!(account_of(&scene, "5"), "12");
    let frozen = database.freeze();
    until_push(&scene.gateway, false);
    drop(frozen);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    database.run(
        "ALTER TABLE users DISABLE TRIGGER USER; UPDATE users SET account_id = 14 WHERE id = 5",
    );
    assert_eq!(account_of(&scene, "5"), "12", "cached until it is said");
    database.stop();
    until_push(&scene.gateway, false);
    database.start_again();
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "14");
}

#[test]
fn a_missing_table_is_told_and_used_once_it_is_there() {
    let database = Database::with(TABLES);
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("directory", &directory(OUTBOX))
    });
    until_push(&scene.gateway, false);
    let ready = scene
        .gateway
        .admin(&crate::harness::Request::get("/readyz"))
        .text();
    assert!(ready.contains("countersign_outbox"), "{ready}");
    assert_eq!(account_of(&scene, "5"), "12");
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
    database.run(&script(&database));
    until_push(&scene.gateway, true);
    until("it is up everywhere", || {
        scene.gateway.metric("countersign_push_up") == 1
    });
}
