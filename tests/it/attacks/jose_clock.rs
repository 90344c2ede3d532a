//! A clock that jumps, or stands before 1970: tokens are judged by it, nothing else is, and nothing
//! is killed.

use std::process::Command;

use super::{get, token};
use crate::harness::Scene;

/// Puts the wall clock ten seconds before the epoch while a file exists, or, where the file holds
/// something, that many seconds from where it stands.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    const char *switch_file = getenv("BEFORE_1970");
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    int file = clock == CLOCK_REALTIME && switch_file ? open(switch_file, O_RDONLY) : -1;
    if (file >= 0) {
        char text[32] = {0};
        if (read(file, text, sizeof text - 1) > 0) {
            now->tv_sec += atoll(text);
        } else {
            now->tv_sec = -10;
            now->tv_nsec = 0;
        }
        close(file);
    }
    return done;
}
"#;

/// A gateway whose clock is moved by the file `switch` in the folder.
fn scene() -> (tempfile::TempDir, Scene) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("shim.c"), SHIM).expect("written");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([path("shim.so"), path("shim.c")])
        .status();
    assert!(compiled.expect("the linker that Rust uses").success());
    let scene = Scene::with(|builder| {
        builder
            .env("LD_PRELOAD", &path("shim.so"))
            .env("BEFORE_1970", &path("switch"))
            .set(
                "directory",
                "source: { file: { path: users.yaml } }\ncache: { ttl: 30m, ttl_without_push: 30m }",
            )
    });
    (folder, scene)
}

#[test]
fn e26_a_clock_that_jumps_judges_tokens_and_nothing_else() {
    let (folder, scene) = scene();
    let switch = folder.path().join("switch");
    // Read whole or not at all, as the process may look at any time.
    let jump = |seconds: i64| crate::harness::replace_file(&switch, seconds.to_string().as_bytes());
    let made = || token().claim("nbf", crate::harness::now());
    let (short, long) = (made().expires_in(600), made().expires_in(3 * 3600));
    let (short, long) = (get(&short.signed()), get(&long.signed()));
    scene.passes_as(&short, "match");
    scene.passes_as(&long, "match");
    let looked_up = || scene.gateway.metric("countersign_directory_lookups_total");
    let before = looked_up();
    jump(3600);
    scene.refuses(&short, 401, "token_expired");
    scene.passes_as(&long, "match");
    jump(5 * 3600);
    scene.refuses(&long, 401, "token_expired");
    // Records live by another clock: an hour that never passed has ended none.
    assert_eq!(looked_up(), before);
    for back in [-3600, -315_360_000] {
        jump(back);
        // One that nobody remembers, and that is for later.
        let later = made().claim("jti", format!("fresh{back}")).signed();
        scene.refuses(&get(&later), 401, "token_not_yet_valid");
        jump(3600);
        scene.refuses(&short, 401, "token_expired");
    }
    std::fs::remove_file(&switch).expect("removed");
    scene.passes_as(&short, "match");
    assert_eq!(looked_up(), before);
}

#[test]
fn a30_a_clock_before_1970_refuses_requests_and_kills_nothing() {
    let (folder, scene) = scene();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let token = token().signed();
    let good = get(&token);
    let mut kept = scene.gateway.client();
    kept.exchange(&good).expect_status(200);
    let before = scene.upstream.bytes();
    std::fs::write(path("switch"), "").expect("written");
    // A connection that is open gets an answer, a new one is closed: without the time nothing can
    // be judged.
    let response = kept.exchange(&good);
    assert_eq!(response.status(), 500, "{}", response.text());
    assert_eq!(response.reason().as_deref(), Some("internal_error"));
    let line = scene.audit_of(&response);
    assert_eq!(line["decision"], "deny");
    for _ in 0..8 {
        let mut client = scene.gateway.client();
        let _ = client.try_send(&good.bytes());
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(scene.upstream.bytes(), before, "the upstream saw nothing");
    scene.never_written(&token);
    std::fs::remove_file(path("switch")).expect("removed");
    kept.exchange(&good).expect_status(200);
    scene.passes_as(&good, "match");
}
