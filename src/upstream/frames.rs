//! Frames: where one WebSocket frame ends and the next begins (RFC 6455, section 5.2).
//!
//! The tunnel copies bytes; to put a Close frame of the gateway's own into the stream it must know
//! a place between two frames. The tracker reads headers and counts payload, nothing else: it never
//! unmasks, never keeps payload, and a header that cannot be one makes it say "never again".

/// Longest frame header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// Longest reason in a Close frame: 125 bytes less the code.
const MAX_REASON: usize = 123;

/// The opcode of Close.
const CLOSE: u8 = 0x8;

/// Follows one direction of a WebSocket.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameTracker {
    state: State,
    close_seen: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Header {
        bytes: [u8; MAX_HEADER],
        have: usize,
    },
    Payload {
        left: u64,
        close: bool,
    },
    Lost,
}

impl Default for State {
    fn default() -> Self {
        Self::Header {
            bytes: [0; MAX_HEADER],
            have: 0,
        }
    }
}

/// What a header says so far.
enum Header {
    Short,
    Whole { payload: u64, opcode: u8 },
    Broken,
}

impl FrameTracker {
    /// Whether a frame may begin here.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// Whether a whole Close frame has passed.
    #[must_use]
    pub const fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// Follows all of `bytes`.
    pub fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// How many of `bytes` lead to the next boundary: none at one, `None` when it lies beyond.
    #[must_use]
    pub fn bytes_to_boundary(&self, bytes: &[u8]) -> Option<usize> {
        let (mut ahead, mut taken) = (*self, 0);
        while !ahead.at_boundary() {
            let rest = bytes.get(taken..).filter(|rest| !rest.is_empty())?;
            taken += ahead.step(rest);
        }
        Some(taken)
    }

    /// Follows `bytes` up to the end of the frame, or of the header, at most. Takes one byte or
    /// more of a non-empty slice.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Lost => bytes.len(),
            State::Payload { left, close } => {
                let close = *close;
                let taken = usize::try_from(*left).map_or(bytes.len(), |l| l.min(bytes.len()));
                *left -= u64::try_from(taken).unwrap_or(*left);
                if *left == 0 {
                    self.end_frame(close);
                }
                taken
            }
            State::Header { bytes: head, have } => {
                for (index, byte) in bytes.iter().enumerate() {
                    if let Some(place) = head.get_mut(*have) {
                        *place = *byte;
                        *have += 1;
                    }
                    match read_header(head.get(..*have).unwrap_or_default()) {
                        Header::Short => {}
                        Header::Broken => {
                            self.state = State::Lost;
                            return bytes.len();
                        }
                        Header::Whole { payload, opcode } => {
                            let close = opcode == CLOSE;
                            if payload == 0 {
                                self.end_frame(close);
                            } else {
                                self.state = State::Payload {
                                    left: payload,
                                    close,
                                };
                            }
                            return index + 1;
                        }
                    }
                }
                bytes.len()
            }
        }
    }

    fn end_frame(&mut self, close: bool) {
        self.close_seen |= close;
        self.state = State::default();
    }
}

/// A Close frame (RFC 6455, section 5.5.1); towards a server it is masked.
#[must_use]
pub fn close_frame(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = reason
        .get(..reason.floor_char_boundary(MAX_REASON))
        .unwrap_or_default();
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    let length = u8::try_from(payload.len()).unwrap_or(125);
    let mut frame = vec![0x80 | CLOSE];
    match mask {
        None => frame.push(length),
        Some(key) => {
            frame.push(0x80 | length);
            frame.extend_from_slice(&key);
            for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
                *byte ^= key;
            }
        }
    }
    frame.extend_from_slice(&payload);
    frame
}

