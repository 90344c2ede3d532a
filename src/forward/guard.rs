//! The response guard: what a response must not say, and what it must.
//!
//! An upstream cannot write the gateway's headers for it, an answer to a member is nobody else's
//! to keep (RFC 9111, section 5.2.2), and a response whose end two parties could see in two places
//! is no response.

use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::hop::{self, Towards};
use super::names::{Reserved, remove};
use crate::wire::Seen;

/// Headers that instruct caches beside Cache-Control, and above it where they are understood
/// (RFC 9213, and what content networks used before it).
const TARGETED_CACHE: [&str; 4] = [
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "surrogate-control",
    "x-accel-expires",
];

/// What scripts of another origin may read off a response.
pub(crate) const EXPOSED: [&str; 4] = [
    "WWW-Authenticate",
    "X-Auth-Token-Stale",
    "X-Request-Id",
    "Retry-After",
];

/// Removes what ends at this hop and every name that only the gateway writes: identity, assertion,
/// echo, request id, `X-Auth-Token-Stale`. Read the echo headers before. `seen` says what `headers` have.
pub(crate) fn strip(headers: &mut HeaderMap, seen: Seen, reserved: &Reserved) {
    hop::strip(headers, seen, reserved, Towards::Client);
    remove(headers, |name| reserved.is_own(name));
}

/// Makes the response private to the client that asked. Without Cache-Control it is
/// `private, no-store`; otherwise `public` and `s-maxage` go and `private` comes.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    remove(headers, |name| TARGETED_CACHE.contains(&name.as_str()));
    let value = private(headers).unwrap_or(HeaderValue::from_static("private, no-store"));
    headers.insert(CACHE_CONTROL, value);
}

/// Adds `names` to `Vary`, which stays `*` where it is that. `line` is what they make alone.
pub(crate) fn vary(headers: &mut HeaderMap, names: &[HeaderName], line: Option<&HeaderValue>) {
    match line {
        Some(line) if !headers.contains_key(VARY) => {
            headers.insert(VARY, line.clone());
        }
        _ => add_members(headers, &VARY, names.iter().map(HeaderName::as_str)),
    }
}

