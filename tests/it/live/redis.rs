//! Redis pub/sub, and one call that reaches every replica.

use serde_json::json;

use super::{TABLES, account_of, directory, until_account, until_push};
use crate::harness::{Database, Link, Redis, Request, Scene, until};

fn scene_at(database: &Database, url: &str) -> Scene {
    Scene::with(|builder| {
        builder
            .env("DATABASE_URL", &database.url())
            .env("REDIS_URL", url)
            .set(
                "directory",
                &directory("redis: { url: \"${REDIS_URL}\", channel: moves }"),
            )
    })
}

fn scene(database: &Database, redis: &Redis) -> Scene {
    scene_at(database, &redis.url())
}

#[test]
fn a_message_makes_the_new_row_the_answer() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    let scene = scene(&database, &redis);
    until_push(&scene.gateway, true);
    for (message, account) in [
        (r#"{"tenant":"default","user":"5"}"#, "14"),
        (r#"{"tenant":"default","account":"14"}"#, "12"),
        (r#"{"tenant":"default"}"#, "14"),
        ("{}", "12"),
    ] {
        let before = account_of(&scene, "5");
        database.run(&format!(
            "UPDATE users SET account_id = {account} WHERE id = 5"
        ));
        assert_eq!(account_of(&scene, "5"), before, "cached until it is said");
        redis.run(&["PUBLISH", "moves", message]);
        until_account(&scene, "5", account);
    }
}

#[test]
fn one_call_reaches_every_replica() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    let replicas = [
        scene(&database, &redis),
        scene(&database, &redis),
        scene(&database, &redis),
    ];
    let notify: Vec<Scene> = (0..2)
        .map(|_| {
            Scene::with(|builder| {
                builder
                    .env("DATABASE_URL", &database.url())
                    .set("directory", &directory("postgres_notify: {}"))
            })
        })
        .collect();
    for group in [&replicas[..], &notify[..]] {
        for scene in group {
            until_push(&scene.gateway, true);
            assert_eq!(account_of(scene, "5"), "12");
        }
        database.run("UPDATE users SET account_id = 14 WHERE id = 5");
        let request = group[0]
            .gateway
            .admin_request("POST", "/v1/invalidate")
            .body(
                json!({ "tenant": "default", "user": 5 })
                    .to_string()
                    .as_bytes(),
            );
        let answer = group[0].gateway.admin(&request).expect_status(200).json();
        assert_eq!(answer, json!({ "applied": true, "published": true }));
        assert_eq!(
            account_of(&group[0], "5"),
            "14",
            "on its own replica at once"
        );
        for scene in group {
            until_account(scene, "5", "14");
        }
        database.run("UPDATE users SET account_id = 12 WHERE id = 5");
    }
}

#[test]
fn e20_without_a_channel_nothing_is_published() {
    let database = Database::with(TABLES);
    let mut redis = Redis::start();
    let scene = scene(&database, &redis);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    redis.stop();
    until_push(&scene.gateway, false);
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    let request = scene
        .gateway
        .admin_request("POST", "/v1/invalidate")
        .body(b"{}");
    let answer = scene.gateway.admin(&request).expect_status(200).json();
    assert_eq!(answer, json!({ "applied": true, "published": false }));
    assert_eq!(account_of(&scene, "5"), "14");
    redis.start_again();
    until_push(&scene.gateway, true);
}

#[test]
fn e20_a_restarted_server_is_listened_to_before_it_is_believed() {
    let database = Database::with(TABLES);
    let mut redis = Redis::start();
    let scene = scene(&database, &redis);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    redis.stop();
    redis.start_again();
    // Said to nobody: the gateway may not be back yet.
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    redis.run(&["PUBLISH", "moves", r#"{"tenant":"default","user":"5"}"#]);
    until_account(&scene, "5", "14");
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "14");
    redis.run(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    database.run("UPDATE users SET account_id = 13 WHERE id = 5");
    redis.run(&["PUBLISH", "moves", "{}"]);
    until_account(&scene, "5", "13");
    until_push(&scene.gateway, true);
}

#[test]
fn e20_a_stopped_server_and_a_silent_path_are_noticed() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    let link = Link::to(redis.port());
    let scene = scene_at(&database, &Redis::url_at(link.port()));
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    for account in ["14", "13"] {
        let silent = account == "14";
        if silent {
            link.go_silent();
        } else {
            redis.signal("STOP");
        }
        database.run(&format!(
            "UPDATE users SET account_id = {account} WHERE id = 5"
        ));
        until_push(&scene.gateway, false);
        until_account(&scene, "5", account);
        if silent {
            link.go_on();
        } else {
            redis.signal("CONT");
        }
        until_push(&scene.gateway, true);
    }
}

#[test]
fn e20_forged_messages_cost_look_ups_and_nothing_else() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    let scene = scene(&database, &redis);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let huge = format!(
        "{{\"tenant\":\"default\",\"x\":[{}1]}}",
        "1,".repeat(50_000)
    );
    let deep = "[".repeat(20_000);
    for message in [
        "*",
        "",
        "{\"tenant\":\"*\"}",
        "{\"tenant\":\"default\",\"user\":\"*\"}",
        "not json",
        "{\"tenant\":\"default\",\"user\":\"5\",\"account\":\"14\",\"active\":false}",
        &huge,
        &deep,
        "{\"user\":\"5\"}",
    ] {
        redis.run(&["PUBLISH", "moves", message]);
        assert_eq!(account_of(&scene, "5"), "12", "{message:.60}");
    }
    // Garbage is waited for aside: what is behind it comes at once.
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    redis.run(&["PUBLISH", "moves", r#"{"tenant":"default","user":"5"}"#]);
    until_account(&scene, "5", "14");
}

/// Thousands of messages.
const STORM: u32 = 50;

#[test]
fn e21_a_storm_of_messages_is_applied_and_costs_no_look_up_each() {
    let (database, redis) = (Database::with(TABLES), Redis::start());
    let scene = scene(&database, &redis);
    until_push(&scene.gateway, true);
    assert_eq!(account_of(&scene, "5"), "12");
    let applied = || scene.gateway.metric("countersign_invalidations_total");
    let (before, looked_up) = (
        applied(),
        scene.gateway.metric("countersign_directory_lookups_total"),
    );
    // In parts, since a server that is busy with one script for seconds counts as lost.
    let script = "for i = 1, 1000 do redis.call('PUBLISH', 'moves', '{\"tenant\":\"default\",\"user\":\"' .. (ARGV[1] * 1000 + i) .. '\"}') end";
    let storm = |parts: std::ops::RangeInclusive<u32>| {
        for part in parts {
            redis.run(&["EVAL", script, "0", &part.to_string()]);
        }
    };
    storm(1..=STORM);
    database.run("UPDATE users SET account_id = 14 WHERE id = 5");
    redis.run(&["PUBLISH", "moves", r#"{"tenant":"default","user":"5"}"#]);
    until_account(&scene, "5", "14");
    until("all are applied", || {
        applied() > before + u64::from(STORM) * 1000
    });
    let looked_up = scene.gateway.metric("countersign_directory_lookups_total") - looked_up;
    assert!(looked_up < 10, "{looked_up} look-ups");
    // Nothing is kept of users whom nobody asks for: as many others again take no more memory.
    let (peak, before) = (scene.gateway.peak_memory(), applied());
    storm(STORM + 1..=2 * STORM);
    until("all are applied", || {
        applied() >= before + u64::from(STORM) * 1000
    });
    let grown = scene.gateway.peak_memory().saturating_sub(peak);
    assert!(grown < 4 << 20, "{grown} bytes for nobody");
    assert_eq!(scene.gateway.admin(&Request::get("/readyz")).status(), 200);
}
