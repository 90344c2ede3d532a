//! Cookies, against a plain writing of Django's `parse_cookie` and `http.cookies._unquote`: what the
//! app would see under a name is what the gateway saw, was refused, or was taken away.
//!
//! Input: `name LF replacement LF cookie line LF cookie line …`.
#![no_main]

use std::sync::LazyLock;

use countersign::config::Config;
use countersign::wire::CookieEdit;
use countersign_fuzz::{configuration, head, line, read};
use http::header::{COOKIE, HOST};
use http::{HeaderValue, Version};
use libfuzzer_sys::fuzz_target;

static CONFIG: LazyLock<Config> = LazyLock::new(configuration);

fuzz_target!(|data: &[u8]| {
    let (name, rest) = line(data);
    let (replacement, mut rest) = line(rest);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_!".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return;
    }
    let mut parts = head(b"GET", b"/", Version::HTTP_11).expect("a head");
    parts.headers.insert(HOST, HeaderValue::from_static("a.example"));
    let mut all = Vec::new();
    while !rest.is_empty() {
        let one;
        (one, rest) = line(rest);
        let Ok(value) = HeaderValue::from_bytes(one) else { return };
        if !all.is_empty() {
            all.extend_from_slice(b"; ");
        }
        all.extend_from_slice(one);
        parts.headers.append(COOKIE, value);
    }
    let Ok(raw) = read(parts, false, &CONFIG) else { return };
    let cookies = raw.cookies();
    let django = parse_cookie(&all);
    let values: Vec<&String> = named(&django, name).collect();
    // What some server could still strip to that name is the same cookie to the gateway.
    let also = django.iter().filter(|(other, _)| is_alias(other, name)).count();
    match cookies.one(name) {
        Ok(None) => assert_eq!((values.len(), also), (0, 0), "the app sees {values:?}"),
        Err(_) => assert!(values.len() + also > 1, "refused, but the app sees {values:?}"),
        Ok(Some(seen)) => {
            assert!(values.len() + also > 0, "the app sees nothing");
            for value in &values {
                // Python strips spaces that are not ASCII; to the gateway they are part of a value
                // that no credential can have.
                assert!(
                    **value == seen || !seen.is_ascii(),
                    "the app sees {value:?}, the gateway {seen:?}"
                );
            }
        }
    }
    let others = |line: Option<HeaderValue>| {
        let line = line.map(|line| line.as_bytes().to_vec()).unwrap_or_default();
        let all = parse_cookie(&line);
        let same: Vec<String> = named(&all, name).cloned().collect();
        (same, unnamed(&all, name))
    };
    let before = unnamed(&django, name);
    let (same, rest) = others(cookies.edited(&[(name, CookieEdit::Remove)]));
    assert_eq!((same.len(), &rest), (0, &before), "after removal");
    let (_, rest) = others(cookies.edited(&[(name, CookieEdit::Keep)]));
    assert_eq!(rest, before, "after nothing");
    let text = std::str::from_utf8(replacement).unwrap_or_default();
    if !text.is_empty() && text.bytes().all(|byte| token(byte) || byte == b'.') {
        let (same, rest) = others(cookies.edited(&[(name, CookieEdit::Replace(text))]));
        assert_eq!(rest, before, "after replacement");
        let none = values.len() + also == 0;
        let wanted: &[String] = if none { &[] } else { &[text.to_owned()] };
        assert_eq!(same, wanted, "after replacement");
    }
});

fn named<'a>(all: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a String> {
    all.iter().filter(move |(other, _)| other == name).map(|(_, value)| value)
}

/// Whether a name is this one but for what is not ASCII at its ends.
fn is_alias(other: &str, name: &str) -> bool {
    let outer = |c: char| !c.is_ascii() || c.is_whitespace();
    other != name && other.trim_matches(outer) == name
}

fn unnamed(all: &[(String, String)], name: &str) -> Vec<(String, String)> {
    let other = |(other, _): &&(String, String)| other != name && !is_alias(other, name);
    all.iter().filter(other).cloned().collect()
}

/// `django.http.cookie.parse_cookie`, with every pair instead of the last of each name.
fn parse_cookie(header: &[u8]) -> Vec<(String, String)> {
    let text: String = header.iter().copied().map(char::from).collect();
    let mut all = Vec::new();
    for chunk in text.split(';') {
        let (key, value) = chunk.split_once('=').unwrap_or(("", chunk));
        // U+0085 and U+00A0 are spaces to both languages.
        let (key, value) = (key.trim(), value.trim());
        if !key.is_empty() || !value.is_empty() {
            all.push((key.to_owned(), unquote(value)));
        }
    }
    all
}

/// `http.cookies._unquote` of CPython 3.13: `\\(?:([0-3][0-7][0-7])|(.))`.
fn unquote(text: &str) -> String {
    let inner: Vec<char> = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.chars().collect(),
        None => return text.to_owned(),
    };
    let mut out = String::new();
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != '\\' || at + 1 == inner.len() {
            out.push(inner[at]);
            at += 1;
            continue;
        }
        let octal: String = inner[at + 1..].iter().take(3).collect();
        let is_octal = octal.len() == 3
            && octal.starts_with(['0', '1', '2', '3'])
            && octal.chars().all(|digit| ('0'..='7').contains(&digit));
        if is_octal {
            let number = u32::from_str_radix(&octal, 8).expect("octal");
            out.push(char::from_u32(number).expect("below 256"));
            at += 4;
        } else {
            out.push(inner[at + 1]);
            at += 2;
        }
    }
    out
}
