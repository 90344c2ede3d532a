//! Sending: a response body on its way to a client that may not take it.
//!
//! Two things hyper leaves open. An HTTP/2 stream whose window stays shut holds its response, its
//! upstream connection and its memory for ever: here it is reset once its reader has taken less than
//! [`SLOWEST`] for as long as a body may be silent, and the other streams go on. And to a client of
//! HTTP/1.0 a body without a length ends with the connection: where such a body breaks off the
//! connection is reset, so that half of it does not look whole.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::deadline::Activity;
use crate::forward::BodyFault;
use crate::gateway::ResponseBody;

/// Bytes per second below which a client is not reading, but holding on.
const SLOWEST: u64 = 1024;

tokio::task_local! {
    /// The stream that the running task serves.
    static STREAM: Rc<Stream>;
}

/// What an HTTP/2 stream's task and its body tell each other.
#[derive(Debug, Default)]
struct Stream {
    /// Since when, and how many bytes, the client has been offered and has not taken.
    offered: Cell<Option<(Instant, u64)>>,
}

/// A response body as hyper sends it.
pub(super) struct Sending {
    body: ResponseBody,
    /// HTTP/2 only.
    stream: Option<Rc<Stream>>,
    /// Only where the end of the connection is the end of the body.
    unframed: Option<Arc<Activity>>,
    /// Why the body has broken off. hyper gives up at once when it hears that, with what it has not
    /// written yet: it writes that first, so that the client sees a response that breaks off and not
    /// none.
    broken: Option<BodyFault>,
}

/// Wraps a response to a request of `version`.
pub(super) fn send(
    response: Response<ResponseBody>,
    version: Version,
    activity: &Arc<Activity>,
) -> Response<Sending> {
    response.map(|body| Sending {
        stream: STREAM.try_with(Rc::clone).ok(),
        unframed: (version < Version::HTTP_11 && body.size_hint().exact().is_none())
            .then(|| Arc::clone(activity)),
        broken: None,
        body,
    })
}

impl Sending {
    fn took(&self) {
        if let Some(stream) = &self.stream {
            stream.offered.set(None);
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        // Being asked for more means that what was offered has been taken.
        this.took();
        if let Some(fault) = this.broken.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match frame {
            Some(Ok(frame)) => {
                if let (Some(stream), Some(data)) = (&this.stream, frame.data_ref()) {
                    let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    stream.offered.set(Some((Instant::now(), size)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(fault)) => {
                this.broken = Some(fault);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                this.unframed = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.took();
        if let Some(activity) = self.unframed.take()
            && !self.body.is_end_stream()
        {
            activity.break_off();
        }
    }
}

/// Runs one HTTP/2 stream to its end, or until its client has held on for too long: then it is
/// dropped, which resets it.
pub(super) async fn stream<F: Future<Output = ()>>(future: F, patience: Duration) {
    let stream = Rc::new(Stream::default());
    let mut future = pin!(STREAM.scope(Rc::clone(&stream), future));
    let mut sleep = pin!(None);
    poll_fn(|cx| {
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some((since, size)) = stream.offered.get() else {
            return Poll::Pending;
        };
        let due = since + patience + Duration::from_secs(size / SLOWEST);
        if sleep.is_none() {
            sleep.set(Some(sleep_until(due)));
        }
        loop {
            let Some(armed) = sleep.as_mut().as_pin_mut() else {
                return Poll::Pending;
            };
            ready!(armed.poll(cx));
            if Instant::now() >= due {
                tracing::debug!("a stream that is not read was reset");
                return Poll::Ready(());
            }
            sleep.set(Some(sleep_until(due)));
        }
    })
    .await;
}
