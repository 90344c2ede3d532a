//! A public grant is made by routes alone.

use countersign::reason::Reason;
use countersign::route::PublicGrant;

fn main() {
    let _ = PublicGrant { reason: Reason::Public }; //~ E0451 field reason of struct PublicGrant is private
}
