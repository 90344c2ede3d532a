//! The YAML file: followed when it changes, kept as it was when it breaks.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use super::{account_of, five};
use crate::harness::{Builder, Request, Scene, Token, countersign, until};

const MOVED: &str = "users: [ { user: \"5\", account: \"14\", active: true } ]\n";

fn quick() -> Scene {
    Scene::with(|builder| {
        builder.set(
            "directory",
            "source: { file: { path: users.yaml } }\ncache: { ttl: 100ms, ttl_without_push: 100ms, negative_ttl: 100ms }",
        )
    })
}

#[test]
fn a_changed_file_is_noticed_without_being_told() {
    let scene = quick();
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    scene.gateway.replace_users(MOVED);
    until("the move is noticed", || {
        account_of(&scene, &five()).as_deref() == Some("14")
    });
}

#[test]
fn without_a_push_a_record_lives_two_seconds_by_default() {
    let scene = Scene::new();
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    scene.gateway.replace_users(MOVED);
    let replaced = Instant::now();
    until("the move is noticed", || {
        account_of(&scene, &five()).as_deref() == Some("14")
    });
    let took = replaced.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_file_rewritten_in_place_is_noticed_too() {
    let scene = quick();
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    std::fs::write(scene.gateway.folder().join("users.yaml"), MOVED).expect("written");
    until("the move is noticed", || {
        account_of(&scene, &five()).as_deref() == Some("14")
    });
}

#[test]
fn e24_a_broken_file_changes_nothing_and_is_said() {
    let scene = quick();
    for broken in [
        "users: [",
        "users: [ { user: \"5\", account: \"14\", active: true }, { user: \"5\", account: \"15\", active: true } ]",
        "",
    ] {
        scene.gateway.replace_users(broken);
        scene.gateway.wait_for_log("users.yaml");
        // What was read before still holds.
        assert_eq!(
            account_of(&scene, &five()).as_deref(),
            Some("12"),
            "{broken:?}"
        );
    }
    scene.gateway.replace_users(MOVED);
    until("the next good file is read", || {
        account_of(&scene, &five()).as_deref() == Some("14")
    });
}

/// As Kubernetes mounts a `ConfigMap`: the file is a link into `..data`, which is a link to a folder
/// and is replaced by a rename.
#[test]
fn e24_a_swapped_link_is_noticed_and_one_that_leads_nowhere_changes_nothing() {
    let scene = Scene::with(|builder| {
        let mounted = builder.folder().join("mounted");
        std::fs::create_dir_all(mounted.join("..1")).expect("a folder");
        let users = MOVED.replace("14", "12");
        std::fs::write(mounted.join("..1/users.yaml"), users).expect("written");
        symlink("..1", mounted.join("..data")).expect("a link");
        symlink("..data/users.yaml", mounted.join("users.yaml")).expect("a link");
        builder.set(
            "directory",
            "source: { file: { path: mounted/users.yaml } }\ncache: { ttl: 100ms, ttl_without_push: 100ms }",
        )
    });
    let mounted = scene.gateway.folder().join("mounted");
    let swap = |folder: &str| {
        symlink(folder, mounted.join("..data_tmp")).expect("a link");
        std::fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("renamed");
    };
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("12"));
    std::fs::create_dir(mounted.join("..2")).expect("a folder");
    std::fs::write(mounted.join("..2/users.yaml"), MOVED).expect("written");
    swap("..2");
    std::fs::remove_dir_all(mounted.join("..1")).expect("removed");
    until("the swap is noticed", || {
        account_of(&scene, &five()).as_deref() == Some("14")
    });
    swap("..3");
    scene.gateway.wait_for_log("the last good one serves on");
    let ready = || scene.gateway.admin(&Request::get("/readyz")).text();
    until("it is told", || ready().contains("No such file"));
    assert_eq!(account_of(&scene, &five()).as_deref(), Some("14"));
    std::fs::create_dir(mounted.join("..3")).expect("a folder");
    let users = MOVED.replace("14", "13");
    std::fs::write(mounted.join("..3/users.yaml"), users).expect("written");
    until("the new one is read once it is there", || {
        account_of(&scene, &five()).as_deref() == Some("13")
    });
    until("it is told", || !ready().contains("No such file"));
}

#[test]
fn e13_a_user_that_was_unknown_and_is_made_is_found() {
    let scene = quick();
    let eight = Request::get("/").bearer(&Token::user("8").account("12").signed());
    scene.refuses(&eight, 401, "user_unknown");
    scene
        .gateway
        .replace_users("users: [ { user: \"8\", account: \"12\", active: true } ]\n");
    until("the new user is found", || {
        scene.gateway.send(&eight).status() == 200
    });
}

#[test]
fn a_push_makes_a_new_user_known_at_once() {
    let scene = Scene::new();
    let eight = Request::get("/").bearer(&Token::user("8").account("12").signed());
    scene.refuses(&eight, 401, "user_unknown");
    scene
        .gateway
        .move_users("users: [ { user: \"8\", account: \"12\", active: true } ]\n");
    scene.passes_as(&eight, "match");
}

#[test]
fn a_file_that_is_wrong_at_the_start_refuses_to_serve() {
    for users in [
        "users: [ { user: \"5\", account: \"12\", active: maybe } ]",
        "users: [ { user: \" 5\", account: \"12\", active: true } ]",
        "users: [ { user: \"5\", account: \"12\", active: true, colour: red } ]",
        "people: []",
    ] {
        let builder = Builder::new().users(users).set(
            "upstreams",
            "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
        );
        builder.write();
        let env = builder.env_pairs();
        let output = countersign(builder.folder(), &env, &["check", "-c", "countersign.yaml"]);
        assert_eq!(output.code, Some(2), "{users}: {output:?}");
        assert!(output.stderr.contains("users.yaml"), "{output:?}");
    }
}
