//! Which requests a route covers, and where it sends them: hosts, paths, methods.

use http::Method;
use smol_str::SmolStr;

use super::{Context, paths};
use crate::config::raw;
use crate::config::types::{HostMatch, KeyPath, PathAllowances};

pub(super) fn path(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<(String, bool)> {
    let (bare, exact) = match text.strip_prefix('=') {
        Some(bare) => (bare, true),
        None => (text, false),
    };
    match paths::canonical(bare) {
        // An exact path is this very path: with its trailing slash, if it has one.
        Ok(_) if exact => Some((bare.to_owned(), true)),
        Ok(path) => Some((path, false)),
        Err(problem) => {
            cx.fault(
                at,
                format!("`{text}` is not a path in canonical form: {problem}"),
                "write a prefix such as /api/, or =/exact/path",
            );
            None
        }
    }
}

pub(super) fn host(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<HostMatch> {
    paths::host(text)
        .map_err(|remedy| cx.fault(at, format!("`{text}` is not a host"), remedy))
        .ok()
}

pub(super) fn methods(
    raw: Option<&[String]>,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Vec<Method>> {
    let raw = raw?;
    if raw.is_empty() {
        cx.fault(
            at,
            "the list is empty: no method would pass",
            "name methods, or leave the key out for all",
        );
    }
    let mut methods = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let upper = text.to_ascii_uppercase();
        match Method::from_bytes(text.as_bytes()) {
            Ok(_) if *text != upper => cx.fault(
                &at.index(index),
                format!("`{text}` is not a method: methods are case-sensitive"),
                format!("write {upper}"),
            ),
            Ok(Method::CONNECT) => {
                cx.fault(&at.index(index), "CONNECT is not forwarded", "remove it");
            }
            Ok(method) => methods.push(method),
            Err(_) => cx.fault(
                &at.index(index),
                format!("`{}` is not a method", text.escape_debug()),
                "write GET, POST, …",
            ),
        }
    }
    Some(methods)
}

pub(super) fn allowances(raw: &[raw::PathForm]) -> PathAllowances {
    PathAllowances {
        encoded_slash: raw.contains(&raw::PathForm::EncodedSlash),
        encoded_backslash: raw.contains(&raw::PathForm::EncodedBackslash),
        semicolon: raw.contains(&raw::PathForm::Semicolon),
        double_slash: raw.contains(&raw::PathForm::DoubleSlash),
        double_encoding: raw.contains(&raw::PathForm::DoubleEncoding),
    }
}

pub(super) fn name(host: &HostMatch, path: &str, exact: bool) -> SmolStr {
    let path = if path.is_empty() { "/" } else { path };
    let sign = if exact { "=" } else { "" };
    SmolStr::from(match host {
        HostMatch::Any => format!("{sign}{path}"),
        HostMatch::Exact(host) => format!("{sign}{host}{path}"),
        HostMatch::Suffix(suffix) => format!("{sign}*{suffix}{path}"),
    })
}

pub(super) fn login(raw: &raw::Route, at: &KeyPath, cx: &mut Context<'_>) -> Option<String> {
    let template = raw.login.as_ref()?;
    let rest = template.replace("{path}", "");
    let good = template.starts_with('/')
        && !template.starts_with("//")
        && rest.bytes().all(|b| {
            b.is_ascii_graphic() && !matches!(b, b'\\' | b'{' | b'}' | b'#' | b'"' | b'<' | b'>')
        });
    if !good {
        cx.fault(
            at,
            format!("`{template}` is not a place on this site"),
            "write a path, such as /accounts/login/?next={path}",
        );
    }
    Some(template.clone())
}

pub(super) fn strip_prefix(
    raw: &raw::Route,
    path: &str,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<String> {
    let text = raw.strip_prefix.as_ref()?;
    match paths::canonical(text) {
        Ok(prefix) if !prefix.is_empty() && paths::covers(&prefix, path) => Some(prefix),
        Ok(_) => {
            cx.fault(
                at,
                format!("`{text}` does not begin every path of this route"),
                "write the route's own path, or the beginning of it",
            );
            None
        }
        Err(problem) => {
            cx.fault(
                at,
                format!("`{text}` is not a path in canonical form: {problem}"),
                "write a prefix such as /api",
            );
            None
        }
    }
}
