//! NOTIFY by hand: what the listener does with what it hears, and when it hears nothing.

use super::{TABLES, account_of, directory, until_account, until_push};
use crate::harness::{Database, Link, Scene, until};

const CHANNEL: &str = "postgres_notify: { channel: countersign }";

fn scene(database: &Database) -> Scene {
    Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .set("directory", &directory(CHANNEL))
    })
}

const LISTENERS: &str = "FROM pg_stat_activity WHERE application_name = 'countersign-push' AND datname = current_database()";

#[test]
fn a_message_makes_the_new_row_the_answer() {
    let database = Database::with(TABLES);
    let scene = scene(&database);
    until_push(&scene.gateway, true);
    for (message, account) in [
        (r#"{"tenant":"default","user":"5"}"#, "14"),
        (r#"{"tenant":"default","account":"14"}"#, "12"),
        (r#"{"tenant":"default"}"#, "14"),
        ("{}", "12"),
        ("garbage", "14"),
    ] {
        let before = account_of(&scene, "5");
        assert_ne!(before, account);
        database.run(&format!(
            "UPDATE users SET account_id = {account} WHERE id = 5"
        ));
        assert_eq!(account_of(&scene, "5"), before, "cached until it is said");
        database.run(&format!("NOTIFY countersign, '{message}'"));
        until_account(&scene, "5", account);
    }
    let counted = scene
        .gateway
        .metric("countersign_invalidation_seconds_count");
    assert!(counted >= 4, "{counted}");
}

#[test]
fn e18_what_is_rolled_back_or_said_elsewhere_is_not_heard() {
    let database = Database::with(TABLES);
    let other = Database::with("");
    let scene = scene(&database);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let before = scene.gateway.metric("countersign_invalidations_total");
    database.run(
        "BEGIN; UPDATE users SET account_id = 14 WHERE id = 5; NOTIFY countersign, '{}'; ROLLBACK",
    );
    other.run("NOTIFY countersign, '{}'");
    database.run("NOTIFY another, '{}'");
    // The one that counts comes after them, so they would have been heard before it.
    database.run("NOTIFY countersign, '{\"tenant\":\"nobody\"}'");
    until("the last one is applied", || {
        scene.gateway.metric("countersign_invalidations_total") > before
    });
    assert_eq!(
        scene.gateway.metric("countersign_invalidations_total"),
        before + 1
    );
}

#[test]
fn e18_a_terminated_listener_forgets_everything_and_comes_back() {
    let database = Database::with(TABLES);
    let scene = scene(&database);
    until_push(&scene.gateway, true);
    for round in 0..3 {
        let (old, new) = if round % 2 == 0 {
            ("12", "14")
        } else {
            ("14", "12")
        };
        assert_eq!(account_of(&scene, "5"), old);
        // The change and its message fall between two connections: nobody hears it.
        database.run(&format!(
            "BEGIN; SELECT pg_terminate_backend(pid, 5000) {LISTENERS}; \
             UPDATE users SET account_id = {new} WHERE id = 5; NOTIFY countersign, '{{}}'; COMMIT"
        ));
        until_account(&scene, "5", new);
        until_push(&scene.gateway, true);
    }
    scene.gateway.wait_for_log("push is lost");
}

#[test]
fn e18_while_push_is_lost_records_live_shorter_and_the_state_is_told() {
    let database = Database::with(TABLES);
    let elsewhere = Database::with("");
    let scene = scene(&database);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let mut session = database.session();
    session.run("SELECT 1");
    // Nobody may connect any more; who is connected, as the look-ups are, stays.
    let allow = |allowed: bool| {
        let name = database.name();
        elsewhere.run(&format!(
            "ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}"
        ));
    };
    allow(false);
    session.run(&format!(
        "SELECT pg_terminate_backend(pid, 5000) {LISTENERS}"
    ));
    until_push(&scene.gateway, false);
    // Cached under the long life, and judged by the short one; nobody says anything.
    session.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
    session.run("UPDATE users SET account_id = 13 WHERE id = 5");
    until_account(&scene, "5", "13");
    until_push(&scene.gateway, false);
    allow(true);
    until_push(&scene.gateway, true);
}

#[test]
fn e19_a_stopped_server_is_noticed_and_nothing_is_missed() {
    let database = Database::alone_with(TABLES);
    let scene = scene(&database);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let frozen = database.freeze();
    until_push(&scene.gateway, false);
    // What is known is too old, and nobody can say what is true: refused, not guessed.
    until_account(&scene, "5", "directory_unavailable");
    drop(frozen);
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "14");
}

#[test]
fn e19_a_half_open_path_is_noticed_though_look_ups_still_work() {
    let database = Database::with(TABLES);
    let link = Link::to(database.port());
    let scene = scene_through(&database, &link);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    link.go_silent();
    // Said into the void.
    database.run("UPDATE users SET account_id = 14 WHERE id = 5; NOTIFY countersign, '{}'");
    until_push(&scene.gateway, false);
    until_account(&scene, "5", "14");
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    until_account(&scene, "5", "13");
    link.go_on();
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "13");
}

#[test]
fn e19_a_path_that_is_reset_is_noticed_and_nothing_is_missed() {
    let database = Database::with(TABLES);
    let link = Link::to(database.port());
    let scene = scene_through(&database, &link);
    until_push(&scene.gateway, true);
    for (old, new) in [("12", "14"), ("14", "13"), ("13", "12")] {
        assert_eq!(account_of(&scene, "5"), old);
        let before = scene.gateway.metric("countersign_invalidations_total");
        link.reset();
        database.run(&format!("UPDATE users SET account_id = {new} WHERE id = 5"));
        // Nobody says what has changed: it is the new connection that forgets everything.
        until("it is listened to again", || {
            scene.gateway.metric("countersign_invalidations_total") > before
        });
        until_account(&scene, "5", new);
        until_push(&scene.gateway, true);
    }
    scene.gateway.wait_for_log("push is lost");
    let log = scene.gateway.log();
    assert!(log.contains("reset by peer"), "{log}");
}

#[test]
fn e18_a_failover_is_listened_to_before_it_is_believed() {
    let first = Database::with(TABLES);
    let second = first.twin_elsewhere(TABLES);
    let link = Link::to(first.port());
    let url = first.url_at(link.port());
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &url)
            .set("directory", &directory(CHANNEL))
    });
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    // The new primary has a change that was never said to this gateway.
    second.run("UPDATE users SET account_id = 14 WHERE id = 5");
    link.lead_to(second.port());
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "14");
    second.run("UPDATE users SET account_id = 13 WHERE id = 5; NOTIFY countersign, '{\"tenant\":\"default\",\"user\":5}'");
    until_account(&scene, "5", "13");
}

