//! Credential: what a request carries to prove a user, found and nothing more.
//!
//! Pure: no key, no clock, no I/O. "None" and "bad" are different answers, and a bad credential
//! never counts as none. What is found here has proved nothing yet; [`crate::token`] judges it.
//! The same places are rewritten here ([`rewrite`]), so that reading and removing agree.

mod carried;
mod find;
pub mod rewrite;

pub use carried::Carried;
pub use find::{
    Carriers, CookieOf, CredentialError, Finder, Form, Presented, PresentedToken, RepeatedCookie,
};
