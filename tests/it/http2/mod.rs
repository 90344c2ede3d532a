//! HTTP/2 from clients: many streams, one connection, and each stream its own caller.

mod floods;
mod framing;
mod identities;
mod trailers;
