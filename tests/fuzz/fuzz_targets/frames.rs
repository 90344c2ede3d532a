//! WebSocket frames: boundaries are where a plain reading of RFC 6455, section 5.2 finds them,
//! however the bytes are cut into pieces.
//!
//! Input: a byte that chooses the pieces, then the stream.
#![no_main]

use countersign::upstream::{FrameTracker, close_frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };
    let (boundaries, close, broken) = frames(stream);
    // Byte by byte: at a boundary exactly where there is one.
    let mut tracker = FrameTracker::default();
    assert!(tracker.at_boundary());
    for (index, byte) in stream.iter().enumerate() {
        tracker.advance(&[*byte]);
        let at = index + 1;
        let lost = broken.is_some_and(|from| at >= from);
        assert_eq!(tracker.at_boundary(), !lost && boundaries.contains(&at), "at {at}");
        assert_eq!(tracker.close_seen(), close.is_some_and(|end| at >= end), "at {at}");
    }
    let last = (tracker.at_boundary(), tracker.close_seen());
    // In pieces: the same end, and the way to the next boundary known ahead.
    let mut tracker = FrameTracker::default();
    let mut at = 0;
    for piece in stream.chunks(usize::from(size).max(1)) {
        let ahead = tracker.bytes_to_boundary(&stream[at..]);
        let wanted = if boundaries.contains(&at) || at == 0 {
            Some(0)
        } else {
            boundaries.iter().find(|end| **end > at).map(|end| end - at)
        };
        assert_eq!(ahead, wanted, "from {at}");
        tracker.advance(piece);
        at += piece.len();
    }
    assert_eq!((tracker.at_boundary(), tracker.close_seen()), last);

    // A frame of our own is one frame that closes.
    let reason = String::from_utf8_lossy(stream);
    for mask in [None, Some([size, 1, 2, 3])] {
        let frame = close_frame(4401, &reason, mask);
        let mut tracker = FrameTracker::default();
        tracker.advance(&frame);
        assert!(tracker.at_boundary() && tracker.close_seen());
        assert!(frame.len() <= 2 + 4 + 125);
    }
});

/// The ends of all frames, the end of the first Close, and where a header stops being one.
fn frames(stream: &[u8]) -> (Vec<usize>, Option<usize>, Option<usize>) {
    let (mut ends, mut close, mut at) = (Vec::new(), None, 0_usize);
    loop {
        let rest = &stream[at.min(stream.len())..];
        let [first, second, more @ ..] = rest else { break };
        let (extended, mask) = (
            match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            },
            if second & 0x80 == 0 { 0 } else { 4 },
        );
        if more.len() < extended + mask {
            break;
        }
        let mut length = u64::from(second & 0x7f);
        if extended > 0 {
            length = more[..extended].iter().fold(0, |sum, byte| sum * 256 + u64::from(*byte));
        }
        if length > u64::MAX / 2 {
            return (ends, close, Some(at + 2 + extended + mask));
        }
        let end = (at as u64 + 2 + (extended + mask) as u64).saturating_add(length);
        if end > stream.len() as u64 {
            break;
        }
        at = end as usize;
        ends.push(at);
        if first & 0x0f == 8 && close.is_none() {
            close = Some(at);
        }
    }
    (ends, close, None)
}