fn read_header(head: &[u8]) -> Header {
    let [first, second, rest @ ..] = head else {
        return Header::Short;
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length_bytes, short) = match second & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        length => (0, u64::from(length)),
    };
    if rest.len() < length_bytes + mask {
        return Header::Short;
    }
    let extended = rest.get(..length_bytes).unwrap_or_default();
    let payload = extended
        .iter()
        .fold(short, |sum, byte| (sum << 8) | u64::from(*byte));
    // The most significant bit of a 64-bit length must be 0.
    if payload >> 63 != 0 {
        return Header::Broken;
    }
    Header::Whole {
        payload,
        opcode: first & 0x0f,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, masked: bool, length: usize) -> Vec<u8> {
        let mut bytes = vec![opcode];
        let mask = if masked { 0x80 } else { 0 };
        match length {
            0..=125 => bytes.push(mask | u8::try_from(length).unwrap()),
            126..=0xffff => {
                bytes.push(mask | 0x7e);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask | 0x7f);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        if masked {
            bytes.extend([1, 2, 3, 4]);
        }
        // Payload that looks like headers, Close among them.
        bytes.extend([0x88, 0x02].iter().cycle().take(length));
        bytes
    }

    /// A fragmented message with control frames in between, and every form of length.
    fn stream(masked: bool) -> Vec<Vec<u8>> {
        vec![
            frame(0x01, masked, 5),
            frame(0x89, masked, 0),
            frame(0x00, masked, 126),
            frame(0x8a, masked, 125),
            frame(0x80, masked, 300),
            frame(0x82, masked, 0),
            frame(0x82, masked, 70_000),
            frame(0x81, masked, 1),
        ]
    }

    #[test]
    fn boundaries_are_found_byte_by_byte() {
        for masked in [false, true] {
            let mut tracker = FrameTracker::default();
            for frame in stream(masked) {
                assert!(tracker.at_boundary());
                for (index, byte) in frame.iter().enumerate() {
                    tracker.advance(&[*byte]);
                    assert_eq!(tracker.at_boundary(), index + 1 == frame.len());
                }
            }
            assert!(!tracker.close_seen(), "payload is not read as frames");
        }
    }

    #[test]
    fn any_split_gives_the_same_state() {
        for masked in [false, true] {
            let frames: Vec<_> = stream(masked)
                .into_iter()
                .filter(|f| f.len() < 500)
                .collect();
            let ends: Vec<_> = frames
                .iter()
                .scan(0, |sum, frame| {
                    *sum += frame.len();
                    Some(*sum)
                })
                .collect();
            let bytes = frames.concat();
            for split in 0..=bytes.len() {
                let (left, right) = bytes.split_at(split);
                let mut tracker = FrameTracker::default();
                tracker.advance(left);
                assert_eq!(tracker.at_boundary(), split == 0 || ends.contains(&split));
                let next = ends.iter().find(|end| **end >= split).unwrap() - split;
                let expected = if tracker.at_boundary() { 0 } else { next };
                assert_eq!(tracker.bytes_to_boundary(right), Some(expected));
                if expected > 0 {
                    assert_eq!(tracker.bytes_to_boundary(&right[..expected - 1]), None);
                }
                tracker.advance(right);
                assert!(tracker.at_boundary());
            }
        }
    }

    #[test]
    fn a_close_frame_is_seen_when_it_has_passed_whole() {
        for mask in [None, Some([9, 8, 7, 6])] {
            let mut tracker = FrameTracker::default();
            let close = close_frame(1000, "bye", mask);
            tracker.advance(&close[..close.len() - 1]);
            assert!(!tracker.close_seen());
            tracker.advance(&close[close.len() - 1..]);
            assert!(tracker.close_seen() && tracker.at_boundary());
        }
        let mut tracker = FrameTracker::default();
        tracker.advance(&frame(0x88, true, 0));
        assert!(tracker.close_seen());
    }

    #[test]
    fn an_impossible_length_is_never_a_boundary_again() {
        let mut tracker = FrameTracker::default();
        tracker.advance(&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]);
        tracker.advance(&[0; 4096]);
        assert!(!tracker.at_boundary());
        assert_eq!(tracker.bytes_to_boundary(&[0; 64]), None);
        let mut largest = FrameTracker::default();
        largest.advance(&[0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255]);
        largest.advance(&[0; 4096]);
        assert!(!largest.at_boundary());
    }

    #[test]
    fn close_frames_are_as_the_rfc_writes_them() {
        assert_eq!(close_frame(4401, "x", None), [0x88, 3, 0x11, 0x31, b'x']);
        assert_eq!(
            close_frame(1001, "", Some([1, 2, 3, 4])),
            [0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2]
        );
        let long = close_frame(1001, &"é".repeat(100), None);
        assert_eq!(long.len(), 2 + 2 + 122, "cut between characters");
    }
}
