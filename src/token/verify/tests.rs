//! What a verifier accepts, and why it refuses everything else.

mod claims;
mod keys;

use super::super::testing::now;
use super::Verifier;
use crate::reason::Reason;

fn reason(verifier: &Verifier, token: &str) -> Option<Reason> {
    verifier
        .try_verify(token, now())
        .err()
        .map(|error| error.reason())
}
