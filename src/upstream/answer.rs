//! Answer: the wait for a response's head, and whose fault it is when none comes.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::error::UpstreamError;
use super::outgoing::{Progress, RequestBody, Turn};
use crate::config::UpstreamTimeouts;

/// Why an attempt brought no response.
pub(super) enum Failed {
    /// hyper's error, perhaps with the request in it.
    Sent(Box<TrySendError<Request<RequestBody>>>),
    /// A deadline.
    Late(UpstreamError),
}

/// Waits for a response's head: while the request's body is on its way, for the next piece of it;
/// then for the head itself.
pub(super) async fn head_of<F>(
    answer: F,
    progress: &Progress,
    timeouts: UpstreamTimeouts,
) -> Result<Response<Incoming>, Failed>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
{
    let mut answer = std::pin::pin!(answer);
    let limit = |(turn, since): (Turn, Instant)| match turn {
        Turn::Client | Turn::Upstream => since + timeouts.body_idle,
        Turn::Done | Turn::Failed => since + timeouts.response_head,
    };
    let mut sleep = std::pin::pin!(sleep_until(limit(progress.turn())));
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => {
                return answered.map_err(|error| Failed::Sent(Box::new(error)));
            }
            () = &mut sleep => {
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
    }
}
