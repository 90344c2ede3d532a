//! A clock that stands before 1970: requests are refused, nothing is killed.

use std::process::Command;

use super::{get, token};
use crate::harness::Scene;

/// Puts the wall clock ten seconds before the epoch while a file exists.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    const char *switch_file = getenv("BEFORE_1970");
    if (clock == CLOCK_REALTIME && switch_file && access(switch_file, F_OK) == 0) {
        now->tv_sec = -10;
        now->tv_nsec = 0;
        return 0;
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
"#;

#[test]
fn a30_a_clock_before_1970_refuses_requests_and_kills_nothing() {
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
    });
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
