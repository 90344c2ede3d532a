//! What the client is told back: the response guard, the echo, and the subprotocol.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderName, HeaderValue, Response};
use serde_json::json;

use super::{Case, Gateway};
use crate::auth::{Grant, Principal};
use crate::config::{CredentialPlace, Echo};
use crate::forward::ForwardRequest;
use crate::forward::guard;
use crate::reason::Reason;
use crate::reject::Rejection;
use crate::route::{Access, Matched};
use crate::wire::{RawRequest, Seen};

impl Gateway {
    /// Holds the identity that the upstream says it acted as against the one it was given. On
    /// another one the response is withheld: one user's work was done in another's name.
    pub(super) fn check_echo<B>(
        &self,
        response: &Response<B>,
        grant: &Grant,
        case: &mut Case,
    ) -> Result<(), Rejection> {
        let (Some(echo), Some(principal)) = (&self.echo, grant.principal()) else {
            return Ok(());
        };
        match compare(echo, response.headers(), principal) {
            Echoed::Same => Ok(()),
            Echoed::Missing if !echo.block_missing => Ok(()),
            Echoed::Missing => Err(Rejection::of(
                Reason::EchoMismatch,
                "the upstream did not say whom it acted as",
            )),
            Echoed::Other(acted_as) => {
                self.metrics.echo_mismatches.inc();
                tracing::error!(request_id = case.request_id(), %acted_as, "the upstream acted as somebody else");
                case.acted_as = Some(acted_as);
                if echo.block_mismatch {
                    return Err(Rejection::of(
                        Reason::EchoMismatch,
                        "the upstream acted as somebody else",
                    ));
                }
                Ok(())
            }
        }
    }

    /// The response without what only the gateway may say, and with what caches must know.
    pub(super) fn guard<B>(&self, response: &mut Response<B>, matched: &Matched<'_>) {
        let upgraded = response.status() == http::StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        // A handshake's own fields were checked by the room that received them.
        let handshake = [http::header::CONNECTION, http::header::UPGRADE]
            .into_iter()
            .filter(|_| upgraded)
            .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
        let handshake: Vec<_> = handshake.collect();
        let seen = Seen::in_map(headers);
        guard::strip(headers, seen, self.forwarder.reserved());
        headers.extend(handshake);
        guard::expose(headers, seen);
        let route = matched.route;
        let members = !matches!(route.access(), Access::Public(_)) && matched.preflight.is_none();
        if members && !route.config().cache_upstream {
            guard::keep_private(headers);
            guard::vary(headers, route.vary(), route.vary_line());
        }
    }

    /// Remembers which subprotocol carries a token.
    pub(super) fn note_subprotocol(&self, raw: &RawRequest, case: &mut Case) {
        let Some(handshake) = raw.websocket() else {
            return;
        };
        let is_place = |offered: &&String| {
            self.credentials.iter().any(|credential| {
                matches!(&credential.place, CredentialPlace::WebSocketProtocol(prefix) if offered.starts_with(prefix.as_str()))
            })
        };
        let offered = handshake.protocols.iter().find(is_place);
        case.subprotocol = offered.and_then(|offered| HeaderValue::from_str(offered).ok());
    }

    /// It is to be selected where the upstream is not offered it and selects none: a browser fails the
    /// handshake when none is selected.
    pub(super) fn keep_subprotocol_unless_offered(forward: &ForwardRequest, case: &mut Case) {
        let Some(protocol) = &case.subprotocol else {
            return;
        };
        let lines = forward.head().headers.get_all(SEC_WEBSOCKET_PROTOCOL);
        let offered = lines.iter().any(|line| {
            let mut offered = line.as_bytes().split(|byte| *byte == b',');
            offered.any(|offered| offered.trim_ascii() == protocol.as_bytes())
        });
        if offered {
            case.subprotocol = None;
        }
    }

    pub(super) fn select_subprotocol<B>(response: &mut Response<B>, case: &Case) {
        if let (Some(protocol), false) = (
            &case.subprotocol,
            response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL),
        ) {
            response
                .headers_mut()
                .insert(SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
    }
}

enum Echoed {
    Same,
    Missing,
    Other(serde_json::Value),
}

fn compare(echo: &Echo, headers: &http::HeaderMap, principal: &Principal) -> Echoed {
    let read = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?;
        // Two lines are two answers; neither is the gateway's.
        let text = if values.next().is_some() {
            ""
        } else {
            first.to_str().unwrap_or_default()
        };
        Some(text.to_owned())
    };
    let (user, account, tenant) = (read(&echo.user), read(&echo.account), read(&echo.tenant));
    if user.is_none() && account.is_none() && tenant.is_none() {
        return Echoed::Missing;
    }
    let fits = |said: &Option<String>, is: Option<&str>| {
        said.as_deref()
            .is_none_or(|said| said == is.unwrap_or_default())
    };
    let same = fits(&user, Some(principal.user().as_str()))
        && fits(
            &account,
            principal.account().map(crate::ids::AccountId::as_str),
        )
        && fits(&tenant, Some(principal.tenant().as_str()));
    if same {
        Echoed::Same
    } else {
        Echoed::Other(json!({ "user": user, "account": account, "tenant": tenant }))
    }
}
