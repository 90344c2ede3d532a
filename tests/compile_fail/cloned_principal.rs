//! A principal is for one request: it cannot be copied, and so cannot be cached.

use countersign::auth::Principal;

fn keep(principal: &Principal) -> Principal {
    principal.clone() //~ E0308 expected Principal, found &Principal
}

fn main() {}
