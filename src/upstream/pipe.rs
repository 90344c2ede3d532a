//! Pipe: one direction of a tunnel.
//!
//! It moves bytes and follows the frames among them; it never adds a byte of its own, and never
//! holds more than one buffer of them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::frames::FrameTracker;

/// Most bytes in flight in one direction.
const BUFFER: usize = 16 * 1024;

/// Most turns of one direction before the other one, and the end, are looked at again.
const TURNS: usize = 16;

/// One direction.
#[derive(Default)]
pub(super) struct Pipe {
    /// Read and not yet written. Given back to the allocator whenever it is empty: most tunnels
    /// are silent most of the time.
    buffer: BytesMut,
    pub(super) bytes: u64,
    /// Follows what was written.
    pub(super) frames: FrameTracker,
    pub(super) is_ended: bool,
    is_unflushed: bool,
    pub(super) is_shut: bool,
}

/// Which side of a pipe failed.
pub(super) enum Broken {
    Reading,
    Writing,
}

impl Pipe {
    /// Moves bytes until nothing more can be moved; ready when the reader's end has been passed on.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.is_shut {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..TURNS {
            while !self.buffer.is_empty() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.buffer));
                match written {
                    Ok(count) if count > 0 => self.passed(count),
                    _ => return Poll::Ready(Err(Broken::Writing)),
                }
            }
            if self.is_ended {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(|_| Broken::Writing)?;
                self.is_shut = true;
                return Poll::Ready(Ok(()));
            }
            match self.poll_fill(cx, reader) {
                Poll::Ready(Ok(count)) => self.is_ended = count == 0,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reading)),
                Poll::Pending => {
                    if self.is_unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx))
                            .map_err(|_| Broken::Writing)?;
                        self.is_unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
    ) -> Poll<io::Result<usize>> {
        self.buffer.reserve(BUFFER);
        let polled = {
            let mut reading = std::pin::pin!(reader.read_buf(&mut self.buffer));
            reading.as_mut().poll(cx)
        };
        if polled.is_pending() && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        polled
    }

    fn passed(&mut self, count: usize) {
        self.frames
            .advance(self.buffer.get(..count).unwrap_or_default());
        self.buffer.advance(count);
        self.bytes += u64::try_from(count).unwrap_or_default();
        self.is_unflushed = true;
    }

    /// Moves bytes up to the next frame boundary and no further.
    pub(super) async fn move_to_boundary<R, W>(
        &mut self,
        reader: &mut R,
        writer: &mut W,
    ) -> io::Result<()>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            let cut = self.frames.bytes_to_boundary(&self.buffer);
            let mut left = cut.unwrap_or(self.buffer.len());
            while left > 0 {
                let part = self.buffer.get(..left).unwrap_or_default();
                let count = writer.write(part).await?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.passed(count);
                left -= count;
            }
            if cut.is_some() {
                return Ok(());
            }
            self.buffer.reserve(BUFFER);
            if self.is_ended || reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads on without passing anything on, until the sender has said Close or hung up.
    pub(super) async fn swallow<R: AsyncRead + Unpin>(&mut self, reader: &mut R) {
        self.frames.advance(&self.buffer);
        self.buffer.clear();
        while !self.is_ended && !self.frames.close_seen() {
            self.buffer.reserve(BUFFER);
            match reader.read_buf(&mut self.buffer).await {
                Ok(count) if count > 0 => self.frames.advance(&self.buffer),
                _ => self.is_ended = true,
            }
            self.buffer.clear();
        }
    }
}
