//! The decision, row by row, through the real binary: each refusal by status, reason, challenge and
//! audit line, with an upstream that saw not one byte.

mod accounts;
mod claims;
mod jwks;
mod keys;
mod live;
mod remembered;
mod request;
mod roles;
mod token;
