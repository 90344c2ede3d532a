//! A member route has no way to a grant without a principal.

use countersign::route::{MemberAccess, PublicGrant};

fn grant(access: &MemberAccess) -> PublicGrant {
    access.grant() //~ E0599 no method named grant found for reference &MemberAccess
}

fn main() {}
