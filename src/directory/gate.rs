//! The gate: how many look-ups are at the source at once, and how many may wait.
//!
//! When the queue is full the next one fails at once: a directory that cannot keep up must not
//! collect every request of the gateway.

use std::sync::atomic::Ordering;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::{Failure, SourceError};
use super::sync::AtomicUsize;

#[derive(Debug)]
pub(super) struct Gate {
    permits: Semaphore,
    waiting: AtomicUsize,
    queue: usize,
}

impl Gate {
    pub(super) fn new(concurrent: usize, queue: usize) -> Self {
        Self {
            permits: Semaphore::new(concurrent.clamp(1, Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            queue,
        }
    }

    /// Waits for a place at the source; the place is given back when the permit is dropped.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.queue).ok_or(Failure::Overloaded)?;
        self.permits
            .acquire()
            .await
            .map_err(|_| SourceError::new("the gateway is shutting down").into())
    }
}

/// A place in the queue, given back however the wait ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, queue: usize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::AcqRel) < queue).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::Poll;

    async fn pending<F: Future>(future: &mut Pin<&mut F>) -> bool {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn e25_a_full_queue_refuses_at_once() {
        let gate = Gate::new(1, 1);
        let inside = gate.enter().await.unwrap();
        let mut second = pin!(gate.enter());
        assert!(pending(&mut second).await);
        assert_eq!(gate.enter().await.err(), Some(Failure::Overloaded));
        drop(inside);
        assert!(second.await.is_ok());
        assert_eq!(gate.waiting.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn one_who_stops_waiting_leaves_the_queue() {
        let gate = Gate::new(1, 1);
        let _inside = gate.enter().await.unwrap();
        {
            let mut second = pin!(gate.enter());
            assert!(pending(&mut second).await);
        }
        let mut third = pin!(gate.enter());
        assert!(pending(&mut third).await);
    }
}
