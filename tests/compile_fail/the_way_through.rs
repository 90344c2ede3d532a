//! The one way through compiles: sanitised, granted, sent.

use countersign::auth::Grant;
use countersign::credential::Presented;
use countersign::forward::{ForwardError, Forwarder, Minted, SanitizedRequest};
use countersign::telemetry::UnixTime;
use countersign::upstream::Pools;

async fn send(
    sanitised: SanitizedRequest,
    grant: &Grant,
    forwarder: &Forwarder,
    minted: &Minted,
    now: UnixTime,
    pools: &Pools,
) -> Result<(), ForwardError> {
    let granted = sanitised.authorize(grant, &Presented::default(), forwarder, minted, now)?;
    let _ = pools.send(granted, None).await;
    Ok(())
}

fn main() {}
