//! Boundaries of the PROXY protocol's reading, and that it never asks for a byte too many.

use super::*;

fn complete(bytes: &[u8]) -> (usize, Option<String>) {
    match ProxyHeader::read(bytes) {
        Ok(ProxyHeader::Complete { length, source }) => {
            (length, source.map(|source| source.to_string()))
        }
        other => panic!("{other:?} for {}", bytes.escape_ascii()),
    }
}

fn refused(bytes: &[u8]) -> ProxyHeaderError {
    ProxyHeader::read(bytes).expect_err(&bytes.escape_ascii().to_string())
}

fn v2(command: u8, family: u8, announced: usize, block: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(announced).unwrap().to_be_bytes());
    bytes.extend(block);
    bytes
}

const IPV4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

/// Reads as a socket would: exactly as many bytes as are asked for.
fn fed(stream: &[u8]) -> Result<(usize, Option<SocketAddr>), ProxyHeaderError> {
    let mut taken = 0;
    loop {
        match ProxyHeader::read(&stream[..taken])? {
            ProxyHeader::More(count) => {
                assert!(count > 0);
                taken += count;
                assert!(taken <= ProxyHeader::MOST_BYTES);
                if taken > stream.len() {
                    return Err(ProxyHeaderError::Absent);
                }
            }
            ProxyHeader::Complete { length, source } => {
                assert_eq!(length, taken, "a byte of what follows was taken");
                return Ok((length, source));
            }
        }
    }
}

#[test]
fn b15_version_1_announces_its_source() {
    for (line, expected) in [
        (
            "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
            Some("203.0.113.7:4711"),
        ),
        (
            "PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n",
            Some("[2001:db8::7]:0"),
        ),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN whatever it says\r\n", None),
    ] {
        let (length, source) = complete(line.as_bytes());
        assert_eq!(length, line.len());
        assert_eq!(source.as_deref(), expected);
        let followed = format!("{line}GET / HTTP/1.1\r\n\r\n");
        let (taken, source) = fed(followed.as_bytes()).unwrap();
        assert_eq!(taken, line.len());
        assert_eq!(source.map(|s| s.to_string()).as_deref(), expected);
    }
}

#[test]
fn b15_version_1_in_any_other_form_is_refused() {
    for line in [
        "PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443 9\r\n",
        "PROXY TCP4  203.0.113.7 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443 \r\n",
        "PROXY TCP4 203.0.113.07 10.0.0.1 4711 443\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 04711 443\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 +4711 443\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 203.0.113.7 10.0.0.1 4711 -1\r\n",
        "PROXY TCP4 203.0.113.7 ::1 4711 443\r\n",
        "PROXY TCP4 ::1 ::1 4711 443\r\n",
        "PROXY TCP6 203.0.113.7 ::1 4711 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
        "PROXY tcp4 203.0.113.7 10.0.0.1 4711 443\r\n",
        "PROXY UDP4 203.0.113.7 10.0.0.1 4711 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY  UNKNOWN\r\n",
        "PROXY \r\n",
        "PROXY UNKNOWN \u{e9}\r\n",
        "PROXY UNKNOWN\nGET / HTTP/1.1\r\n",
        "PROXY UNKNOWN\rGET / HTTP/1.1\r\n",
        "PROXY UNKNOWN\0\r\n",
    ] {
        assert_eq!(refused(line.as_bytes()), ProxyHeaderError::Line, "{line:?}");
    }
}

#[test]
fn b15_what_is_not_a_header_is_refused_at_its_first_byte() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0",
        b"proxy",
        b"PROXYTCP4",
        b" PROXY",
        b"\r\n\r\n\0\r\nQUIX",
        b"\r\nPROXY UNKNOWN\r\n",
        b"\0",
    ] {
        assert_eq!(refused(bytes), ProxyHeaderError::Absent);
    }
    assert_eq!(ProxyHeader::read(b""), Ok(ProxyHeader::More(SHORTEST)));
}

