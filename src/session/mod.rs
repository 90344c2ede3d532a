//! Session: what a Django session says, and whether it is authentic.
//!
//! Pure: the stored text, the cookie, the live password column and the time are arguments. A
//! [`Reader`] opens what a store or a signed cookie holds (`signing`, `inflate`, `pickle`) into a
//! [`Session`]; a session of a user counts for nothing until [`Reader::confirms`] has compared its
//! hash with the one that the live password column makes. [`csrf_passes`] is the check that Django's
//! own middleware makes. The formats are those of Django 4.2 to 5.2 (`django/core/signing.py`,
//! `django/contrib/sessions`, `django/contrib/auth`, `django/middleware/csrf.py`).
//!
//! What it must never do: run anything that a session asks for, or take a session that it cannot
//! read for an anonymous one.

mod content;
mod csrf;
mod error;
mod inflate;
mod pickle;
mod reader;
mod signing;
#[cfg(test)]
mod testing;

pub use content::{Session, key_is_possible};
pub use csrf::{CsrfFacts, csrf_passes};
pub use error::SessionError;
pub use reader::Reader;
