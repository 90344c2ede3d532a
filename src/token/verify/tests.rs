//! What a verifier accepts, and why it refuses everything else.

mod claims;
mod keys;
mod times;

use serde_json::Value;

use super::super::testing::{hs256, now, payload, verifier};
use super::{VerifiedToken, Verifier};
use crate::config::Issuer as Rules;
use crate::reason::Reason;

fn reason(verifier: &Verifier, token: &str) -> Option<Reason> {
    verifier
        .try_verify(token, now())
        .err()
        .map(|error| error.reason())
}

fn judged(issuer: &Rules, payload: &Value) -> Result<VerifiedToken, Reason> {
    verifier(std::slice::from_ref(issuer))
        .try_verify(&hs256(payload), now())
        .map_err(|error| error.reason())
}

fn refused(issuer: &Rules, extra: &Value) -> Option<Reason> {
    judged(issuer, &payload(extra)).err()
}
