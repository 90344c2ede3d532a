//! Token: whether a bearer token is authentic, and the tokens that the gateway mints.

mod crypto;
mod der;
mod error;
mod jose;
mod json;
mod public_key;
mod vectors;

pub use error::TokenError;
