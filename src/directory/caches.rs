//! Caches of sessions: whether the Redis servers that keep sessions answer.
//!
//! That is told apart from the directory's own health: a token needs no session, so an instance
//! whose Redis is gone still serves whoever carries one.

use std::sync::{Arc, Weak};

use super::desk::Desk;
use super::service::{Directory, HEALTH_POLL};

impl Directory {
    /// Whether the Redis caches of sessions answer; `None` where there is none.
    #[must_use]
    pub fn session_caches(&self) -> Option<Result<(), String>> {
        let caches = &self.parts().0.caches;
        let health = caches.health();
        let problem = || health.problem().unwrap_or_default();
        caches
            .any()
            .then(|| health.ready().then_some(()).ok_or_else(problem))
    }

    /// Asks each of them whether it answers; `None` where there is none.
    pub async fn probe_session_caches(&self) -> Option<Result<String, String>> {
        let (desk, control) = self.parts();
        if !desk.caches.any() {
            return None;
        }
        let desk = Arc::clone(desk);
        let probe = control.spawn(async move { desk.caches.probe().await });
        let tried = probe
            .await
            .unwrap_or_else(|_| Err("the gateway is shutting down".into()));
        Some(tried.map(|()| "ok".to_owned()))
    }
}

/// Tries the caches until they answer, and again whenever one has stopped.
pub(super) async fn check(desk: Weak<Desk>) {
    loop {
        {
            let Some(desk) = desk.upgrade() else { return };
            if !desk.caches.health().ready() {
                let _ = desk.caches.probe().await;
            }
        }
        tokio::time::sleep(HEALTH_POLL).await;
    }
}
