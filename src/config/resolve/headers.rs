//! Header names that a configuration may choose, and those that it may not.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use http::HeaderName;

use super::Context;
use crate::config::types::KeyPath;

/// Names that belong to the protocol, to credentials or to the body (RFC 9110, RFC 6455).
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "www-authenticate",
];

/// Beginnings of such names.
const RESERVED_PREFIXES: &[&str] = &["access-control-", "content-", "sec-", "x-forwarded-"];

/// A name under which the gateway may write or read a value of its own.
pub(super) fn own_name(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<HeaderName> {
    let name = parse(text, at, cx)?;
    if is_reserved(name.as_str()) {
        cx.fault(
            at,
            format!("`{text}` belongs to the protocol or to credentials"),
            "choose a name of its own, such as X-Auth-…",
        );
        return None;
    }
    Some(name)
}

/// A name that clients may send.
pub(super) fn request_name(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<HeaderName> {
    own_name(text, at, cx)
}

/// A header name as RFC 9110 has it.
pub(super) fn parse(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<HeaderName> {
    let parsed = HeaderName::from_bytes(text.as_bytes()).ok();
    let parsed = parsed.map(|name| HeaderName::from_static(for_good(name.as_str())));
    if parsed.is_none() {
        cx.fault(
            at,
            format!("`{}` is not a header name", text.escape_debug()),
            "write letters, digits and `-`",
        );
    }
    parsed
}

/// A configured name as long as the process lives. Such a header name is copied without counting its
/// users, which all cores would do in one place with every request.
fn for_good(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.into());
    names.insert(name);
    name
}

/// Whether a name is not the configuration's to choose.
pub(super) fn is_reserved(lower: &str) -> bool {
    RESERVED.contains(&lower)
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
}

/// The form in which CGI-like servers cannot tell two names apart.
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.', ' '], "-")
}