#[test]
fn e18_a_pooler_that_loses_listen_is_never_taken_for_up() {
    // A listener whose connection hears nothing of what it sends: the path back is held up right
    // after the start-up, as behind a pooler in transaction mode.
    let database = Database::with(TABLES);
    let link = Link::to(database.port());
    link.go_silent();
    let scene = scene_through(&database, &link);
    until_push(&scene.gateway, false);
    assert_eq!(account_of(&scene, "5"), "12");
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
}

/// Look-ups go straight to the database, push through the link.
fn scene_through(database: &Database, link: &Link) -> Scene {
    let channel = "postgres_notify: { url: \"${PUSH_URL}\", channel: countersign }";
    Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .env("PUSH_URL", &database.url_at(link.port()))
            .set("directory", &directory(channel))
    })
}

#[test]
fn e17_a_row_that_comes_later_than_its_message_is_read_in_the_end() {
    // The directory is a replica; what is said is said by the primary.
    let (replica, primary) = (Database::with(TABLES), Database::with(""));
    let notify = "postgres_notify: { url: \"${PRIMARY_URL}\" }, replica_lag: 1s";
    let scene = Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &replica.url())
            .env("PRIMARY_URL", &primary.url())
            .set("directory", &directory(notify))
    });
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let before = scene.gateway.metric("countersign_invalidations_total");
    primary.run("NOTIFY countersign, '{\"tenant\":\"default\",\"user\":\"5\"}'");
    until("it is applied", || {
        scene.gateway.metric("countersign_invalidations_total") > before
    });
    assert_eq!(account_of(&scene, "5"), "12", "the replica is behind");
    replica.run("UPDATE users SET account_id = 14 WHERE id = 5");
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
}
