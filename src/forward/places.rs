//! What the upstream finds in the places where the client carried credentials.
//!
//! A place that the route does not accept proves nothing and is emptied. The others follow their
//! `forward`: as sent, nothing, or a fresh token in the app's own format, in that very place.

use http::HeaderValue;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, SEC_WEBSOCKET_PROTOCOL};

use crate::config::{Credential, CredentialPlace};
use crate::credential::rewrite;
use crate::wire::{CookieEdit, Cookies};

/// What becomes of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate<'a> {
    Keep,
    Remove,
    Replace(&'a str),
}

/// The parts of a request that hold places.
pub(super) struct Places<'r> {
    pub(super) headers: &'r mut HeaderMap,
    pub(super) cookies: &'r Cookies,
    pub(super) query: &'r mut Option<String>,
    /// The subprotocols that the client offered; `None` where it is no WebSocket handshake.
    pub(super) protocols: Option<&'r [String]>,
}

/// A value that cannot stand where it was to be put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fresh token cannot stand in its place")]
pub struct Misfit;

/// Rewrites every configured place by its fate.
pub(super) fn rewrite_all<'f>(
    places: &mut Places<'_>,
    credentials: &[Credential],
    fate: impl Fn(usize) -> Fate<'f>,
) -> Result<(), Misfit> {
    let mut cookies: Vec<(&str, CookieEdit<'_>)> = Vec::new();
    let mut protocols: Vec<(&str, Fate<'_>)> = Vec::new();
    for (index, credential) in credentials.iter().enumerate() {
        let fate = fate(index);
        match (&credential.place, fate) {
            (CredentialPlace::Bearer, Fate::Keep) => one_form(places.headers),
            (_, Fate::Keep) => {}
            (CredentialPlace::Bearer, Fate::Remove) => {
                places.headers.remove(AUTHORIZATION);
            }
            (CredentialPlace::Bearer, Fate::Replace(token)) => put_bearer(places.headers, token)?,
            (CredentialPlace::Cookie(name), fate) => {
                let edit = match fate {
                    Fate::Replace(token) => CookieEdit::Replace(token),
                    _ => CookieEdit::Remove,
                };
                cookies.push((name, edit));
            }
            // A token is no session: what is reissued goes elsewhere.
            (CredentialPlace::DjangoSession(name), _) => cookies.push((name, CookieEdit::Remove)),
            (CredentialPlace::Query(parameter), fate) => {
                // The place exists on WebSocket handshakes alone; elsewhere the query is the app's.
                if places.protocols.is_some()
                    && let Some(query) = places.query.take()
                {
                    *places.query = match fate {
                        Fate::Replace(token) => Some(rewrite::query_with(&query, parameter, token)),
                        _ => rewrite::query_without(&query, parameter),
                    };
                }
            }
            (CredentialPlace::WebSocketProtocol(prefix), fate) => protocols.push((prefix, fate)),
        }
    }
    if !cookies.is_empty() {
        match places.cookies.edited(&cookies) {
            Some(line) => places.headers.insert(COOKIE, sensitive(line)),
            None => places.headers.remove(COOKIE),
        };
    }
    if let (Some(offered), false) = (places.protocols, protocols.is_empty()) {
        let mut offered: Vec<String> = offered.to_vec();
        for (prefix, fate) in protocols {
            let names: Vec<&str> = offered.iter().map(String::as_str).collect();
            let line = match fate {
                Fate::Replace(token) => Some(rewrite::protocols_with(&names, prefix, token)),
                _ => rewrite::protocols_without(&names, prefix),
            };
            offered = line
                .iter()
                .flat_map(|line| line.split(", "))
                .map(str::to_owned)
                .collect();
        }
        if offered.is_empty() {
            places.headers.remove(SEC_WEBSOCKET_PROTOCOL);
        } else {
            let line = HeaderValue::from_str(&offered.join(", ")).map_err(|_| Misfit)?;
            places
                .headers
                .insert(SEC_WEBSOCKET_PROTOCOL, sensitive(line));
        }
    }
    Ok(())
}

/// Writes the scheme of a bearer token as every server reads it: Django compares it byte by byte.
fn one_form(headers: &mut HeaderMap) {
    let kept = headers
        .get(AUTHORIZATION)
        .filter(|line| !line.as_bytes().starts_with(b"Bearer "))
        .and_then(|line| line.to_str().ok())
        .and_then(|line| line.split_once(' '));
    if let Some((scheme, token)) = kept
        && scheme.eq_ignore_ascii_case("bearer")
    {
        let line = format!("Bearer {token}");
        // What came out of a header fits into one.
        let _ = put(headers, &line);
    }
}

/// Puts a bearer token in place of whatever Authorization there is: exactly `Bearer <token>`.
pub(super) fn put_bearer(headers: &mut HeaderMap, token: &str) -> Result<(), Misfit> {
    put(headers, &format!("Bearer {token}"))
}

fn put(headers: &mut HeaderMap, line: &str) -> Result<(), Misfit> {
    let line = HeaderValue::from_str(line).map_err(|_| Misfit)?;
    headers.insert(AUTHORIZATION, sensitive(line));
    Ok(())
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}
