//! Finder: the one reading of the places where a request may carry a credential.
//!
//! Every place that the route accepts is read, in the file's order; none hides another. A place
//! that is configured but not accepted by the route is only held to having one value. An
//! Authorization whose scheme nobody accepts is malformed, never "no credential".

use std::borrow::Cow;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use smol_str::SmolStr;

use super::carried::Carried;
use super::rewrite::{decoded, parameters, query_without};
use crate::config::{Credential, CredentialPlace};
use crate::reason::Reason;

/// Longest token in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a request's credentials cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A credential is there and is not one.
    #[error("{0}")]
    Malformed(&'static str),
    /// A place holds two credentials.
    #[error("{0}")]
    Ambiguous(&'static str),
}

impl CredentialError {
    /// The reason of the refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::CredentialMalformed,
            Self::Ambiguous(_) => Reason::AmbiguousRequest,
        }
    }
}

/// A cookie name that stands in the request more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedCookie;

/// Reads the one value of a cookie.
pub type CookieOf<'a> = &'a dyn Fn(&str) -> Result<Option<Cow<'a, str>>, RepeatedCookie>;

/// The parts of a request that can carry a credential.
pub struct Carriers<'a> {
    /// The header section.
    pub headers: &'a HeaderMap,
    /// The one value of the cookie of this name.
    pub cookie: CookieOf<'a>,
    /// The raw query, without the question mark.
    pub query: Option<&'a str>,
    /// The offered subprotocols of a WebSocket handshake; `None` where it is none.
    pub websocket: Option<&'a [&'a str]>,
}

/// What stands in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A token.
    Token,
    /// The key of a session, or a session that is its own cookie.
    Session,
}

/// One token or session, found in one place; nothing about it is verified.
#[derive(Debug, Clone)]
pub struct PresentedToken {
    /// Index into the configuration's `credentials`.
    pub credential: usize,
    /// The credential's name.
    pub name: SmolStr,
    /// What it is.
    pub form: Form,
    /// The token, or the session cookie's value.
    pub token: Carried,
    /// Whether a browser attaches it by itself.
    pub rests_on_cookie: bool,
}

/// Everything that a request carries, in the file's order; empty when it carries nothing.
#[derive(Debug, Clone, Default)]
pub struct Presented {
    tokens: Vec<PresentedToken>,
}

impl Presented {
    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &[PresentedToken] {
        &self.tokens
    }

    /// Whether the request carries no credential.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// Reads requests' credentials.
#[derive(Debug)]
pub struct Finder {
    places: Vec<Place>,
    bearer_configured: bool,
}

#[derive(Debug)]
struct Place {
    name: SmolStr,
    place: CredentialPlace,
}

impl Finder {
    /// A finder for these places.
    #[must_use]
    pub fn build(credentials: &[Credential]) -> Self {
        Self {
            places: credentials
                .iter()
                .map(|credential| Place {
                    name: credential.name.clone(),
                    place: credential.place.clone(),
                })
                .collect(),
            bearer_configured: credentials
                .iter()
                .any(|credential| credential.place == CredentialPlace::Bearer),
        }
    }

    /// Refuses two credentials in one configured place, whatever the route accepts: the app could read
    /// the other one. (Two Authorization lines are refused where the head is read.)
    pub fn refuse_repeated(&self, carriers: &Carriers<'_>) -> Result<(), CredentialError> {
        for place in &self.places {
            match &place.place {
                CredentialPlace::Bearer => {}
                CredentialPlace::Cookie(name) | CredentialPlace::DjangoSession(name) => {
                    cookie(carriers, name)?;
                }
                CredentialPlace::Query(parameter) => {
                    parameter_of(carriers, parameter)?;
                }
                CredentialPlace::WebSocketProtocol(prefix) => {
                    subprotocol(carriers, prefix)?;
                }
            }
        }
        Ok(())
    }

    /// What `carriers` hold in the places whose indices are `accepted` (in the file's order).
    pub fn find(
        &self,
        carriers: &Carriers<'_>,
        accepted: &[usize],
    ) -> Result<Presented, CredentialError> {
        let bearer = self.bearer(carriers.headers)?;
        let mut tokens = Vec::new();
        for (index, place) in accepted
            .iter()
            .filter_map(|index| Some((*index, self.places.get(*index)?)))
        {
            let found = match &place.place {
                CredentialPlace::Bearer => bearer.map(Found::InLine),
                CredentialPlace::Cookie(name) | CredentialPlace::DjangoSession(name) => {
                    cookie(carriers, name)?.map(Found::Text)
                }
                CredentialPlace::Query(parameter) => query(carriers, parameter)?.map(Found::Text),
                CredentialPlace::WebSocketProtocol(prefix) => {
                    let found = subprotocol(carriers, prefix)?;
                    found.map(|token| Found::Text(Cow::Borrowed(token)))
                }
            };
            if let Some(found) = found {
                let form = match &place.place {
                    CredentialPlace::DjangoSession(_) => Form::Session,
                    _ => Form::Token,
                };
                let text = found.text();
                if text.len() > MAX_TOKEN_BYTES {
                    return Err(CredentialError::Malformed("the credential exceeds 16 KiB"));
                }
                // Whatever no store knows is a dead session, not a malformed request.
                if form == Form::Token && !is_b64token(text) {
                    return Err(CredentialError::Malformed("the token is not a b64token"));
                }
                tokens.push(PresentedToken {
                    credential: index,
                    name: place.name.clone(),
                    form,
                    token: found.into_carried(),
                    rests_on_cookie: place.place.cookie().is_some(),
                });
            }
        }
        Ok(Presented { tokens })
    }

