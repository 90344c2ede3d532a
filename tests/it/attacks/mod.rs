//! The attack catalogue, case by case, through the real binary: a client that sends exact bytes, an
//! upstream that records every byte.
//!
//! A test's name begins with its case. Each asserts the status and the reason, what reached the
//! upstream (nothing, or exactly what should), that the audit line says so without the secret, and,
//! when the gateway ends, that nothing in it panicked. `docs/attacks.md` is the table of them all.

mod frames;
mod h2_raw;
mod headers_forwarded;
mod headers_host;
mod headers_identity;
mod headers_lines;
mod headers_response;
mod identity;
mod jose_cache;
mod jose_claims;
mod jose_clock;
mod jose_header;
mod jose_issuers;
mod jose_keys;
mod jose_remote;
mod jose_signature;
mod jose_size;
mod paths_decide;
mod paths_read;
mod support;
mod wire_bodies;
mod wire_connections;
mod wire_floods;
mod wire_framing;
mod wire_limits;
mod wire_pool;
mod wire_slow;
mod wire_translate;
mod wire_upgrades;
mod wire_upstream;

use crate::harness::{Request, Scene, Token};

/// A member's request with this token.
fn get(token: &str) -> Request {
    Request::get("/records").bearer(token)
}

/// A good token of user 5.
fn token() -> Token {
    Token::user("5").account("12")
}

/// A member's request.
fn member() -> Request {
    get(&token().signed())
}

/// An issuer section named `app`, with the claims of the tests' tokens and these lines.
fn issuer(lines: &str) -> String {
    let mut yaml =
        "- name: app\n  leeway: 0s\n  claims: { user: user_id, account: account_id, tenant: tenant_schema }".to_owned();
    for line in lines.lines() {
        yaml.push_str("\n  ");
        yaml.push_str(line);
    }
    yaml
}

/// This token is refused for this reason, and no part of it is written anywhere.
#[track_caller]
fn refuses_token(scene: &Scene, token: &str, reason: &str) {
    let status = if reason == "keys_unavailable" {
        503
    } else {
        401
    };
    scene.refuses(&get(token), status, reason);
    never_written(scene, token);
}

/// No part of this token stands in the audit or in the log.
#[track_caller]
fn never_written(scene: &Scene, token: &str) {
    for part in token.split('.') {
        if let Some(beginning) = part.get(..20) {
            scene.never_written(beginning);
        }
    }
}
