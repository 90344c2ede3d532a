//! Via: the name under which this process signs what it forwards (RFC 9110, section 7.6.3).
//!
//! The pseudonym is fresh at every start, so that a request which carries it has been here before:
//! an upstream that leads back to the gateway is found out at the second visit.

use std::sync::LazyLock;

use http::HeaderMap;
use http::header::VIA;

use super::request_id::random_hex;

static PSEUDONYM: LazyLock<String> = LazyLock::new(|| format!("countersign-{}", random_hex::<8>()));

/// This process in a `Via` header: `countersign-` and 8 hexadecimal digits.
#[must_use]
pub fn pseudonym() -> &'static str {
    &PSEUDONYM
}

/// Whether the request has been through this process before.
pub(super) fn seen_before(headers: &HeaderMap) -> bool {
    let name = pseudonym().as_bytes();
    headers.get_all(VIA).iter().any(|line| {
        line.as_bytes()
            .windows(name.len())
            .any(|part| part.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_only_our_own_pseudonym_is_a_loop() {
        let mut headers = HeaderMap::new();
        headers.append(VIA, "1.1 other, 1.1 countersign-zzzzzzzz".parse().unwrap());
        assert!(!seen_before(&headers));
        headers.append(
            VIA,
            format!("1.0 fred, 2.0 {} (x)", pseudonym())
                .parse()
                .unwrap(),
        );
        assert!(seen_before(&headers));
    }
}
