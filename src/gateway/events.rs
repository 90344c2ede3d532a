//! Events: server-sent events, which go on until somebody ends them.

use std::rc::Rc;

use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::{Core, InProgress, ResponseBody};
use crate::forward::{BodyWatch, cut};

/// The media type of server-sent events (HTML, section 9.2).
const EVENT_STREAM: &[u8] = b"text/event-stream";

/// What is sent to nobody stands on nothing that could change; only the drain ends it.
pub(super) fn end_at_drain(
    core: &Rc<Core>,
    response: Response<ResponseBody>,
    held: (InProgress, BodyWatch),
) -> Response<ResponseBody> {
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

/// Whether a response goes on until somebody ends it; a download may finish while draining.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().get(..EVENT_STREAM.len()))
        .is_some_and(|essence| essence.eq_ignore_ascii_case(EVENT_STREAM))
}
