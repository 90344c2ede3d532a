//! Open: a request from its first line to its answer, whatever ends it.
//!
//! The future that serves a request is dropped where it stands when its client goes away. What was
//! counted must then be uncounted, and what an upstream may have acted on must still be recorded.

use super::case::Case;
use super::rooms::Gateway;

/// A request that is being served; dropping it ends it.
pub(super) struct Open<'a> {
    gateway: &'a Gateway,
    pub(super) case: Case,
}

impl<'a> Open<'a> {
    pub(super) fn begin(gateway: &'a Gateway, case: Case) -> Self {
        gateway.metrics.in_flight.inc();
        Self { gateway, case }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gateway.metrics.in_flight.dec();
        if let Some((reason, slot, line)) = self.case.abandoned() {
            self.gateway.count(reason);
            slot.fill(&line);
        }
    }
}
