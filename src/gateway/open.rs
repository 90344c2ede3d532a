//! An open request: counted while it lasts, and recorded even where nobody waits for its answer (but on a
//! route that wants no lines).

use super::{Case, Gateway};

/// A request that has not been answered yet. Dropped before that, the client has given it up; what
/// was decided by then may have been acted on, and has its line all the same.
pub(super) struct Open<'a> {
    gateway: &'a Gateway,
    pub(super) case: Case,
    pub(super) answered: bool,
}

impl<'a> Open<'a> {
    pub(super) fn new(gateway: &'a Gateway, case: Case) -> Self {
        gateway.metrics.in_flight.inc();
        Self {
            gateway,
            case,
            answered: false,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gateway.metrics.in_flight.dec();
        if !self.answered
            && let Some(line) = self.case.abandoned(self.gateway.warn_age)
        {
            self.gateway.audit.offer(&line);
        }
    }
}
