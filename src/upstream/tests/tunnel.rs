//! The tunnel over in-memory streams, with paused time where a deadline is the test.

use tokio::io::{DuplexStream, duplex};
use tokio::sync::oneshot;

use super::*;

const END: StreamEnd = StreamEnd {
    code: 4403,
    reason: "moved",
};

const OPTIONS: TunnelOptions = TunnelOptions {
    close_grace: Duration::from_secs(1),
    idle: Duration::from_hours(1),
};

/// A tunnel, the two peers of it, and the way to end its lease.
struct Rig {
    client: DuplexStream,
    upstream: DuplexStream,
    end: oneshot::Sender<StreamEnd>,
    tunnel: tokio::task::JoinHandle<TunnelReport>,
}

fn rig(buffer: usize) -> Rig {
    let (client, client_side) = duplex(buffer);
    let (upstream, upstream_side) = duplex(buffer);
    let (end, ended) = oneshot::channel();
    let ended = async move {
        match ended.await {
            Ok(end) => end,
            Err(_) => std::future::pending().await,
        }
    };
    let tunnel = tokio::spawn(run(client_side, upstream_side, ended, OPTIONS));
    Rig {
        client,
        upstream,
        end,
        tunnel,
    }
}

/// A masked text frame, as clients send them.
const MASKED: &[u8] = &[0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
/// An unmasked text frame, as servers send them.
const PLAIN: &[u8] = &[0x81, 0x03, b'a', b'b', b'c'];

async fn expect(stream: &mut DuplexStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// A masked Close 1001, whatever its mask.
fn is_masked_going_away(frame: &[u8]) -> bool {
    let [0x88, 0x82, m0, m1, _, _, c0, c1] = frame else {
        return false;
    };
    [c0 ^ m0, c1 ^ m1] == 1001u16.to_be_bytes()
}

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_ends_are_passed_on() {
    let mut rig = rig(64);
    rig.client.write_all(MASKED).await.unwrap();
    expect(&mut rig.upstream, MASKED).await;
    rig.upstream.write_all(PLAIN).await.unwrap();
    expect(&mut rig.client, PLAIN).await;
    // The client hangs up its half; the upstream may still speak.
    rig.client.shutdown().await.unwrap();
    assert!(rest(&mut rig.upstream).await.is_empty());
    rig.upstream.write_all(PLAIN).await.unwrap();
    expect(&mut rig.client, PLAIN).await;
    drop(rig.upstream);
    let report = rig.tunnel.await.unwrap();
    assert_eq!(report.ended_by, EndedBy::Client);
    assert_eq!((report.to_upstream, report.to_client), (9, 10));
    assert!(!report.reset_client && !report.reset_upstream);
}

#[tokio::test(start_paused = true)]
async fn a_large_message_passes_whole_through_small_buffers() {
    let mut rig = rig(100);
    let mut message = vec![0x82, 127];
    message.extend((1_000_000u64).to_be_bytes());
    message.extend((0..1_000_000u32).map(|n| n.to_le_bytes()[0]));
    let sent = message.clone();
    let mut upstream = rig.upstream;
    let sender = tokio::spawn(async move {
        upstream.write_all(&sent).await.unwrap();
        upstream
    });
    expect(&mut rig.client, &message).await;
    drop(sender.await.unwrap());
    drop(rig.client);
    assert_eq!(rig.tunnel.await.unwrap().to_client, 1_000_010);
}

#[tokio::test(start_paused = true)]
async fn at_a_boundary_the_end_is_told_at_once() {
    let mut rig = rig(4096);
    rig.client.write_all(MASKED).await.unwrap();
    expect(&mut rig.upstream, MASKED).await;
    rig.end.send(END).unwrap();
    expect(&mut rig.client, &close_frame(4403, "moved", None)).await;
    let mut close = [0; 8];
    rig.upstream.read_exact(&mut close).await.unwrap();
    assert!(is_masked_going_away(&close), "{close:?}");
    // Both answer, and the tunnel ends before its grace is over.
    let before = tokio::time::Instant::now();
    rig.client
        .write_all(&close_frame(4403, "", Some([1, 2, 3, 4])))
        .await
        .unwrap();
    rig.upstream
        .write_all(&close_frame(1001, "", None))
        .await
        .unwrap();
    let report = rig.tunnel.await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(report.ended_by, EndedBy::Lease(END));
    assert!(!report.reset_client && !report.reset_upstream);
    assert!(rest(&mut rig.upstream).await.is_empty());
    assert!(rest(&mut rig.client).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_byte_of_the_client_passes_after_the_end() {
    // In every interleaving of the two: the client's frame and the end are both there before the
    // tunnel runs again.
    let mut rig = rig(4096);
    rig.client.write_all(MASKED).await.unwrap();
    expect(&mut rig.upstream, MASKED).await;
    rig.client.write_all(MASKED).await.unwrap();
    rig.end.send(END).unwrap();
    let report = rig.tunnel.await.unwrap();
    rig.client.write_all(MASKED).await.unwrap_err();
    let seen = rest(&mut rig.upstream).await;
    assert!(is_masked_going_away(&seen), "{seen:?}");
    assert_eq!(report.to_upstream, 9);
}

#[tokio::test(start_paused = true)]
async fn a_frame_under_way_to_the_client_is_finished_first() {
    let mut rig = rig(4096);
    rig.upstream.write_all(&PLAIN[..4]).await.unwrap();
    expect(&mut rig.client, &PLAIN[..4]).await;
    rig.end.send(END).unwrap();
    let mut close = [0; 8];
    rig.upstream.read_exact(&mut close).await.unwrap();
    assert!(is_masked_going_away(&close));
    // The rest of the frame passes, the next one does not.
    rig.upstream.write_all(&PLAIN[4..]).await.unwrap();
    rig.upstream.write_all(PLAIN).await.unwrap();
    expect(&mut rig.client, &PLAIN[4..]).await;
    expect(&mut rig.client, &close_frame(4403, "moved", None)).await;
    drop(rig.client);
    drop(rig.upstream);
    let report = rig.tunnel.await.unwrap();
    assert!(!report.reset_client);
}

#[tokio::test(start_paused = true)]
async fn without_a_boundary_in_time_the_client_is_reset() {
    let mut rig = rig(4096);
    rig.upstream.write_all(&PLAIN[..4]).await.unwrap();
    expect(&mut rig.client, &PLAIN[..4]).await;
    rig.end.send(END).unwrap();
    let before = tokio::time::Instant::now();
    let report = rig.tunnel.await.unwrap();
    assert_eq!(before.elapsed(), OPTIONS.close_grace);
    assert!(report.reset_client && !report.reset_upstream);
    assert!(
        rest(&mut rig.client).await.is_empty(),
        "no Close within a frame"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_reset() {
    let mut rig = rig(4);
    // The Close frame itself does not fit.
    rig.upstream.write_all(&[0x89, 0]).await.unwrap();
    expect(&mut rig.client, &[0x89, 0]).await;
    rig.end.send(END).unwrap();
    let report = rig.tunnel.await.unwrap();
    assert!(report.reset_client && report.reset_upstream);
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_of_the_client_resets_the_upstream() {
    let mut rig = rig(4096);
    rig.client.write_all(&MASKED[..7]).await.unwrap();
    expect(&mut rig.upstream, &MASKED[..7]).await;
    rig.end.send(END).unwrap();
    expect(&mut rig.client, &close_frame(4403, "moved", None)).await;
    let report = rig.tunnel.await.unwrap();
    assert!(!report.reset_client && report.reset_upstream);
    assert!(
        rest(&mut rig.upstream).await.is_empty(),
        "no Close within a frame"
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_already_said_is_not_said_again() {
    let mut rig = rig(4096);
    let close = close_frame(1000, "", None);
    rig.upstream.write_all(&close).await.unwrap();
    expect(&mut rig.client, &close).await;
    rig.end.send(END).unwrap();
    let report = rig.tunnel.await.unwrap();
    assert!(rest(&mut rig.client).await.is_empty());
    assert!(!report.reset_client);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_tunnel_and_any_byte_breaks_it() {
    let mut rig = rig(4096);
    let most = OPTIONS.idle / 2;
    for _ in 0..3 {
        tokio::time::sleep(most).await;
        rig.upstream.write_all(&[0x89, 0]).await.unwrap();
        expect(&mut rig.client, &[0x89, 0]).await;
    }
    expect(&mut rig.client, &close_frame(1001, "idle", None)).await;
    let report = rig.tunnel.await.unwrap();
    assert_eq!(report.ended_by, EndedBy::Idle);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_there_from_the_start_lets_nothing_through() {
    let (mut client, client_side) = duplex(4096);
    let (mut upstream, upstream_side) = duplex(4096);
    client.write_all(MASKED).await.unwrap();
    let end = std::future::ready(END);
    let report = run(client_side, upstream_side, end, OPTIONS).await;
    assert_eq!(report.to_upstream, 0);
    assert!(is_masked_going_away(&rest(&mut upstream).await));
    assert_eq!(rest(&mut client).await, close_frame(4403, "moved", None));
}
