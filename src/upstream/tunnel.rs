//! Tunnel: a WebSocket after its handshake, bytes both ways, for as long as its lease holds.
//!
//! When the lease ends no further byte of the client reaches the upstream, at once. The client is
//! told by a Close frame at the next frame boundary of what the upstream sends; if none comes in
//! time the connection is to be reset. The upstream is told by a Close frame where the client's
//! last frame was complete, else it is reset too: half a frame must not look like a whole one.
//!
//! The end is looked at before any byte is moved, on every poll. The tunnel decides nothing: when
//! a lease ends, and with which code, is the caller's.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::frames::{FrameTracker, close_frame};
use super::pipe::{Broken, Pipe};

/// Close code "going away" (RFC 6455, section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// The end of a lease, as the client is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamEnd {
    /// The close code: 4401, 4403 or 1001.
    pub code: u16,
    /// The close reason; at most 123 bytes of it are sent.
    pub reason: &'static str,
}

/// How a tunnel is run.
#[derive(Debug, Clone, Copy)]
pub struct TunnelOptions {
    /// Wait for a frame boundary, and then for the client's own Close.
    pub close_grace: Duration,
    /// Longest silence, both ways.
    pub idle: Duration,
}

/// Who ended a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The client hung up first, or its connection failed.
    Client,
    /// The upstream hung up first, or its connection failed.
    Upstream,
    /// The lease ended.
    Lease(StreamEnd),
    /// Neither said anything for too long.
    Idle,
}

/// What a tunnel did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelReport {
    /// Bytes that reached the upstream from the client.
    pub to_upstream: u64,
    /// Bytes that reached the client from the upstream.
    pub to_client: u64,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// The client got no Close frame: its connection is to be reset.
    pub reset_client: bool,
    /// The upstream got no Close frame: its connection is to be reset.
    pub reset_upstream: bool,
}

/// Carries a WebSocket until one side hangs up, `end` resolves or both are silent for too long.
///
/// Both sides may be passed as `&mut`, so that the caller can still reset what the report says is
/// to be reset; dropping them closes them.
pub async fn run<C, U, E>(client: C, upstream: U, end: E, options: TunnelOptions) -> TunnelReport
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    E: Future<Output = StreamEnd>,
{
    run_held(client, upstream, end, options, &AtomicBool::new(false)).await
}

/// As [`run`], and while `held` is true no byte of the client reaches the upstream: `end` sets it
/// while it does not know yet whether the lease goes on. It is looked at after `end`, on every poll.
pub async fn run_held<C, U, E>(
    mut client: C,
    mut upstream: U,
    end: E,
    options: TunnelOptions,
    held: &AtomicBool,
) -> TunnelReport
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    E: Future<Output = StreamEnd>,
{
    let (mut up, mut down) = (Pipe::default(), Pipe::default());
    let ended_by = carry(
        &mut client,
        &mut upstream,
        &mut up,
        &mut down,
        end,
        options,
        held,
    )
    .await;
    let mut report = TunnelReport {
        to_upstream: up.bytes,
        to_client: down.bytes,
        ended_by,
        reset_client: false,
        reset_upstream: false,
    };
    let end = match ended_by {
        EndedBy::Lease(end) => end,
        EndedBy::Idle => StreamEnd {
            code: GOING_AWAY,
            reason: "idle",
        },
        EndedBy::Client => {
            report.reset_upstream = !up.is_shut;
            return report;
        }
        EndedBy::Upstream => {
            report.reset_client = !down.is_shut;
            return report;
        }
    };
    let (client_told, upstream_told) = part(
        &mut client,
        &mut upstream,
        &mut up,
        &mut down,
        end,
        options.close_grace,
    )
    .await;
    report.to_client = down.bytes;
    report.reset_client = !client_told;
    report.reset_upstream = !upstream_told;
    report
}

