//! Pool: one core's connections to one upstream, idle ones by server and by who may share them.
//!
//! A connection in here has finished its last request cleanly. It leaves when it is asked for
//! (youngest first), when its idle time is over, or when the pool is full. The pool also remembers
//! for a moment which servers could not be connected to, so that they are asked last.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::h1::H1;
use super::h2::H2Slots;
use super::outgoing::IsolationKey;
use super::targets::{Target, Upstreams};
use crate::config::Isolate;

/// Most idle connections per server and core.
const MAX_IDLE_PER_SERVER: usize = 512;

/// How long a server that could not be connected to is asked last. One request then tries it.
const DOWN: Duration = Duration::from_secs(1);

/// Bounds of the time between two sweeps.
const SWEEP: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Whose connections to which server.
pub(super) type Key = (usize, Option<IsolationKey>);

/// One core's connections to one upstream.
pub(super) struct Pool {
    upstreams: Arc<Upstreams>,
    index: usize,
    cursor: Cell<usize>,
    down_until: Vec<Cell<Option<Instant>>>,
    idle: RefCell<HashMap<Key, Vec<Idle>, ahash::RandomState>>,
    idle_count: Cell<usize>,
    sweeping: Cell<bool>,
    /// HTTP/2 connections, idle or not.
    pub(super) h2: H2Slots,
}

struct Idle {
    connection: H1,
    expires: Instant,
}

impl Pool {
    /// An empty pool for the upstream with this index.
    pub(super) fn new(upstreams: Arc<Upstreams>, index: usize) -> Rc<Self> {
        let servers = upstreams
            .targets
            .get(index)
            .map_or(0, |target| target.endpoints.len());
        Rc::new(Self {
            upstreams,
            index,
            cursor: Cell::new(0),
            down_until: (0..servers).map(|_| Cell::new(None)).collect(),
            idle: RefCell::default(),
            idle_count: Cell::new(0),
            sweeping: Cell::new(false),
            h2: H2Slots::default(),
        })
    }

    /// The upstream.
    pub(super) fn target(&self) -> Option<&Target> {
        self.upstreams.targets.get(self.index)
    }

    /// Reduces who a request is for to who may share its connection.
    pub(super) fn sharers(&self, isolation: Option<&IsolationKey>) -> Option<IsolationKey> {
        match self.target()?.isolate {
            Isolate::None => None,
            Isolate::Tenant => isolation.map(|key| IsolationKey {
                tenant: key.tenant.clone(),
                user: None,
            }),
            Isolate::User => isolation.cloned(),
        }
    }

    /// The server whose turn it is: round robin over the servers that are up, else over all.
    pub(super) fn next_server(&self) -> usize {
        let servers = self.down_until.len().max(1);
        let start = self.cursor.get();
        self.cursor.set(start.wrapping_add(1));
        for offset in 0..servers {
            let server = start.wrapping_add(offset) % servers;
            let Some(down) = self.down_until.get(server) else {
                continue;
            };
            let Some(until) = down.get() else {
                return server;
            };
            let now = Instant::now();
            if until <= now {
                // Its time is over: this one request finds out, the others keep away.
                down.set(Some(now + DOWN));
                return server;
            }
        }
        start % servers
    }

    /// The server was connected to, or could not be.
    pub(super) fn mark(&self, server: usize, up: bool) {
        if let Some(down) = self.down_until.get(server) {
            down.set((!up).then(|| Instant::now() + DOWN));
        }
    }

    /// The youngest idle connection that is still good.
    pub(super) fn take(&self, key: &Key, now: Instant) -> Option<H1> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(key)?;
        let mut found = None;
        while let Some(Idle {
            connection,
            expires,
        }) = stack.pop()
        {
            self.idle_count.set(self.idle_count.get().saturating_sub(1));
            if expires > now && connection.is_ready() {
                found = Some(connection);
                break;
            }
            connection.retire();
        }
        if stack.is_empty() && key.1.is_some() {
            idle.remove(key);
        }
        found
    }

    /// Takes a connection in that has just finished a request cleanly and is ready.
    pub(super) fn give(self: &Rc<Self>, key: Key, connection: H1, life: Duration) {
        if life.is_zero() || self.target().is_none_or(|target| !target.reuse) {
            connection.retire();
            return;
        }
        if self.idle_count.get() >= MAX_IDLE_PER_SERVER * self.down_until.len() {
            self.sweep();
        }
        if self.idle_count.get() >= MAX_IDLE_PER_SERVER * self.down_until.len() {
            self.evict_one();
        }
        let expires = Instant::now() + life;
        self.idle.borrow_mut().entry(key).or_default().push(Idle {
            connection,
            expires,
        });
        self.idle_count.set(self.idle_count.get() + 1);
        self.keep_swept();
    }

    /// Starts the sweep, which runs while there is anything idle.
    pub(super) fn keep_swept(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let pause = self
            .target()
            .map_or(SWEEP.1, |target| target.pool_idle / 2)
            .clamp(SWEEP.0, SWEEP.1);
        let pool = Rc::downgrade(self);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(pool) = pool.upgrade() else { return };
                pool.sweep();
                if pool.idle_count.get() == 0 && pool.h2.is_empty() {
                    pool.sweeping.set(false);
                    return;
                }
            }
        });
    }

    fn sweep(&self) {
        let now = Instant::now();
        let mut left = 0;
        self.idle.borrow_mut().retain(|_, stack| {
            let kept = Vec::with_capacity(stack.len());
            for mut idle in std::mem::replace(stack, kept) {
                // Nobody polls it: that its server has closed it is found out here, or by a request.
                if idle.expires > now && idle.connection.is_good() {
                    stack.push(idle);
                } else {
                    idle.connection.retire();
                }
            }
            left += stack.len();
            !stack.is_empty()
        });
        self.idle_count.set(left);
        let life = self.target().map_or(Duration::ZERO, |t| t.pool_idle);
        self.h2.sweep(now, life);
    }

    fn evict_one(&self) {
        let mut idle = self.idle.borrow_mut();
        let Some(key) = idle.keys().next().cloned() else {
            return;
        };
        if let Some(stack) = idle.get_mut(&key) {
            if !stack.is_empty() {
                stack.remove(0).connection.retire();
                self.idle_count.set(self.idle_count.get().saturating_sub(1));
            }
            if stack.is_empty() {
                idle.remove(&key);
            }
        }
    }

    /// How many connections are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle_count.get()
    }
}
