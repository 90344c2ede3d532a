//! The answer: a failure becomes a response here and nowhere else, and a decision gets its one audit
//! line.

use http::{HeaderName, HeaderValue, Response};

use super::{Case, Gateway, ResponseBody};
use crate::audit::{AuditError, Line, Slot};
use crate::auth::{Grant, Principal};
use crate::forward;
use crate::reason::Reason;
use crate::reject::{self, Rejection};

/// `X-Auth-Token-Stale: account` tells a client that its token names another account than the live
/// one.
const TOKEN_STALE: HeaderName = HeaderName::from_static("x-auth-token-stale");

impl Gateway {
    /// The one place where a failure becomes a response, with its audit line.
    pub(super) async fn refuse(
        &self,
        case: &mut Case,
        rejection: Rejection,
    ) -> Response<ResponseBody> {
        case.refusing(rejection.reason);
        // A refusal that cannot be recorded is told as such.
        let (slot, rejection) = match self.audit.reserve().await {
            Ok(slot) => (Some(slot), rejection),
            Err(error) => (None, Rejection::from(error)),
        };
        let reason = rejection.reason;
        self.metrics.decided(reason);
        if reason == Reason::InternalError {
            tracing::error!(request_id = %case.request_id(), detail = %rejection.detail, "internal error");
        }
        let mut response = match case.login(reason) {
            Some(login) => login,
            None => reject::response(
                reason,
                case.request_id(),
                &case.audience,
                rejection.allow.as_deref(),
            ),
        };
        let dead = rejection.dead_cookie;
        if let Some(Some(delete)) = dead.and_then(|index| self.dead_cookies.get(index)) {
            response
                .headers_mut()
                .append(http::header::SET_COOKIE, delete.clone());
        }
        if rejection.closes {
            response
                .headers_mut()
                .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(id) = case.request_id_value() {
            response.headers_mut().insert(&self.request_id_header, id);
        }
        let line = case.refused(reason, response.status(), &rejection.detail);
        match slot {
            Some(slot) => slot.fill(&line),
            None => self.audit.offer(&line),
        }
        response.map(forward::ResponseBody::full)
    }

    /// Takes the place of a granted request's line, before it is acted on; from then on it has one, also
    /// where its client leaves.
    pub(super) async fn reserve(
        &self,
        case: &mut Case,
        grant: &Grant,
    ) -> Result<Slot<'_>, AuditError> {
        let slot = self.audit.reserve().await?;
        case.granted(grant);
        Ok(slot)
    }

    /// The marks that every granted response gets, and its audit line.
    pub(super) fn finish<B>(
        &self,
        response: &mut Response<B>,
        case: &mut Case,
        grant: &Grant,
        slot: Slot<'_>,
    ) -> Line {
        self.mark(response, case, grant);
        let line = case.allowed(grant.reason(), response.status(), self.warn_age);
        slot.fill(&line);
        line
    }

    /// The marks that every granted response gets; the decision is counted.
    pub(super) fn mark<B>(&self, response: &mut Response<B>, case: &Case, grant: &Grant) {
        let headers = response.headers_mut();
        if let Some(id) = case.request_id_value() {
            headers.insert(&self.request_id_header, id);
        }
        if grant.principal().is_some_and(Principal::stale) {
            headers.insert(TOKEN_STALE, HeaderValue::from_static("account"));
        }
        self.metrics.decided(grant.reason());
    }
}
