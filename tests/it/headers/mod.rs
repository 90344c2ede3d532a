//! What the upstream is told, and what it is never told: identity in, spoofs out, forwarding
//! headers rebuilt, the assertion and the reissued token as promised.

mod assertion;
mod cors;
mod forwarding;
mod identity;
mod reissue;
mod responses;
mod spoofing;
