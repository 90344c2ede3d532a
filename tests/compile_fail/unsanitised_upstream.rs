//! A request that was not sanitised cannot be sent upstream.

use countersign::upstream::Pools;
use countersign::wire::RawRequest;

async fn send(pools: &Pools, raw: RawRequest) {
    let _ = pools.send(raw, None).await; //~ E0308 expected ForwardRequest, found RawRequest
}

fn main() {}
