//! Identity headers cannot be written without a grant that holds a principal: a tenant and a user
//! are not one.

use countersign::credential::Presented;
use countersign::forward::{Forwarder, Minted, SanitizedRequest};
use countersign::ids::{TenantId, UserId};
use countersign::telemetry::UnixTime;

fn write(request: SanitizedRequest, forwarder: &Forwarder, minted: &Minted, tenant: TenantId, user: UserId, now: UnixTime) {
    let _ = request.authorize(&(tenant, user), &Presented::default(), forwarder, minted, now); //~ E0308 expected &Grant, found &(TenantId, UserId)
}

fn main() {}
