//! The live record, from each kind of source, behind a cache that never serves what it was told to
//! forget.

mod cache;
mod file;
mod http;
mod postgres;
mod sqlite;

use std::time::Instant;

use crate::harness::{PATIENCE, Request, Scene, Token};

/// A request by user 5, whose token names account 12.
fn five() -> Request {
    Request::get("/").bearer(&Token::user("5").account("12").signed())
}

/// The account that the upstream is told for this request.
#[track_caller]
fn account_of(scene: &Scene, request: &Request) -> Option<String> {
    let (_, seen) = scene.passes(request);
    seen.header("x-auth-account-id").map(str::to_owned)
}

/// Asks again and again until the answer is this one, within bounds.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
