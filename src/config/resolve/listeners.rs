//! `workers`, `listeners`, `admin`.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Context;
use crate::config::raw;
use crate::config::types::{Admin, KeyPath, Listener, ListenerTls};

pub(super) fn workers(raw: &raw::Workers) -> usize {
    match raw {
        raw::Workers::Auto(_) => {
            std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
        }
        raw::Workers::Count(count) => usize::from(*count).max(1),
    }
}

pub(super) fn listeners(raw: &[raw::Listener], cx: &mut Context<'_>) -> Vec<Listener> {
    let section = KeyPath::root().key("listeners");
    let mut resolved: Vec<Listener> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = section.index(index);
        if let Some(listener) = listener(raw, &at, cx) {
            if resolved
                .iter()
                .any(|other| collide(other.address, listener.address))
            {
                taken(&at.key("address"), listener.address, cx);
            }
            resolved.push(listener);
        }
    }
    resolved
}

pub(super) fn admin(
    raw: &raw::Admin,
    listeners: &[Listener],
    cx: &mut Context<'_>,
) -> Option<Admin> {
    let at = KeyPath::root().key("admin");
    let address = address(&raw.address, &at.key("address"), cx);
    let token = match &raw.token {
        Some(token) => Some(cx.secret(&at.key("token"), token)?),
        None => None,
    };
    let address = address?;
    if listeners
        .iter()
        .any(|other| collide(other.address, address))
    {
        taken(&at.key("address"), address, cx);
    }
    let mut hosts = Vec::new();
    for (index, host) in raw.hosts.iter().enumerate() {
        match super::paths::host(host) {
            Ok(crate::config::types::HostMatch::Exact(host)) => hosts.push(host),
            _ => cx.fault(
                &at.key("hosts").index(index),
                format!("`{host}` is not a host name"),
                "write a host name without scheme, port and wildcard",
            ),
        }
    }
    Some(Admin {
        at,
        address,
        token,
        hosts,
    })
}

fn listener(raw: &raw::Listener, at: &KeyPath, cx: &mut Context<'_>) -> Option<Listener> {
    let address = address(&raw.address, &at.key("address"), cx);
    let tls = match &raw.tls {
        None => Vec::new(),
        Some(raw::TlsSetting::One(one)) => tls(one, &at.key("tls"), cx).into_iter().collect(),
        Some(raw::TlsSetting::Several(several)) => {
            if several.is_empty() {
                cx.fault(
                    &at.key("tls"),
                    "the list of certificates is empty",
                    "name one, or write null for clear text",
                );
            }
            several
                .iter()
                .enumerate()
                .filter_map(|(index, one)| tls(one, &at.key("tls").index(index), cx))
                .collect()
        }
    };
    if raw.h2c && raw.tls.is_some() {
        cx.fault(
            &at.key("h2c"),
            "h2c is HTTP/2 in clear text, but this listener has a certificate",
            "remove h2c; HTTP/2 is offered over TLS by itself",
        );
    }
    if raw.proxy_protocol && raw.trusted_proxies.is_empty() {
        cx.fault(
            &at.key("proxy_protocol"),
            "nobody is trusted to write the PROXY header, so that every connection would be closed",
            "name your load balancer's networks in trusted_proxies",
        );
    }
    let trusted_proxies = trusted_proxies(&raw.trusted_proxies, &at.key("trusted_proxies"), cx);
    Some(Listener {
        at: at.clone(),
        address: address?,
        tls,
        trusted_proxies,
        h2c: raw.h2c,
        proxy_protocol: raw.proxy_protocol,
    })
}

fn tls(raw: &raw::ListenerTls, at: &KeyPath, cx: &mut Context<'_>) -> Option<ListenerTls> {
    let certificate = cx.file(&at.key("certificate"), &raw.certificate);
    let private_key = cx.secret(&at.key("private_key"), &raw.private_key);
    Some(ListenerTls {
        at: at.clone(),
        certificate: certificate?,
        private_key: private_key?,
    })
}

fn trusted_proxies(raw: &[String], at: &KeyPath, cx: &mut Context<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let at = at.index(index);
        let network = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) if network.prefix_len() == 0 => cx.fault(
                &at,
                format!("`{text}` trusts everyone, so that any client could choose its address"),
                "name the networks of your own proxies, such as 10.0.0.0/8",
            ),
            Some(network) => networks.push(network),
            None => cx.fault(
                &at,
                format!("`{text}` is not a network"),
                "write an address and a prefix length: 10.0.0.0/8 or fd00::/8",
            ),
        }
    }
    networks
}

fn address(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let remedy = match text.strip_prefix(':').map(str::parse::<u16>) {
            Some(Ok(port)) => format!("write 0.0.0.0:{port} for every interface"),
            _ => "write an IP address and a port: 127.0.0.1:8080 or [::]:8080".to_owned(),
        };
        cx.fault(
            at,
            format!("`{text}` is not an address to listen on"),
            remedy,
        );
    }
    parsed
}

fn taken(at: &KeyPath, address: SocketAddr, cx: &mut Context<'_>) {
    cx.fault(
        at,
        format!("another listener already has {address}"),
        "give each its own address or port",
    );
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() != 0 && one == other
}
