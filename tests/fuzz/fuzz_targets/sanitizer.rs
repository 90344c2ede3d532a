//! The sanitiser: whatever a stranger sends, nothing is left that only the gateway may say, in any
//! spelling that some server would fold to it.
//!
//! Input: lines of `name: value`.
#![no_main]

use std::sync::LazyLock;

use countersign::config::Config;
use countersign::forward::{Forwarder, RequestBody};
use countersign_fuzz::{configuration, connection, head, line, read};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Version};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<Config> = LazyLock::new(configuration);
static FORWARDER: LazyLock<Forwarder> = LazyLock::new(|| Forwarder::build(&CONFIG, None, None));

/// What the gateway writes in this step; each has one line, of its own making.
const WRITTEN: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
    "via",
];

const RESERVED: [&str; 26] = [
    "x-auth-user-id",
    "x-auth-account-id",
    "x-auth-tenant-id",
    "x-auth-roles",
    "x-auth-credential",
    "x-auth-email",
    "x-auth-token-stale",
    "x-acted-as-user",
    "x-acted-as-account",
    "x-acted-as-tenant",
    "x-tenant-id",
    "x-real-ip",
    "proxy",
    "script-name",
    "path-info",
    "daphne-root-path",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    // Hop by hop.
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

const FAMILIES: [&str; 6] = [
    "remote-",
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
    "x-envoy-",
    "x-ssl-client-",
];

fuzz_target!(|data: &[u8]| {
    let mut parts = head(b"GET", b"/", Version::HTTP_11).expect("a head");
    parts.headers.insert(HOST, HeaderValue::from_static("a.example"));
    let mut rest = data;
    while !rest.is_empty() {
        let one;
        (one, rest) = line(rest);
        let Some(colon) = one.iter().position(|byte| *byte == b':') else { continue };
        let Ok(name) = HeaderName::from_bytes(&one[..colon]) else { continue };
        let Ok(value) = HeaderValue::from_bytes(one[colon + 1..].trim_ascii()) else { continue };
        if parts.headers.try_append(name, value).is_err() {
            return;
        }
    }
    let sent = parts.headers.clone();
    let Ok(raw) = read(parts, false, &CONFIG) else { return };
    let id = raw.request_id().to_string();
    let nominated = nominated(&sent);
    let clean = FORWARDER.sanitize(raw, RequestBody::empty().0, &connection());
    let headers = clean.headers();
    for name in headers.keys() {
        let name = name.as_str();
        if WRITTEN.contains(&name) {
            continue;
        }
        let folded = name.to_ascii_lowercase().replace(['_', '.', ' '], "-");
        assert!(!name.contains('_'), "{name}");
        assert!(!RESERVED.contains(&&*folded), "{name}");
        assert!(!WRITTEN.contains(&&*folded) || folded == "via", "{name}");
        assert!(
            !FAMILIES.iter().any(|family| folded.starts_with(family)),
            "{name}"
        );
        if name != folded {
            // An alias of what frames the message, or of a credential.
            assert!(!folded.starts_with("content-"), "{name}");
            assert!(!["authorization", "cookie", "host"].contains(&&*folded), "{name}");
        }
        let protected = name.starts_with("content-")
            || ["authorization", "cookie", "host"].contains(&name);
        assert!(protected || !nominated.iter().any(|other| other == name), "{name}");
        // What is left is what was sent.
        let (before, after) = (sent.get_all(name), headers.get_all(name));
        match name {
            "trailer" => {}
            // All lines are one (RFC 9113, section 8.2.3).
            "cookie" => {
                let lines: Vec<&[u8]> = before.iter().map(HeaderValue::as_bytes).collect();
                assert!(after.iter().eq([&lines.join(&b"; "[..])[..]]), "{name}");
            }
            _ => assert!(before.iter().eq(after.iter()), "{name}"),
        }
    }
    for name in ["authorization", "content-type", "content-length"] {
        assert_eq!(
            sent.get_all(name).iter().count(),
            headers.get_all(name).iter().count(),
            "{name}"
        );
    }
    let one = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        let first = lines.next().and_then(|line| line.to_str().ok());
        assert!(lines.next().is_none(), "two lines of {name}");
        first.unwrap_or_default().to_owned()
    };
    assert_eq!(one("forwarded"), "for=192.0.2.1;host=a.example;proto=http");
    assert_eq!(one("x-forwarded-for"), "192.0.2.1");
    assert_eq!(one("x-forwarded-proto"), "http");
    assert_eq!(one("x-forwarded-host"), "a.example");
    assert_eq!(one("x-request-id"), id);
});

/// Every name on a `Connection` line, as the most generous reader would find it.
fn nominated(headers: &http::HeaderMap) -> Vec<String> {
    headers
        .get_all("connection")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect()
}
