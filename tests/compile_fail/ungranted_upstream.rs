//! A request that was sanitised but not granted cannot be sent upstream.

use countersign::forward::SanitizedRequest;
use countersign::upstream::Pools;

async fn send(pools: &Pools, sanitised: SanitizedRequest) {
    let _ = pools.send(sanitised, None).await; //~ E0308 expected ForwardRequest, found SanitizedRequest
}

fn main() {}
