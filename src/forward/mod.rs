//! Forward: what the upstream is told, and what the client is told back.
//!
//! The low half knows headers and bodies but no identities: which names are nobody's but ours
//! (`names`), which end at this hop (`hop`), how the way here is told (`trail`), how bodies pass
//! under limits and deadlines (`body`), and what a response must not say (`guard`).

pub(crate) mod body;
pub(crate) mod guard;
pub(crate) mod hop;
pub(crate) mod names;
pub(crate) mod trail;
