//! Keys by URL: a server whose key set a test replaces while it is served.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::exchange::Exchange;
use super::recorder::Recorder;
use super::tokens::Key;

/// A key set (RFC 7517, section 5) of these.
pub(crate) fn key_set(keys: &[&Key]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys })
}

/// Serves a key set on every path, and counts who asks.
pub(crate) struct KeyServer {
    server: Recorder,
    /// `None` is an outage.
    set: Arc<Mutex<Option<Value>>>,
}

impl KeyServer {
    pub(crate) fn serving(set: Value) -> Self {
        let set = Arc::new(Mutex::new(Some(set)));
        let current = Arc::clone(&set);
        let server = Recorder::answering(move |exchange: &mut Exchange<'_>| {
            let set = current
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            match set {
                Some(set) => exchange.respond_json(&set),
                None => exchange.respond(500, &[], b""),
            }
        });
        Self { server, set }
    }

    /// Serves this set from now on.
    pub(crate) fn replace(&self, set: Value) {
        self.put(Some(set));
    }

    /// Fails from now on.
    pub(crate) fn fail(&self) {
        self.put(None);
    }

    fn put(&self, set: Option<Value>) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = set;
    }
}

impl Deref for KeyServer {
    type Target = Recorder;

    fn deref(&self) -> &Recorder {
        &self.server
    }
}
