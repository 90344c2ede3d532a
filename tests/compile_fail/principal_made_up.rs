//! A principal is made by the decider alone.

use countersign::auth::{Principal, VerifiedCredential};
use countersign::config::Route;
use countersign::directory::Binding;
use countersign::ids::TenantId;
use std::sync::Arc;

fn make(tenant: TenantId, verified: Arc<VerifiedCredential>, binding: Arc<Binding>, route: &Route) {
    let _ = Principal::establish(tenant, verified, binding, route); //~ E0624 associated function establish is private
}

fn main() {}
