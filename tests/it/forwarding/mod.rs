//! Bodies and connections: whole or visibly broken, streamed, never mixed up.

mod bodies;
mod connections;
mod failures;
mod streams;
