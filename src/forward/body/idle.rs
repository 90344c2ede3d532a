//! The deadline between two pieces of a body.
//!
//! No timer exists until a body has once made us wait, and it is moved only when it fires: a fast
//! body costs none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Counts the silence since the last piece.
pub(super) struct Idle {
    limit: Option<Duration>,
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    pub(super) const fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            since: None,
            sleep: None,
        }
    }

    /// A piece has come.
    pub(super) const fn touch(&mut self) {
        self.since = None;
    }

    /// Ready once nothing has come for as long as the limit; call it while waiting.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let since = *self.since.get_or_insert_with(Instant::now);
        let Some(due) = since.checked_add(limit) else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
    }
}