async fn carry<C, U, E>(
    client: &mut C,
    upstream: &mut U,
    up: &mut Pipe,
    down: &mut Pipe,
    end: E,
    options: TunnelOptions,
    held: &AtomicBool,
) -> EndedBy
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    E: Future<Output = StreamEnd>,
{
    let mut end = std::pin::pin!(end);
    let mut last = Instant::now();
    let mut silence = std::pin::pin!(sleep_until(last + options.idle));
    let mut first = None;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(end) = end.as_mut().poll(cx) {
            return Poll::Ready(EndedBy::Lease(end));
        }
        let before = (up.bytes, down.bytes);
        let upwards = if held.load(Relaxed) {
            Poll::Pending
        } else {
            up.poll(cx, client, upstream)
        };
        let downwards = down.poll(cx, upstream, client);
        if before != (up.bytes, down.bytes) {
            last = Instant::now();
        }
        let hung_up = match (up.is_ended, down.is_ended) {
            (true, _) => Some(EndedBy::Client),
            (_, true) => Some(EndedBy::Upstream),
            _ => None,
        };
        // A side that has hung up hears nothing any more: the other one may finish, not stay.
        let limit = if hung_up.is_some() {
            options.close_grace
        } else {
            options.idle
        };
        if first.is_none() && hung_up.is_some() {
            first = hung_up;
            last = Instant::now();
            silence.as_mut().reset(last + limit);
        }
        if let Some(side) = over(&upwards, &downwards) {
            return Poll::Ready(first.unwrap_or(side));
        }
        while silence.as_mut().poll(cx).is_ready() {
            if last + limit <= Instant::now() {
                return Poll::Ready(first.unwrap_or(EndedBy::Idle));
            }
            silence.as_mut().reset(last + limit);
        }
        Poll::Pending
    })
    .await
}

/// Whether there is nothing left to carry, and whose doing that is.
const fn over(up: &Poll<Result<(), Broken>>, down: &Poll<Result<(), Broken>>) -> Option<EndedBy> {
    match (up, down) {
        (Poll::Ready(Err(Broken::Writing)), _) | (_, Poll::Ready(Err(Broken::Reading))) => {
            Some(EndedBy::Upstream)
        }
        (Poll::Ready(Err(Broken::Reading)), _)
        | (_, Poll::Ready(Err(Broken::Writing)))
        | (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Some(EndedBy::Client),
        _ => None,
    }
}

/// Says good-bye to both sides; whether the client and the upstream were told.
async fn part<C, U>(
    client: &mut C,
    upstream: &mut U,
    up: &mut Pipe,
    down: &mut Pipe,
    end: StreamEnd,
    grace: Duration,
) -> (bool, bool)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = tokio::io::split(upstream);
    let tell_upstream = tell_upstream(&up.frames, &mut to_upstream);
    let tell_client = async {
        down.move_to_boundary(&mut from_upstream, &mut to_client)
            .await?;
        if !down.frames.close_seen() {
            let frame = close_frame(end.code, end.reason, None);
            to_client.write_all(&frame).await?;
        }
        to_client.flush().await
    };
    let (upstream_told, client_told) =
        futures_util::future::join(timeout(grace, tell_upstream), timeout(grace, tell_client))
            .await;
    let upstream_told = matches!(upstream_told, Ok(Ok(())));
    if !matches!(client_told, Ok(Ok(()))) {
        return (false, upstream_told);
    }
    // Both answer with a Close of their own; not to wait for it could cost them ours.
    let farewell = async {
        futures_util::future::join(up.swallow(&mut from_client), async {
            if upstream_told {
                down.swallow(&mut from_upstream).await;
            }
        })
        .await;
        let _ = to_client.shutdown().await;
        if upstream_told {
            let _ = to_upstream.shutdown().await;
        }
    };
    // Who does not answer has been told all the same.
    let _ = timeout(grace, farewell).await;
    (true, upstream_told)
}

async fn tell_upstream<W: AsyncWrite + Unpin>(
    frames: &FrameTracker,
    writer: &mut W,
) -> io::Result<()> {
    if frames.close_seen() {
        return Ok(());
    }
    if !frames.at_boundary() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    aws_lc_rs::rand::fill(&mut mask).map_err(|_| io::ErrorKind::Other)?;
    let frame = close_frame(GOING_AWAY, "", Some(mask));
    writer.write_all(&frame).await?;
    writer.flush().await
}
