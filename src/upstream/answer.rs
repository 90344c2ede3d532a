//! Answer: the wait for a response's head, and whose fault it is when none comes.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::drive::Driver;
use super::error::UpstreamError;
use super::outgoing::{Progress, RequestBody, Turn};
use crate::config::UpstreamTimeouts;

/// How late the promise of a [`Watch`] may be kept.
pub const LATE: Duration = Duration::from_millis(200);

/// Why an attempt brought no response.
pub(super) enum Failed {
    /// hyper's error, perhaps with the request in it.
    Sent(Box<TrySendError<Request<RequestBody>>>),
    /// A deadline.
    Late(UpstreamError),
}

/// The promise of whoever waits for a response to look at it again by a certain time. Until then a
/// later deadline needs no timer of its own, which hardly any request lives to see.
#[derive(Debug)]
pub struct Watch {
    since: Instant,
    until: Instant,
    over: Cell<bool>,
}

impl Watch {
    /// A promise that is made now, for a request that is sent at once, until then.
    #[must_use]
    pub const fn new(now: Instant, until: Instant) -> Self {
        Self {
            since: now,
            until,
            over: Cell::new(false),
        }
    }

    /// When it was made.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// Until when.
    #[must_use]
    pub const fn time(&self) -> Instant {
        self.until
    }

    /// The time has come. The response must be polled after this.
    pub fn is_over(&self) {
        self.over.set(true);
    }

    /// Whether who waits is there again before this deadline.
    fn covers(&self, deadline: Instant) -> bool {
        !self.over.get() && deadline > self.until + LATE
    }
}

/// Waits for a response's head: while the request's body is on its way, for the next piece of it;
/// then for the head itself. `driver` moves the connection's bytes where nothing else does.
pub(super) async fn head_of<F>(
    mut answer: Pin<&mut F>,
    mut driver: Option<&mut Driver>,
    progress: &Progress,
    timeouts: UpstreamTimeouts,
    watch: Option<&Watch>,
) -> Result<Response<Incoming>, Failed>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
{
    let limit = |(turn, since): (Turn, Instant)| match turn {
        Turn::Client | Turn::Upstream => since + timeouts.body_idle,
        Turn::Done | Turn::Failed => since + timeouts.response_head,
    };
    let mut poll = |cx: &mut Context<'_>| match &mut driver {
        Some(driver) => driver.poll_then(cx, |cx| answer.as_mut().poll(cx)),
        None => answer.as_mut().poll(cx),
    };
    let unwatched = poll_fn(|cx| match poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending if watch.is_some_and(|watch| watch.covers(limit(progress.turn()))) => {
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(answered) = unwatched.await {
        return answered.map_err(|error| Failed::Sent(Box::new(error)));
    }
    let mut sleep = std::pin::pin!(sleep_until(limit(progress.turn())));
    let mut is_polled = true;
    loop {
        let answered = poll_fn(|cx| {
            if !std::mem::take(&mut is_polled)
                && let Poll::Ready(answered) = poll(cx)
            {
                return Poll::Ready(Some(answered));
            }
            // The upload may have ended, whose deadline was a later one.
            progress.wake_at_end(cx);
            let due = limit(progress.turn());
            if due < sleep.deadline() {
                sleep.as_mut().reset(due);
            }
            sleep.as_mut().poll(cx).map(|()| None)
        });
        if let Some(answered) = answered.await {
            return answered.map_err(|error| Failed::Sent(Box::new(error)));
        }
        let now = progress.turn();
        if limit(now) <= Instant::now() {
            return Err(Failed::Late(match now.0 {
                Turn::Client | Turn::Failed => UpstreamError::RequestBody,
                Turn::Upstream | Turn::Done => UpstreamError::Timeout,
            }));
        }
        sleep.as_mut().reset(limit(now));
    }
}
