//! Auth: the one decider, and the only place that joins a credential and the live record.
//!
//! [`Authenticator::decide`] turns what a request carries into a [`Grant`], once, for that request
//! alone. A [`Principal`] is made here and nowhere else; it cannot be copied, so it cannot be
//! cached. "No credential" and "bad credential" are different answers, and a bad one never falls
//! back to another one or to anonymous.

mod account;
mod decide;
mod denial;
mod origin;
mod principal;
mod proof;
mod revoked;
mod session;
mod standing;
mod verify;

pub use decide::{Ask, Authenticator, Evidence, Known, VerifiedTokens};
pub use denial::Denial;
pub use origin::{FetchSite, OriginFacts};
pub use principal::{Grant, Principal};
pub use proof::{Proof, VerifiedCredential};
pub use session::LiveSession;
pub use standing::Standing;