/// Adds [`EXPOSED`] to `Access-Control-Expose-Headers` where the response takes part in CORS; `seen` is
/// what it came with.
pub(crate) fn expose(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::ACCESS_CONTROL_ALLOW_ORIGIN) {
        // A `*` is a mere name in a response to a request with credentials.
        add_members(headers, &ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The directives that remain, with `private`; `None` where there are none that can be read.
fn private(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    let mut any = false;
    let mut is_private = false;
    for line in headers.get_all(CACHE_CONTROL) {
        for directive in directives(line.to_str().ok()?)? {
            any = true;
            // `private="field"` hides a field and leaves the rest to shared caches.
            let qualified = directive.contains('=');
            let name = directive.split('=').next().unwrap_or_default().trim();
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            if is("public") || is("s-maxage") || (is("private") && (qualified || is_private)) {
                continue;
            }
            is_private |= is("private");
            kept.push(directive);
        }
    }
    if !any {
        return None;
    }
    if !is_private {
        kept.push("private");
    }
    HeaderValue::from_str(&kept.join(", ")).ok()
}

/// Splits at commas outside quoted strings; `None` where a quote stays open.
fn directives(line: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut quoted = false;
    let mut escaped = false;
    let mut start = 0;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                found.push(line.get(start..at)?.trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(line.get(start..)?.trim());
    found.retain(|directive| !directive.is_empty());
    (!quoted).then_some(found)
}

/// Adds members to a comma-separated list of names, once each, in one line.
fn add_members<'a>(
    headers: &mut HeaderMap,
    name: &HeaderName,
    members: impl IntoIterator<Item = &'a str>,
) {
    let mut list = String::new();
    for line in headers.get_all(name) {
        // A line that is not ASCII names no header.
        let present = line.to_str().unwrap_or_default().split(',').map(str::trim);
        for member in present.filter(|member| !member.is_empty()) {
            push_member(&mut list, member);
        }
    }
    let everything = *name == VARY && list.split(", ").any(|member| member == "*");
    if everything {
        "*".clone_into(&mut list);
    } else {
        for member in members {
            push_member(&mut list, member);
        }
    }
    if let (false, Ok(value)) = (list.is_empty(), HeaderValue::from_str(&list)) {
        headers.insert(name.clone(), value);
    }
}

fn push_member(list: &mut String, member: &str) {
    if list
        .split(", ")
        .any(|known| known.eq_ignore_ascii_case(member))
    {
        return;
    }
    if !list.is_empty() {
        list.push_str(", ");
    }
    list.push_str(member);
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::reserved;
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        let lines = headers.get_all(name).iter();
        lines.map(|line| line.to_str().unwrap()).collect()
    }

    #[test]
    fn b29_what_only_we_write_is_removed_from_responses() {
        let mut headers = headers(&[
            ("x-auth-user-id", "1"),
            ("x_auth_user_id", "1"),
            ("x-auth-email", "1"),
            ("x-acted-as-user", "1"),
            ("x-auth-token-stale", "account"),
            ("x-request-id", "theirs"),
            ("connection", "x-private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("server", "app"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("remote-user", "x"),
        ]);
        let seen = Seen::in_map(&headers);
        strip(&mut headers, seen, &reserved());
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["remote-user", "server", "set-cookie"]);
        assert_eq!(all(&headers, "set-cookie").len(), 2);
    }

    #[test]
    fn d9_e27_answers_to_members_are_private() {
        for (sent, kept) in [
            (&[][..], "private, no-store"),
            (&["no-store"], "no-store, private"),
            (&["max-age=60"], "max-age=60, private"),
            (&["Public, max-age=60"], "max-age=60, private"),
            (&["public"], "private"),
            (&["max-age=60, S-MAXAGE=600"], "max-age=60, private"),
            (&["public", "s-maxage=1, no-cache"], "no-cache, private"),
            (&["private"], "private"),
            (&["private, no-store"], "private, no-store"),
            (&["Private, public, private"], "Private"),
            (&["private=\"set-cookie\", max-age=5"], "max-age=5, private"),
            (
                &["no-cache=\"a, public\", public"],
                "no-cache=\"a, public\", private",
            ),
            (&[""], "private, no-store"),
            (&["public, x=\"open"], "private, no-store"),
            (&["publi\u{e9}"], "private, no-store"),
        ] {
            let lines: Vec<_> = sent.iter().map(|line| ("cache-control", *line)).collect();
            let mut headers = headers(&lines);
            headers.insert("cdn-cache-control", "max-age=600".parse().unwrap());
            keep_private(&mut headers);
            assert_eq!(all(&headers, "cache-control"), [kept], "{sent:?}");
            assert!(!headers.contains_key("cdn-cache-control"));
        }
    }

    #[test]
    fn e27_vary_names_every_place_once() {
        let places = [
            HeaderName::from_static("authorization"),
            HeaderName::from_static("cookie"),
        ];
        for (sent, merged) in [
            (&[][..], "authorization, cookie"),
            (&["Cookie"], "Cookie, authorization"),
            (
                &["accept", "COOKIE, accept"],
                "accept, COOKIE, authorization",
            ),
            (&["*"], "*"),
            (&["accept, *"], "*"),
        ] {
            let lines: Vec<_> = sent.iter().map(|line| ("vary", *line)).collect();
            let mut headers = headers(&lines);
            vary(
                &mut headers,
                &places,
                Some(&"authorization, cookie".parse().unwrap()),
            );
            assert_eq!(all(&headers, "vary"), [merged], "{sent:?}");
        }
    }

    #[test]
    fn cors_responses_expose_our_names() {
        let mut plain = headers(&[("content-type", "text/plain")]);
        let seen = Seen::in_map(&plain);
        expose(&mut plain, seen);
        assert!(!plain.contains_key("access-control-expose-headers"));
        let mut cors = headers(&[
            ("access-control-allow-origin", "https://a.example"),
            ("access-control-expose-headers", "X-App, x-request-id"),
        ]);
        let seen = Seen::in_map(&cors);
        expose(&mut cors, seen);
        assert_eq!(
            all(&cors, "access-control-expose-headers"),
            ["X-App, x-request-id, WWW-Authenticate, X-Auth-Token-Stale, Retry-After"]
        );
    }
}
