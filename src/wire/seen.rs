//! Seen: which of the fields that mean something here a head has, found in one pass.
//!
//! Most requests have few of them, and to ask the header map for every one by its name costs more
//! than all the checks together.

use http::HeaderMap;

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen(u32);

impl Seen {
    /// `accept`
    pub const ACCEPT: Self = Self(1 << 0);
    /// `access-control-request-method`
    pub const ACCESS_CONTROL_REQUEST_METHOD: Self = Self(1 << 1);
    /// `authorization`
    pub const AUTHORIZATION: Self = Self(1 << 2);
    /// `connection`
    pub const CONNECTION: Self = Self(1 << 3);
    /// `content-length`
    pub const CONTENT_LENGTH: Self = Self(1 << 4);
    /// `cookie`
    pub const COOKIE: Self = Self(1 << 5);
    /// `expect`
    pub const EXPECT: Self = Self(1 << 6);
    /// `http2-settings`
    pub const HTTP2_SETTINGS: Self = Self(1 << 7);
    /// `keep-alive`
    pub const KEEP_ALIVE: Self = Self(1 << 8);
    /// `origin`
    pub const ORIGIN: Self = Self(1 << 9);
    /// `proxy-authenticate`
    pub const PROXY_AUTHENTICATE: Self = Self(1 << 10);
    /// `proxy-authorization`
    pub const PROXY_AUTHORIZATION: Self = Self(1 << 11);
    /// `proxy-connection`
    pub const PROXY_CONNECTION: Self = Self(1 << 12);
    /// `sec-fetch-mode`
    pub const SEC_FETCH_MODE: Self = Self(1 << 13);
    /// `sec-fetch-site`
    pub const SEC_FETCH_SITE: Self = Self(1 << 14);
    /// `sec-websocket-protocol`
    pub const SEC_WEBSOCKET_PROTOCOL: Self = Self(1 << 15);
    /// `te`
    pub const TE: Self = Self(1 << 16);
    /// `trailer`
    pub const TRAILER: Self = Self(1 << 17);
    /// `transfer-encoding`
    pub const TRANSFER_ENCODING: Self = Self(1 << 18);
    /// `upgrade`
    pub const UPGRADE: Self = Self(1 << 19);
    /// `via`
    pub const VIA: Self = Self(1 << 20);
    /// `host`
    pub const HOST: Self = Self(1 << 21);
    /// `access-control-allow-origin`
    pub const ACCESS_CONTROL_ALLOW_ORIGIN: Self = Self(1 << 22);
    /// No field by itself: an `accept` that names some kind of HTML.
    pub const HTML: Self = Self(1 << 23);

    /// Everything that a header map has of them.
    #[must_use]
    pub fn in_map(headers: &HeaderMap) -> Self {
        headers.keys().fold(Self::default(), |seen, name| {
            seen.and(Self::named(name.as_str()))
        })
    }

    /// The field of this name, in lower case; the empty set where it means nothing here.
    #[must_use]
    pub fn named(name: &str) -> Self {
        // By length first: most names are done with one look.
        match name.len() {
            2 => match name {
                "te" => Self::TE,
                _ => Self(0),
            },
            3 => match name {
                "via" => Self::VIA,
                _ => Self(0),
            },
            4 => match name {
                "host" => Self::HOST,
                _ => Self(0),
            },
            6 => match name {
                "accept" => Self::ACCEPT,
                "cookie" => Self::COOKIE,
                "expect" => Self::EXPECT,
                "origin" => Self::ORIGIN,
                _ => Self(0),
            },
            7 => match name {
                "trailer" => Self::TRAILER,
                "upgrade" => Self::UPGRADE,
                _ => Self(0),
            },
            10 => match name {
                "connection" => Self::CONNECTION,
                "keep-alive" => Self::KEEP_ALIVE,
                _ => Self(0),
            },
            13 => match name {
                "authorization" => Self::AUTHORIZATION,
                _ => Self(0),
            },
            14 => match name {
                "content-length" => Self::CONTENT_LENGTH,
                "http2-settings" => Self::HTTP2_SETTINGS,
                "sec-fetch-mode" => Self::SEC_FETCH_MODE,
                "sec-fetch-site" => Self::SEC_FETCH_SITE,
                _ => Self(0),
            },
            16 => match name {
                "proxy-connection" => Self::PROXY_CONNECTION,
                _ => Self(0),
            },
            17 => match name {
                "transfer-encoding" => Self::TRANSFER_ENCODING,
                _ => Self(0),
            },
            18 => match name {
                "proxy-authenticate" => Self::PROXY_AUTHENTICATE,
                _ => Self(0),
            },
            19 => match name {
                "proxy-authorization" => Self::PROXY_AUTHORIZATION,
                _ => Self(0),
            },
            22 => match name {
                "sec-websocket-protocol" => Self::SEC_WEBSOCKET_PROTOCOL,
                _ => Self(0),
            },
            27 => match name {
                "access-control-allow-origin" => Self::ACCESS_CONTROL_ALLOW_ORIGIN,
                _ => Self(0),
            },
            29 => match name {
                "access-control-request-method" => Self::ACCESS_CONTROL_REQUEST_METHOD,
                _ => Self(0),
            },
            _ => Self(0),
        }
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn also_in(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether any of `fields` is in it.
    #[must_use]
    pub const fn has(self, fields: Self) -> bool {
        self.0 & fields.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(Seen, &str); 23] = [
        (Seen::ACCEPT, "accept"),
        (
            Seen::ACCESS_CONTROL_REQUEST_METHOD,
            "access-control-request-method",
        ),
        (Seen::AUTHORIZATION, "authorization"),
        (Seen::CONNECTION, "connection"),
        (Seen::CONTENT_LENGTH, "content-length"),
        (Seen::COOKIE, "cookie"),
        (Seen::EXPECT, "expect"),
        (Seen::HTTP2_SETTINGS, "http2-settings"),
        (Seen::KEEP_ALIVE, "keep-alive"),
        (Seen::ORIGIN, "origin"),
        (Seen::PROXY_AUTHENTICATE, "proxy-authenticate"),
        (Seen::PROXY_AUTHORIZATION, "proxy-authorization"),
        (Seen::PROXY_CONNECTION, "proxy-connection"),
        (Seen::SEC_FETCH_MODE, "sec-fetch-mode"),
        (Seen::SEC_FETCH_SITE, "sec-fetch-site"),
        (Seen::SEC_WEBSOCKET_PROTOCOL, "sec-websocket-protocol"),
        (Seen::TE, "te"),
        (Seen::TRAILER, "trailer"),
        (Seen::TRANSFER_ENCODING, "transfer-encoding"),
        (Seen::UPGRADE, "upgrade"),
        (Seen::VIA, "via"),
        (Seen::HOST, "host"),
        (
            Seen::ACCESS_CONTROL_ALLOW_ORIGIN,
            "access-control-allow-origin",
        ),
    ];

    #[test]
    fn every_field_is_found_and_nothing_else() {
        let mut headers = HeaderMap::new();
        let mut expected = Seen::default();
        for (field, name) in ALL {
            assert!(!Seen::in_map(&headers).has(field), "{name}");
            headers.append(http::HeaderName::from_static(name), "1".parse().unwrap());
            headers.append(http::HeaderName::from_static(name), "2".parse().unwrap());
            expected = expected.and(field);
            assert_eq!(Seen::in_map(&headers), expected, "{name}");
        }
        for name in ["x-te", "hosts", "accept-encoding", "content-lengt_"] {
            assert_eq!(Seen::named(name), Seen::default(), "{name}");
        }
    }
}
