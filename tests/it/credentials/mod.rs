//! Where a credential may stand, what the upstream finds there, and what two of them mean.

mod conflict;
mod origin;
mod places;
