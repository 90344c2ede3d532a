//! The live record, from each kind of source, behind a cache that never serves what it was told to
//! forget.

mod cache;
mod file;
mod herd;
mod http;
mod postgres;
mod sqlite;

use crate::harness::{Request, Scene, Token};

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
