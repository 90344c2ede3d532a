//! The PROXY header: read as a socket would hand it over, it takes no byte too many, is complete or
//! refused within its bound, and what it announces is what a version 1 line spells.
#![no_main]

use countersign::wire::ProxyHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut taken = 0;
    let incremental = loop {
        match ProxyHeader::read(&data[..taken]) {
            Ok(ProxyHeader::More(count)) => {
                assert!(count > 0);
                assert!(taken + count <= ProxyHeader::MOST_BYTES);
                if taken + count > data.len() {
                    break None;
                }
                taken += count;
            }
            Ok(ProxyHeader::Complete { length, source }) => {
                assert_eq!(length, taken, "a byte of what follows was taken");
                break Some(source);
            }
            Err(_) => break None,
        }
    };
    // All at once it is the same.
    match (ProxyHeader::read(data), incremental) {
        (Ok(ProxyHeader::Complete { length, source }), Some(announced)) => {
            assert_eq!((length, source), (taken, announced));
        }
        (Ok(ProxyHeader::Complete { .. }), None) => panic!("complete only all at once"),
        (_, Some(_)) => panic!("complete only in pieces"),
        (_, None) => {}
    }
    let Some(source) = incremental else { return };
    let header = &data[..taken];
    if let Some(line) = header.strip_prefix(b"PROXY ") {
        let text = std::str::from_utf8(line).expect("ASCII").trim_end_matches("\r\n");
        assert!(taken <= 107 && !text.contains(['\r', '\n']));
        let fields: Vec<&str> = text.split(' ').collect();
        match source {
            None => assert_eq!(fields[0], "UNKNOWN"),
            Some(source) => {
                assert_eq!(fields.len(), 5);
                assert_eq!(fields[1].parse::<std::net::IpAddr>(), Ok(source.ip()));
                assert_eq!(fields[3], source.port().to_string());
                assert_eq!(fields[0], if source.is_ipv4() { "TCP4" } else { "TCP6" });
            }
        }
    } else {
        assert_eq!(header[..12], *b"\r\n\r\n\0\r\nQUIT\n");
        assert_eq!(taken, 16 + usize::from(u16::from_be_bytes([header[14], header[15]])));
        let expected = match (header[12], header[13]) {
            (0x21, 0x11) => Some(4),
            (0x21, 0x21) => Some(16),
            (0x20, _) | (0x21, 0) => None,
            other => panic!("{other:?} was accepted"),
        };
        assert_eq!(source.is_some(), expected.is_some());
        if let (Some(source), Some(width)) = (source, expected) {
            let octets = match source.ip() {
                std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
                std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            assert_eq!(octets, header[16..16 + width]);
            let port = 16 + 2 * width;
            assert_eq!(source.port().to_be_bytes(), header[port..port + 2]);
        }
    }
});