#[test]
fn b15_version_1_ends_at_107_bytes() {
    let of = |length: usize| {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(length - 2, b'x');
        line.extend(b"\r\n");
        line
    };
    assert_eq!(complete(&of(107)).0, 107);
    assert!(fed(&of(107)).is_ok());
    assert_eq!(refused(&of(108)), ProxyHeaderError::TooLong);
    assert_eq!(fed(&of(108)), Err(ProxyHeaderError::TooLong));
    assert_eq!(fed(&of(5000)), Err(ProxyHeaderError::TooLong));
}

#[test]
fn b15_version_2_announces_its_source() {
    let mut ipv6 = Vec::new();
    ipv6.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    ipv6.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
    ipv6.extend([0x12, 0x67, 0x01, 0xbb]);
    for (header, expected) in [
        (v2(0x21, 0x11, 12, &IPV4), Some("203.0.113.7:4711")),
        (v2(0x21, 0x21, 36, &ipv6), Some("[2001:db8::7]:4711")),
        (v2(0x20, 0x00, 0, &[]), None),
        (v2(0x20, 0x11, 12, &IPV4), None),
        (v2(0x20, 0x31, 216, &[0; 216]), None),
        (v2(0x21, 0x00, 0, &[]), None),
        (v2(0x21, 0x00, 9, &[0xff; 9]), None),
    ] {
        assert_eq!(complete(&header).0, header.len());
        assert_eq!(complete(&header).1.as_deref(), expected);
        let mut followed = header.clone();
        followed.extend(b"\x16\x03\x01 and so on");
        let (taken, source) = fed(&followed).unwrap();
        assert_eq!(taken, header.len());
        assert_eq!(source.map(|s| s.to_string()).as_deref(), expected);
    }
}

#[test]
fn b15_tlvs_are_skipped_unread_up_to_4_kib() {
    for (count, fits) in [(1, true), (4096, true), (4097, false), (65_000, false)] {
        let mut block = IPV4.to_vec();
        block.resize(12 + count, 0xff);
        let header = v2(0x21, 0x11, block.len(), &block);
        if fits {
            assert_eq!(complete(&header).1.as_deref(), Some("203.0.113.7:4711"));
        } else {
            // Before any of them is read.
            assert_eq!(refused(&header[..16]), ProxyHeaderError::TooLong);
        }
    }
    assert_eq!(
        refused(&v2(0x20, 0, 65_535, &[])),
        ProxyHeaderError::TooLong
    );
}

#[test]
fn b15_version_2_in_any_other_form_is_refused() {
    for (command, family, announced, expected) in [
        (0x21, 0x31, 216, ProxyHeaderError::Family),
        (0x21, 0x32, 216, ProxyHeaderError::Family),
        (0x21, 0x12, 12, ProxyHeaderError::Family),
        (0x21, 0x22, 36, ProxyHeaderError::Family),
        (0x21, 0x10, 12, ProxyHeaderError::Family),
        (0x21, 0x41, 12, ProxyHeaderError::Family),
        (0x21, 0x01, 0, ProxyHeaderError::Family),
        (0x21, 0x11, 11, ProxyHeaderError::Binary),
        (0x21, 0x21, 35, ProxyHeaderError::Binary),
        (0x21, 0x11, 0, ProxyHeaderError::Binary),
        (0x22, 0x11, 12, ProxyHeaderError::Binary),
        (0x11, 0x11, 12, ProxyHeaderError::Binary),
        (0x31, 0x11, 12, ProxyHeaderError::Binary),
        (0x01, 0x11, 12, ProxyHeaderError::Binary),
    ] {
        assert_eq!(refused(&v2(command, family, announced, &[])), expected);
    }
}

#[test]
fn b15_a_truncated_header_is_never_complete() {
    let headers: [&[u8]; 3] = [
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
        &v2(0x21, 0x11, 15, &[&IPV4[..], &[4, 0, 0]].concat()),
        &v2(0x20, 0x00, 3, &[4, 0, 0]),
    ];
    for header in headers {
        for end in 0..header.len() {
            let read = ProxyHeader::read(&header[..end]);
            let Ok(ProxyHeader::More(count)) = read else {
                panic!("{read:?} after {end}");
            };
            assert!(
                count >= 1 && end + count <= header.len(),
                "{count} after {end}"
            );
        }
    }
}
