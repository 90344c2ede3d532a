//! Token: whether a bearer token is authentic, and the tokens that the gateway mints.
//!
//! [`Verifier`] is the only maker of a [`VerifiedToken`]. A token is read by our own reader (`jose`),
//! its key comes from the one issuer that it names (`keys`, `jwk`, `live`), its signature is checked
//! in one file (`crypto`), and only then its claims are judged (`rules`). Nothing here knows the
//! request, the tenant that was asked for, or the directory.

mod assertion;
mod claims;
mod crypto;
mod der;
mod error;
mod issuer;
mod jose;
mod json;
mod jwk;
mod keys;
mod live;
mod mint;
mod public_key;
mod recent;
mod reissue;
mod remote;
mod rules;
#[cfg(test)]
mod testing;
mod vectors;
mod verify;

pub use assertion::{ASSERTION_TYPE, Asserter, AssertionClaims};
pub use error::TokenError;
pub use issuer::KeyStatus;
pub use mint::{MintError, MintRequest, mint_for};
pub use recent::Recent;
pub use reissue::{ReissueSource, Reissuer};
pub use verify::{Claimed, VerifiedToken, Verifier};
