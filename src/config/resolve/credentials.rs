//! `credentials`, `origins`, `cors`.

use std::sync::Arc;

use super::{Context, django, urls};
use crate::config::raw;
use crate::config::types::{
    Cors, Credential, CredentialPlace, ForwardCredential, KeyPath, Origins,
};

pub(super) fn credentials(file: &raw::File, cx: &mut Context<'_>) -> Vec<Credential> {
    let section = KeyPath::root().key("credentials");
    let mut resolved: Vec<Credential> = Vec::new();
    for (index, raw) in file.credentials.iter().enumerate() {
        let at = section.index(index);
        let Some(credential) = credential(raw, file, &at, cx) else {
            continue;
        };
        let same_cookie = |other: &Credential| {
            other.place.cookie().is_some() && other.place.cookie() == credential.place.cookie()
        };
        if resolved
            .iter()
            .any(|other| other.place == credential.place || same_cookie(other))
        {
            cx.fault(
                &at,
                "another credential is already read in this place",
                "keep one of them",
            );
            continue;
        }
        if credential.forward == ForwardCredential::Reissue && file.identity.reissue.is_none() {
            cx.fault(
                &at.key(kind(raw)).key("forward"),
                "there is nothing to reissue with",
                "add identity.reissue, or write keep or remove",
            );
        }
        resolved.push(credential);
    }
    cx.distinct_names(
        "credential",
        resolved
            .iter()
            .map(|credential| (credential.at.key("name"), &*credential.name)),
    );
    resolved
}

pub(super) fn origins(
    file: &raw::File,
    credentials: &[Credential],
    cx: &mut Context<'_>,
) -> Origins {
    let raw = &file.origins;
    let at = KeyPath::root().key("origins");
    let check_unsafe_methods = raw.unsafe_methods == raw::UnsafeMethods::Check;
    if !check_unsafe_methods {
        let hidden = credentials.iter().find(|credential| {
            credential.place.cookie().is_some() && credential.forward != ForwardCredential::Keep
        });
        if let Some(credential) = hidden {
            cx.fault(
                &at.key("unsafe_methods"),
                format!(
                    "the app is to check who rides on a cookie, but it never sees the cookie of `{}`",
                    credential.name
                ),
                "write check, or `forward: keep` at that credential",
            );
        }
        let bearer = file
            .identity
            .reissue
            .as_ref()
            .is_some_and(|raw| raw.also.is_some());
        let token = credentials
            .iter()
            .find(|credential| matches!(credential.place, CredentialPlace::Cookie(_)));
        if let (true, Some(credential)) = (bearer, token) {
            // A session is held against Django's CSRF token then; a token in a cookie has none.
            cx.fault(
                &at.key("unsafe_methods"),
                format!(
                    "the app is to check who rides on the cookie of `{}`, but with `identity.reissue.also` it gets a bearer token, which apps take for proof that no browser attached it",
                    credential.name
                ),
                "write check, or leave `also` out",
            );
        }
    }
    Origins {
        allowed: origin_list(&raw.allowed, &at.key("allowed"), cx),
        check_unsafe_methods,
    }
}

pub(super) fn cors(raw: &raw::Cors, cx: &mut Context<'_>) -> Cors {
    let at = KeyPath::root().key("cors");
    Cors {
        forward_preflight: raw.preflight == raw::Preflight::Forward,
        origins: origin_list(&raw.origins, &at.key("origins"), cx),
    }
}

/// The key under which a credential's kind stands.
pub(super) const fn kind(raw: &raw::Credential) -> &'static str {
    if raw.cookie.is_some() {
        "cookie"
    } else if raw.query.is_some() {
        "query"
    } else if raw.websocket_protocol.is_some() {
        "websocket_protocol"
    } else if raw.django_session.is_some() {
        "django_session"
    } else {
        "bearer"
    }
}

fn credential(
    raw: &raw::Credential,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Credential> {
    let kind = kind(raw);
    let mut django_session = None;
    let at_kind = at.key(kind);
    let (place, forward) = if let Some(cookie) = &raw.cookie {
        token(&cookie.name, "a cookie's name", &at_kind.key("name"), cx);
        (CredentialPlace::Cookie(cookie.name.clone()), cookie.forward)
    } else if let Some(query) = &raw.query {
        let at_parameter = at_kind.key("parameter");
        token(&query.parameter, "a parameter's name", &at_parameter, cx);
        (
            CredentialPlace::Query(query.parameter.clone()),
            query.forward,
        )
    } else if let Some(protocol) = &raw.websocket_protocol {
        token(&protocol.prefix, "a prefix", &at_kind.key("prefix"), cx);
        (
            CredentialPlace::WebSocketProtocol(protocol.prefix.clone()),
            protocol.forward,
        )
    } else if let Some(session) = &raw.django_session {
        django_session = Some(Arc::new(django::session(session, file, &at_kind, cx)?));
        (
            CredentialPlace::DjangoSession(session.cookie.clone()),
            session.forward,
        )
    } else {
        (CredentialPlace::Bearer, raw.bearer.as_ref()?.forward)
    };
    Some(Credential {
        at: at.clone(),
        name: raw.name.as_deref().unwrap_or(kind).into(),
        place,
        forward: match forward {
            raw::Forward::Keep => ForwardCredential::Keep,
            raw::Forward::Remove => ForwardCredential::Remove,
            raw::Forward::Reissue => ForwardCredential::Reissue,
        },
        django_session,
    })
}

/// A token of RFC 9110, section 5.6.2.
pub(super) fn token(text: &str, what: &str, at: &KeyPath, cx: &mut Context<'_>) {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(good) {
        cx.fault(
            at,
            format!("`{}` is not {what}", text.escape_debug()),
            "write letters, digits, `-`, `_` and `.`",
        );
    }
}

fn origin_list(raw: &[String], at: &KeyPath, cx: &mut Context<'_>) -> Vec<String> {
    let mut origins = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        match urls::origin(text) {
            Ok(origin) => origins.push(origin),
            Err(problem) => cx.fault(
                &at.index(index),
                format!("`{text}` is not an origin: {problem}"),
                "write scheme and host, such as https://app.example.com",
            ),
        }
    }
    origins
}
