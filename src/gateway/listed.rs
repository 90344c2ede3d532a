//! Listed: the streams that are open now, as an operator may see them.
//!
//! A stream is on the list from the moment at which it counts as one until it has ended, whatever
//! ends it. The list says who is connected; it decides nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use smol_str::SmolStr;
use tokio::time::sleep;

use crate::auth::Grant;
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::{Clock, UnixTime};

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A WebSocket.
    Websocket,
    /// Server-sent events.
    Sse,
    /// Any other response that is still being sent.
    Body,
    /// A request whose answer has not begun: a long upload, a long poll.
    Request,
}

/// One open stream.
#[derive(Debug, Serialize)]
pub struct OpenStream {
    id: u64,
    request_id: Arc<str>,
    kind: Kind,
    route: SmolStr,
    tenant: Option<TenantId>,
    user: Option<UserId>,
    account: Option<AccountId>,
    credential: Option<SmolStr>,
    since: String,
    /// When its credential ends.
    expires: Option<String>,
    client: IpAddr,
}

/// How long an exchange that is no WebSocket goes on before it is on the list.
const SHOWN: Duration = Duration::from_secs(1);

/// Calls `enter` when an exchange under a lease has gone on for a second, and keeps what it gives.
pub(super) async fn shown<T>(enter: impl FnOnce() -> T) -> Infallible {
    sleep(SHOWN).await;
    let _listed = enter();
    std::future::pending().await
}

/// What is asked of the list.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this user.
    pub user: Option<UserId>,
    /// Only behind this number.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

/// A part of the list.
#[derive(Debug, Serialize)]
pub struct Page {
    streams: Vec<Arc<OpenStream>>,
    /// How many are open, whoever asks for which.
    open: usize,
    /// Where to go on (`after`), if there is more.
    next: Option<u64>,
}

/// Every open stream of the process.
#[derive(Debug, Default)]
pub struct OpenStreams {
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    open: BTreeMap<u64, Arc<OpenStream>>,
    last: u64,
}

/// A place on the list; dropping it takes the stream off.
#[derive(Debug)]
pub(super) struct Listed {
    streams: Arc<OpenStreams>,
    id: u64,
}

/// What the list tells of a stream beside its grant.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) request_id: Arc<str>,
    pub(super) client: IpAddr,
}

impl OpenStreams {
    /// Puts a stream on the list.
    pub(super) fn enter(self: &Arc<Self>, kind: Kind, tag: Tag, grant: &Grant) -> Listed {
        let principal = grant.principal();
        let now = Clock.now().unwrap_or(UnixTime::from_secs(0));
        let mut list = self.lock();
        list.last += 1;
        let id = list.last;
        let stream = OpenStream {
            id,
            request_id: tag.request_id,
            kind,
            route: grant.route().name().clone(),
            tenant: principal.map(|principal| principal.tenant().clone()),
            user: principal.map(|principal| principal.user().clone()),
            account: principal.and_then(|principal| principal.account().cloned()),
            credential: principal.map(|principal| principal.verified().name().clone()),
            since: now.rfc3339(),
            expires: principal.map(|principal| principal.ends().rfc3339()),
            client: tag.client,
        };
        list.open.insert(id, Arc::new(stream));
        Listed {
            streams: Arc::clone(self),
            id,
        }
    }

    /// The oldest that are wanted.
    #[must_use]
    pub fn page(&self, wanted: &Wanted) -> Page {
        let list = self.lock();
        let behind = (Bound::Excluded(wanted.after), Bound::Unbounded);
        let mut found = list
            .open
            .range(behind)
            .map(|(_, stream)| stream)
            .filter(|stream| stream.is_wanted(wanted));
        let streams: Vec<Arc<OpenStream>> = found.by_ref().take(wanted.limit).cloned().collect();
        let more = found.next().is_some();
        Page {
            next: streams.last().filter(|_| more).map(|stream| stream.id),
            streams,
            open: list.open.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // Each change under the lock is one step.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenStream {
    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let fits = |asked: bool, is: bool| !asked || is;
        fits(wanted.tenant.is_some(), self.tenant == wanted.tenant)
            && fits(wanted.user.is_some(), self.user == wanted.user)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.streams.lock().open.remove(&self.id);
    }
}
