//! A user id is not a tenant.

use countersign::ids::{TenantId, UserId};

fn tenant(user: UserId) -> TenantId {
    user //~ E0308 expected TenantId, found UserId
}

fn main() {}
