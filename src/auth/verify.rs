//! Step 4 of the decision: what a request carries becomes what it has proven.
//!
//! Tokens and sessions in one list, in the file's order. One bad credential refuses the request; a
//! session of nobody is none.

use std::sync::Arc;

use serde_json::json;

use super::decide::{Ask, Authenticator, Evidence, VerifiedTokens};
use super::denial::Denial;
use super::proof::{Proof, VerifiedCredential};
use super::session::{self, Unusable};
use crate::credential::{Carried, Form, PresentedToken};
use crate::ids::TenantId;
use crate::session::csrf_passes;
use crate::telemetry::{Trace, UnixTime};
use crate::token::VerifiedToken;

impl Authenticator {
    /// Verifies what the request carries, in the file's order. Tokens come first, since a session is
    /// looked for in its tenant, which a token may have to name.
    pub(super) async fn verify(
        &self,
        ask: &Ask,
        known: &VerifiedTokens,
        now: UnixTime,
        seen: (&mut Evidence, &mut Trace),
    ) -> Result<Vec<Arc<VerifiedCredential>>, Denial> {
        let (evidence, trace) = seen;
        let carried = ask.presented.tokens();
        let mut verified: Vec<(usize, Arc<VerifiedCredential>)> = Vec::with_capacity(carried.len());
        let of_form = |form| move |(_, one): &(usize, &PresentedToken)| one.form == form;
        for (place, carried) in carried.iter().enumerate().filter(of_form(Form::Token)) {
            verified.push((place, self.token(carried, known, now, trace).await?));
        }
        let mut tenant = None;
        for (place, carried) in carried.iter().enumerate().filter(of_form(Form::Session)) {
            let tenant = if let Some(tenant) = &tenant {
                tenant
            } else {
                let first = verified.first();
                let spoken = first.and_then(|(_, first)| first.spoken_tenant());
                tenant.insert(self.tenant(&ask.tenant, spoken).await?)
            };
            let found = Box::pin(self.session(carried, tenant, now, evidence, trace)).await?;
            verified.extend(found.map(|session| (place, session)));
        }
        verified.sort_by_key(|(place, _)| *place);
        Ok(verified.into_iter().map(|(_, one)| one).collect())
    }

    async fn token(
        &self,
        carried: &PresentedToken,
        known: &VerifiedTokens,
        now: UnixTime,
        trace: &mut Trace,
    ) -> Result<Arc<VerifiedCredential>, Denial> {
        let token = self.verified(&carried.token, known, now).await?;
        trace.note("credential", || {
            json!({
                "credential": carried.name, "issuer": token.issuer_name(), "user": token.user(),
                "account": token.account(), "tenant": token.tenant(), "expires": token.expires().rfc3339(),
                "lookup": token.lookup(), "verified": true,
            })
        });
        trace.note("claims", || json!(token.claims()));
        Ok(proven(carried, Proof::Token(token)))
    }

    /// A token that this core has verified before and that still holds, or a verification.
    async fn verified(
        &self,
        carried: &Carried,
        known: &VerifiedTokens,
        now: UnixTime,
    ) -> Result<Arc<VerifiedToken>, Denial> {
        let holds = |token: &Arc<VerifiedToken>| self.verifier.still_holds(token, now);
        if let Some(token) = known.find(carried.expose_bytes(), holds, Arc::clone) {
            return Ok(token);
        }
        let text = carried.expose();
        let token = Arc::new(self.verifier.verify(text, now).await?);
        if known.remembers() {
            let bytes = text.len() + token.weight();
            known.keep(text.as_bytes().into(), Arc::clone(&token), bytes);
        }
        Ok(token)
    }

    /// A session; `None` when it is nobody's.
    async fn session(
        &self,
        carried: &PresentedToken,
        tenant: &TenantId,
        now: UnixTime,
        evidence: &mut Evidence,
        trace: &mut Trace,
    ) -> Result<Option<Arc<VerifiedCredential>>, Denial> {
        let hash = session::hash(carried.token.expose());
        evidence.session = Some(Arc::clone(&hash));
        let found = self
            .sessions
            .find(carried, tenant, &self.directory, now)
            .await
            .map_err(|unusable| refused(unusable, carried.credential))?;
        trace.note("credential", || {
            json!({
                "credential": carried.name, "session": hash,
                "user": found.as_ref().map(session::LiveSession::user),
                "expires": found.as_ref().map(|session| session.ends().rfc3339()),
                "lookup": found.as_ref().map(session::LiveSession::lookup),
                "verified": found.is_some(),
            })
        });
        Ok(found.map(|session| proven(carried, Proof::Session(session))))
    }

    /// Looks for a session once more, and gives its end, which may be another now; a token stays what
    /// it is.
    pub(super) async fn still_alive(
        &self,
        verified: &VerifiedCredential,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, Denial> {
        let Some(session) = verified.session() else {
            return Ok(None);
        };
        let credential = verified.credential();
        self.sessions
            .again(session, &self.directory, credential, now)
            .await
            .map(Some)
            .map_err(|unusable| refused(unusable, credential))
    }

    /// Django's own CSRF check, where it will not make it: a session that becomes a bearer token, for
    /// the app or, at the token endpoint, for the client.
    pub(super) fn check_csrf(
        verified: &[Arc<VerifiedCredential>],
        ask: &Ask,
    ) -> Result<(), Denial> {
        let session = verified.iter().find_map(|credential| credential.session());
        let (Some(session), Some(facts)) = (session, &ask.csrf) else {
            return Ok(());
        };
        let mut facts = facts.clone();
        if session.csrf_in_session() {
            facts.secret = session.csrf_secret().cloned();
        }
        if csrf_passes(&facts) {
            Ok(())
        } else {
            Err(Denial::CsrfFailed)
        }
    }
}

/// What `carried` has been proven to be.
fn proven(carried: &PresentedToken, proof: Proof) -> Arc<VerifiedCredential> {
    Arc::new(VerifiedCredential {
        credential: carried.credential,
        name: carried.name.clone(),
        rests_on_cookie: carried.rests_on_cookie,
        proof,
    })
}

fn refused(unusable: Unusable, credential: usize) -> Denial {
    match unusable {
        Unusable::Dead(error) => Denial::Session(error, credential),
        Unusable::Directory(error) => error.into(),
    }
}
