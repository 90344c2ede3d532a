//! Who may ride on a cookie: browsers attach it to requests that other sites make.
//!
//! A WebSocket handshake needs a present, allowed `Origin`; an unsafe method needs
//! `Sec-Fetch-Site: same-origin` or `none`, or an allowed `Origin`; a request with neither header
//! does not come from a browser. The request's own origin is always allowed (RFC 6454; Fetch
//! Metadata, section 2.1).

/// What a request says of where it comes from.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent fact of the request"
)]
pub struct OriginFacts {
    /// Whether it is a WebSocket handshake.
    pub websocket: bool,
    /// Whether its method is GET, HEAD or OPTIONS.
    pub safe_method: bool,
    /// Whether it has an `Origin` field at all.
    pub has_origin: bool,
    /// Whether that is the request's own origin or one of `origins.allowed`.
    pub origin_allowed: bool,
    /// `Sec-Fetch-Site`, if there is exactly one.
    pub fetch_site: Option<FetchSite>,
}

/// `Sec-Fetch-Site`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchSite {
    /// `same-origin` or `none`: the site itself, or the user.
    Own,
    /// `same-site`, `cross-site`, or anything else.
    Other,
}

impl FetchSite {
    /// Reads the field's value.
    #[must_use]
    pub fn read(value: &str) -> Self {
        if matches!(value, "same-origin" | "none") {
            Self::Own
        } else {
            Self::Other
        }
    }
}

/// Whether an identity that rests on a cookie may be used by this request; `check_unsafe_methods` where
/// the gateway is the one who checks methods other than GET, HEAD and OPTIONS.
pub(super) const fn may_ride(check_unsafe_methods: bool, facts: &OriginFacts) -> bool {
    if facts.websocket {
        return facts.has_origin && facts.origin_allowed;
    }
    if facts.safe_method || !check_unsafe_methods {
        return true;
    }
    match (facts.fetch_site, facts.has_origin) {
        (Some(FetchSite::Own), _) | (None, false) => true,
        (Some(FetchSite::Other), _) | (None, true) => facts.has_origin && facts.origin_allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(websocket: bool, safe: bool, origin: Option<bool>, site: Option<&str>) -> OriginFacts {
        OriginFacts {
            websocket,
            safe_method: safe,
            has_origin: origin.is_some(),
            origin_allowed: origin == Some(true),
            fetch_site: site.map(FetchSite::read),
        }
    }

    #[test]
    fn the_origin_rule() {
        for (websocket, safe, origin, site, rides) in [
            (true, true, None, None, false),
            (true, true, Some(false), None, false),
            (true, true, Some(true), None, true),
            (true, true, None, Some("same-origin"), false),
            (false, true, Some(false), Some("cross-site"), true),
            (false, false, None, None, true),
            (false, false, Some(true), None, true),
            (false, false, Some(false), None, false),
            (false, false, None, Some("same-origin"), true),
            (false, false, None, Some("none"), true),
            (false, false, None, Some("cross-site"), false),
            (false, false, None, Some("same-site"), false),
            (false, false, Some(true), Some("cross-site"), true),
            (false, false, Some(false), Some("cross-site"), false),
            (false, false, None, Some("nonsense"), false),
        ] {
            let facts = facts(websocket, safe, origin, site);
            assert_eq!(may_ride(true, &facts), rides, "{facts:?}");
        }
    }

    #[test]
    fn the_app_may_check_methods_but_never_websockets() {
        let cross_site = facts(false, false, Some(false), Some("cross-site"));
        assert!(may_ride(false, &cross_site));
        assert!(!may_ride(false, &facts(true, true, Some(false), None)));
    }
}
