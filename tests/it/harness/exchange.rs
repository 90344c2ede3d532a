//! One request at the upstream, and what a test wants done with it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::sync::Arc;

use serde_json::{Value, json};

use super::message::{Framing, Head, Wire};
use super::recorder::{Keep, Seen, Shared, Tap};

/// A request that arrived; its body is read when asked for, or after the answer.
pub(crate) struct Exchange<'a> {
    pub(crate) head: Head,
    pub(super) wire: &'a mut Wire<Tap>,
    shared: &'a Arc<Shared>,
    index: Option<usize>,
    body_read: bool,
    keep_alive: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        wire: &'a mut Wire<Tap>,
        shared: &'a Arc<Shared>,
        head: Head,
        index: Option<usize>,
    ) -> Self {
        Self {
            head,
            wire,
            shared,
            index,
            body_read: false,
            keep_alive: true,
        }
    }

    /// Which connection it came over, counted from zero.
    pub(crate) fn connection(&self) -> usize {
        self.wire.stream.connection
    }

    pub(crate) fn path(&self) -> &str {
        self.head.target().split('?').next().unwrap_or_default()
    }

    /// What stands behind the path's last slash: the user, where a directory is asked.
    pub(crate) fn last_segment(&self) -> String {
        let path = self.path();
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Reads the body to its end; gives what came and whether it was all.
    pub(crate) fn body(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let complete = self.read_body(&mut |piece| bytes.extend_from_slice(piece));
        (bytes, complete)
    }

    /// Reads the body to its end, giving each piece away; whether it was all.
    pub(crate) fn read_body(&mut self, sink: &mut dyn FnMut(&[u8])) -> bool {
        if std::mem::replace(&mut self.body_read, true) {
            return true;
        }
        let (shared, index) = (self.shared, self.index);
        let end = self
            .wire
            .body(self.head.request_framing(), &mut |piece: &[u8]| {
                sink(piece);
                note(shared, index, |seen| {
                    seen.body_length += piece.len() as u64;
                    if shared.keep == Keep::Everything {
                        seen.body.extend_from_slice(piece);
                    }
                });
            });
        self.keep_alive &= end.complete;
        let complete = end.complete;
        note(shared, index, |seen| {
            seen.complete = Some(complete);
            seen.trailers = end.trailers;
        });
        complete
    }

    /// The next piece of a body that is read bit by bit, as it comes.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        self.body_read = true;
        let piece = self.wire.chunk().unwrap_or_default();
        note(self.shared, self.index, |seen| {
            seen.body.extend_from_slice(&piece);
            seen.body_length += piece.len() as u64;
        });
        piece
    }

    /// Sends these bytes as they are; false where nobody takes them any more.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let stream = &mut self.wire.stream;
        stream
            .write_all(bytes)
            .and_then(|()| stream.flush())
            .is_ok()
    }

    /// A whole response with its length.
    pub(crate) fn respond(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("HTTP/1.1 {status} Answer\r\n");
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if status != 204 && status != 304 && status >= 200 {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if self.head.method() != "HEAD" {
            bytes.extend_from_slice(body);
        }
        self.send(&bytes);
    }

    pub(crate) fn respond_json(&mut self, value: &Value) {
        let body = value.to_string();
        self.respond(
            200,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        );
    }

    /// Begins a chunked response.
    pub(crate) fn begin_chunked(&mut self, fields: &[(&str, &str)]) -> bool {
        let mut head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n".to_owned();
        for (name, value) in fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())
    }

    pub(crate) fn send_chunk(&mut self, data: &[u8]) -> bool {
        let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\r\n");
        self.send(&bytes)
    }

    pub(crate) fn end_chunks(&mut self) -> bool {
        self.send(b"0\r\n\r\n")
    }

    /// The connection ends after this request.
    pub(crate) fn close(&mut self) {
        self.keep_alive = false;
        self.body_read = true;
        let _ = self.wire.stream.socket.shutdown(Shutdown::Both);
    }

    /// Waits until the other side has closed.
    pub(crate) fn wait_for_end(&mut self) {
        while matches!(self.wire.fill(), Ok(count) if count > 0) {}
        self.keep_alive = false;
        self.body_read = true;
    }

    /// Whether the connection goes on.
    pub(super) fn finish(mut self) -> bool {
        if !self.body_read && self.head.request_framing() != Framing::Length(0) {
            self.read_body(&mut |_| ());
        } else if !self.body_read {
            note(self.shared, self.index, |seen| seen.complete = Some(true));
        }
        self.keep_alive
    }
}

fn note(shared: &Shared, index: Option<usize>, change: impl FnOnce(&mut Seen)) {
    if let Some(index) = index {
        shared.log.update(|log| change(&mut log.seen[index]));
    }
}

/// 200, and what the upstream was told about who acts.
pub(crate) fn answer_by_default(exchange: &mut Exchange<'_>) {
    let (body, complete) = exchange.body();
    let head = exchange.head.clone();
    exchange.respond_json(&json!({
        "method": head.method(),
        "target": head.target(),
        "user": head.get("x-auth-user-id"),
        "account": head.get("x-auth-account-id"),
        "tenant": head.get("x-auth-tenant-id"),
        "body_length": body.len(),
        "complete": complete,
    }));
}
