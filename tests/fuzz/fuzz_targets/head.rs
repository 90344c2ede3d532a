//! Path and authority: a head that is accepted has one reading, which is a fixed point, and no form
//! that must be refused has survived in it.
//!
//! Input: `method LF target LF host [LF]`, the first byte of the method choosing the version.
#![no_main]

use std::sync::LazyLock;

use countersign::config::{Config, PathAllowances};
use countersign::wire::CanonicalPath;
use countersign_fuzz::{configuration, head, line, read};
use http::header::HOST;
use http::{HeaderValue, Version};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<Config> = LazyLock::new(configuration);

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let version = match kind % 4 {
        0 => Version::HTTP_2,
        1 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let (method, rest) = line(rest);
    let (target, rest) = line(rest);
    let (host, more) = line(rest);
    // A configured path is read by the same rules.
    if let Ok(text) = std::str::from_utf8(target)
        && let Ok(path) = CanonicalPath::parse(text)
    {
        check_path(&path);
    }
    let Some(mut parts) = head(method, target, version) else { return };
    let hosts: Vec<&[u8]> = match kind / 64 {
        0 => vec![],
        1 => vec![host, more],
        _ => vec![host],
    };
    for host in hosts {
        let Ok(value) = HeaderValue::from_bytes(host) else { return };
        parts.headers.append(HOST, value);
    }
    let before = parts.clone();
    let Ok(raw) = read(parts, false, &CONFIG) else { return };
    assert_eq!(*raw.method(), before.method);
    assert!(!["CONNECT", "TRACE"].contains(&raw.method().as_str()));
    check_path(raw.path());

    let authority = raw.host().authority().to_owned();
    check_authority(&authority);
    let sent: Vec<_> = before.headers.get_all(HOST).iter().collect();
    assert!(sent.len() <= 1, "two Hosts were accepted");
    // Whatever named the host names this one.
    for named in sent
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .chain(before.uri.authority().map(ToString::to_string))
    {
        let plain = named.to_ascii_lowercase();
        let plain = plain.strip_suffix(":80").unwrap_or(&plain);
        let (name, port) = match plain.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, Some(port)),
            _ => (plain, None),
        };
        if !name.starts_with('[') {
            let name = name.strip_suffix('.').unwrap_or(name);
            let spelled = port.map_or(name.to_owned(), |port| format!("{name}:{port}"));
            assert_eq!(spelled, authority, "{named:?} was read as {authority:?}");
        }
    }
    // What is forwarded is read as the same request.
    let mut target = raw.path().as_str().to_owned();
    if let Some(query) = raw.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut again = head(method, target.as_bytes(), Version::HTTP_11).expect("a head");
    let value = HeaderValue::from_str(&authority).expect("a value");
    again.headers.insert(HOST, value);
    let again = read(again, false, &CONFIG).unwrap_or_else(|bad| panic!("{:?}", bad.error));
    assert_eq!(again.host().authority(), authority);
    assert_eq!(again.path(), raw.path());
    assert_eq!(again.query(), raw.query());
});

fn check_authority(authority: &str) {
    assert!(!authority.is_empty() && authority.len() <= 253 + 6);
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:[]".contains(&byte)
    };
    assert!(authority.bytes().all(plain), "{authority:?}");
    assert!(!authority.ends_with('.') && !authority.ends_with(":80"));
}

fn check_path(path: &CanonicalPath) {
    let text = path.as_str();
    assert!(text.starts_with('/'), "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    assert!(!text.contains(['\\', '?', '#', '"', '<', '>', '`']), "{text:?}");
    let again = CanonicalPath::parse(text).expect("the canonical form is accepted");
    assert_eq!(again.as_str(), text, "not a fixed point");
    assert_eq!(again.forms(), path.forms());
    assert_eq!(again.alternative(), path.alternative());

    // No reader, however eager, finds a dot segment, a control character or bytes that are not
    // text.
    let mut reading = text.as_bytes().to_vec();
    for _ in 0..6 {
        let folded: Vec<u8> = reading
            .iter()
            .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
            .collect();
        for segment in folded.split(|byte| *byte == b'/') {
            let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
            assert!(name != b"." && name != b"..", "a dot segment in {text:?}");
        }
        assert!(!reading.iter().any(u8::is_ascii_control), "a control in {text:?}");
        assert!(std::str::from_utf8(&reading).is_ok(), "not UTF-8: {text:?}");
        reading = decoded(&reading);
    }
    let PathAllowances {
        encoded_slash,
        encoded_backslash,
        semicolon,
        double_slash,
        double_encoding,
    } = path.forms();
    let upper = text.to_ascii_uppercase();
    assert_eq!(text.contains("//"), double_slash, "{text:?}");
    if text.contains(';') {
        assert!(semicolon, "{text:?}");
    }
    if upper.contains("%2F") {
        assert!(encoded_slash, "{text:?}");
    }
    if upper.contains("%5C") {
        assert!(encoded_backslash, "{text:?}");
    }
    let doubly = upper.match_indices("%25").any(|(at, _)| {
        upper.as_bytes()[at + 3..].iter().take(2).filter(|b| b.is_ascii_hexdigit()).count() == 2
    });
    if doubly {
        assert!(double_encoding, "{text:?}");
    }
    // What has one reading has no escape of a character that needs none.
    for (at, _) in text.match_indices('%') {
        let value = u8::from_str_radix(&text[at + 1..at + 3], 16).expect("two digits");
        assert!(
            !(value.is_ascii_alphanumeric() || b"-._~".contains(&value)),
            "an escape that needs none in {text:?}"
        );
        assert_eq!(&text[at..at + 3], &upper[at..at + 3]);
    }
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let pair = text.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = pair
            .filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match value {
            Some(value) if text[at] == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}
