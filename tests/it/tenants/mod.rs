//! The tenant: every source that speaks names the same one, and the token is for it.

mod schemas;
mod sources;
mod token;
