//! `upstreams`.

use super::urls::{self, HttpUrl};
use super::{Context, paths};
use crate::config::raw;
use crate::config::types::{
    HostMatch, Isolate, KeyPath, Retries, Server, Upstream, UpstreamProtocol, UpstreamTimeouts,
};

pub(super) fn upstreams(raw: &[raw::Upstream], cx: &mut Context<'_>) -> Vec<Upstream> {
    let section = KeyPath::root().key("upstreams");
    for (index, one) in raw.iter().enumerate() {
        if one.name.is_none() {
            cx.fault(
                &section.index(index),
                "the upstream has no name",
                "add `name:`; with several upstreams each needs one",
            );
        }
    }
    cx.distinct_names(
        "upstream",
        raw.iter().enumerate().filter_map(|(index, one)| {
            let name = one.name.as_deref()?;
            Some((section.index(index).key("name"), name))
        }),
    );
    raw.iter()
        .enumerate()
        .filter_map(|(index, one)| upstream(one, &section.index(index), cx))
        .collect()
}

pub(super) fn timeouts(
    raw: &raw::Timeouts,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> UpstreamTimeouts {
    UpstreamTimeouts {
        connect: cx.positive(&at.key("connect"), raw.connect),
        response_head: cx.positive(&at.key("response_head"), raw.response_head),
        body_idle: cx.positive(&at.key("body_idle"), raw.body_idle),
        pool_idle: cx.positive(&at.key("pool_idle"), raw.pool_idle),
    }
}

fn upstream(raw: &raw::Upstream, at: &KeyPath, cx: &mut Context<'_>) -> Option<Upstream> {
    let servers = servers(raw, &at.key("servers"), cx);
    let tls_at = at.key("tls");
    let tls_ca = match &raw.tls.ca {
        Some(path) => Some(cx.file(&tls_at.key("ca"), path)?),
        None => None,
    };
    let plain = !servers.is_empty() && servers.iter().all(|server| !server.tls);
    if plain && (raw.tls.ca.is_some() || raw.tls.server_name.is_some()) {
        cx.fault(
            &tls_at,
            "no server of this upstream speaks TLS",
            "write https:// in `servers`, or remove `tls`",
        );
    }
    let tls_server_name = raw
        .tls
        .server_name
        .clone()
        .map(|name| name.to_ascii_lowercase());
    if tls_server_name
        .as_deref()
        .is_some_and(|name| !urls::is_host(name))
    {
        cx.fault(
            &tls_at.key("server_name"),
            "this is not a host name",
            "write the name in the server's certificate",
        );
    }
    let host = raw.host.clone();
    if let Some(name) = &host
        && !is_authority(name)
    {
        cx.fault(
            &at.key("host"),
            format!("`{}` cannot be a Host", name.escape_debug()),
            "write a host name, with a port if need be, or null for the client's",
        );
    }
    Some(Upstream {
        at: at.clone(),
        name: raw.name.as_deref().unwrap_or_default().into(),
        servers,
        protocol: match raw.protocol {
            raw::Protocol::Http1 => UpstreamProtocol::Http1,
            raw::Protocol::Http2 => UpstreamProtocol::Http2,
            raw::Protocol::H2c => UpstreamProtocol::H2c,
        },
        tls_ca,
        tls_server_name,
        host,
        isolate: match raw.isolate {
            raw::Isolate::None => Isolate::None,
            raw::Isolate::Tenant => Isolate::Tenant,
            raw::Isolate::User => Isolate::User,
        },
        reuse: raw.reuse,
        request_id_echo: raw.request_id_echo,
        timeouts: timeouts(&raw.timeouts, &at.key("timeouts"), cx),
        retries: Retries {
            attempts: raw.retries.attempts,
            connect_failure: raw.retries.when.contains(&raw::RetryWhen::ConnectFailure),
            stale_connection: raw.retries.when.contains(&raw::RetryWhen::StaleConnection),
        },
    })
}

fn servers(raw: &raw::Upstream, at: &KeyPath, cx: &mut Context<'_>) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for (index, text) in raw.servers.iter().enumerate() {
        let at = at.index(index);
        let url = match HttpUrl::parse(text) {
            Ok(url) if url.rest.is_empty() || url.rest == "/" => url,
            other => {
                let problem = other.err().unwrap_or("it has a path");
                cx.fault(
                    &at,
                    format!("{} is not a server: {problem}", shown(text)),
                    "write scheme, host and port, such as http://127.0.0.1:8000",
                );
                continue;
            }
        };
        let mismatch = match raw.protocol {
            raw::Protocol::Http2 if !url.tls => Some((
                "http2 is spoken over TLS",
                "write https://, or protocol: h2c",
            )),
            raw::Protocol::H2c if url.tls => {
                Some(("h2c is clear text", "write http://, or protocol: http2"))
            }
            _ => None,
        };
        if let Some((problem, remedy)) = mismatch {
            cx.fault(&at, problem, remedy);
        }
        let server = Server {
            tls: url.tls,
            host: url.host,
            port: url.port,
        };
        if servers.contains(&server) {
            cx.fault(&at, "this server stands twice", "keep one of them");
        } else {
            servers.push(server);
        }
    }
    if servers.iter().any(|server| server.tls) && servers.iter().any(|server| !server.tls) {
        cx.fault(
            at,
            "http and https servers are mixed",
            "make two upstreams of them",
        );
    }
    servers
}

/// A URL that may hold a password is not repeated.
fn shown(text: &str) -> String {
    if text.contains('@') {
        "this".to_owned()
    } else {
        format!("`{text}`")
    }
}

/// A host with an optional port.
fn is_authority(text: &str) -> bool {
    let host = match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => text,
    };
    matches!(paths::host(host), Ok(HostMatch::Exact(_)))
}
