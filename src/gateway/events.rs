//! Events: server-sent events, which go on until somebody ends them.

use std::rc::Rc;

use http::Response;
use http::header::CONTENT_TYPE;
use http_body::Body as _;

use super::{Core, InProgress, ResponseBody};
use crate::forward::{BodyWatch, cut};

/// The media type of server-sent events (HTML, section 9.2).
const EVENT_STREAM: &[u8] = b"text/event-stream";
/// A response of at most this many known bytes is no stream, whatever it says.
const SHORT: u64 = 256 * 1024;

/// A response to nobody stands on nothing that could change, and needs no lease; only the drain ends it,
/// and only where it would not end by itself.
pub(super) fn without_lease(
    core: &Rc<Core>,
    response: Response<ResponseBody>,
    held: (InProgress, BodyWatch),
) -> Response<ResponseBody> {
    if is_short(&response) || !is_event_stream(&response) {
        return response.map(|body| body.holding(held));
    }
    let (scissors, signal) = cut();
    let drain = core.drain.clone();
    let task = tokio::task::spawn_local(async move {
        drain.closing().await;
        scissors.now();
    });
    response.map(|body| {
        body.cut_by(signal)
            .holding(held)
            .on_end(move |_| task.abort())
    })
}

/// Whether a response is too short to be a stream.
pub(super) fn is_short(response: &Response<ResponseBody>) -> bool {
    let length = response.body().size_hint().exact();
    length.is_some_and(|length| length <= SHORT)
}

/// Whether a response goes on until somebody ends it; a download may finish while draining.
pub(super) fn is_event_stream(response: &Response<ResponseBody>) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE);
    media_type
        .and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()))
        .is_some_and(|essence| essence.eq_ignore_ascii_case(EVENT_STREAM))
}