    /// A query without the parameters that can carry a credential; `None` when nothing is left.
    #[must_use]
    pub fn without_tokens(&self, query: &str) -> Option<String> {
        let mut left = Some(query.to_owned());
        for place in &self.places {
            if let CredentialPlace::Query(parameter) = &place.place {
                left = left.and_then(|query| query_without(&query, parameter));
            }
        }
        left
    }

    /// The token of `Authorization: Bearer` (RFC 6750, section 2.1; the scheme's case does not
    /// matter, RFC 9110, section 11.1).
    fn bearer<'a>(&self, headers: &'a HeaderMap) -> Result<Option<InLine<'a>>, CredentialError> {
        let mut lines = headers.get_all(AUTHORIZATION).iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(CredentialError::Ambiguous("two Authorization lines"));
        }
        // What is no text is no token either, which is found out with its other characters.
        let (scheme, start) = memchr::memchr(b' ', line.as_bytes())
            .and_then(|space| Some((line.as_bytes().get(..space)?, space + 1)))
            .filter(|_| line.as_bytes().is_ascii())
            .ok_or(CredentialError::Malformed(
                "the Authorization is not a scheme, one space and a token",
            ))?;
        if !scheme.eq_ignore_ascii_case(b"bearer") || !self.bearer_configured {
            return Err(CredentialError::Malformed(
                "the Authorization scheme is not accepted",
            ));
        }
        Ok(Some(InLine { line, start }))
    }
}

fn cookie<'a>(
    carriers: &Carriers<'a>,
    name: &str,
) -> Result<Option<Cow<'a, str>>, CredentialError> {
    let value = (carriers.cookie)(name)
        .map_err(|RepeatedCookie| CredentialError::Ambiguous("one cookie name with two values"))?;
    // Apps log people out by emptying the cookie.
    Ok(value.filter(|value| !value.is_empty()))
}

fn query<'a>(
    carriers: &Carriers<'a>,
    parameter: &str,
) -> Result<Option<Cow<'a, str>>, CredentialError> {
    parameter_of(carriers, parameter)?
        .map(|value| {
            decoded(value).ok_or(CredentialError::Malformed("the query token is not text"))
        })
        .transpose()
}

/// The one value of a parameter, as it was sent; only WebSocket handshakes have any.
fn parameter_of<'a>(
    carriers: &Carriers<'a>,
    parameter: &str,
) -> Result<Option<&'a str>, CredentialError> {
    let (Some(query), Some(_)) = (carriers.query, carriers.websocket) else {
        return Ok(None);
    };
    let mut values = parameters(query).filter(|found| found.is_named(parameter));
    let first = values.next();
    if values.next().is_some() {
        return Err(CredentialError::Ambiguous("a repeated query token"));
    }
    Ok(first.map(|found| found.value))
}

fn subprotocol<'a>(
    carriers: &Carriers<'a>,
    prefix: &str,
) -> Result<Option<&'a str>, CredentialError> {
    let mut tokens = carriers
        .websocket
        .unwrap_or_default()
        .iter()
        .filter_map(|offered| offered.strip_prefix(prefix));
    let first = tokens.next();
    if tokens.next().is_some() {
        return Err(CredentialError::Ambiguous("two subprotocols with a token"));
    }
    Ok(first)
}

/// A credential that stays in its header line.
#[derive(Clone, Copy)]
struct InLine<'a> {
    line: &'a HeaderValue,
    start: usize,
}

/// What stands in a place.
enum Found<'a> {
    InLine(InLine<'a>),
    Text(Cow<'a, str>),
}

impl Found<'_> {
    fn text(&self) -> &[u8] {
        match self {
            Self::InLine(InLine { line, start }) => {
                line.as_bytes().get(*start..).unwrap_or_default()
            }
            Self::Text(text) => text.as_bytes(),
        }
    }

    fn into_carried(self) -> Carried {
        match self {
            Self::InLine(InLine { line, start }) => Carried::in_line(line.clone(), start),
            Self::Text(text) => Carried::own(text.into_owned()),
        }
    }
}

/// A b64token (RFC 6750, section 2.1).
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch for each byte costs more than all comparisons"
)]
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len() - padding).unwrap_or_default();
    // Without a way out of the loop, so that the processor can take many bytes at once.
    let fits = |fit: bool, byte: &u8| {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        let mark = byte.wrapping_sub(b'-') < 3; // - . /
        let other = (*byte == b'_') | (*byte == b'~') | (*byte == b'+');
        fit & (letter | digit | mark | other)
    };
    !body.is_empty() && body.iter().fold(true, fits)
}

#[cfg(test)]
mod tests;
