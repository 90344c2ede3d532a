//! Sessions in Redis: what a Django cache keeps there, asked by key.
//!
//! A cache's key is `prefix:version:name`, its value the pickled session, and its end that of the
//! key. Nothing is written here: a session that is read is not made to live longer. A connection
//! serves one question at a time and is kept only after a clean answer (`idle.rs`); one that has
//! died in the meantime is replaced within the same question. What Redis says with an error is an
//! error here, never "no such session".

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};
use tokio::time::timeout;

use super::super::error::SourceError;
use super::super::health::Health;
use super::super::redis_text::blamed;
use super::super::sessions::{SessionData, StoredSession};
use super::idle::{Idle, Kept};
use crate::config::{self, Fault, RedisSessions};
use crate::ids::TenantId;
use crate::telemetry::{Clock, UnixTime};

/// Largest value that is read whole; a longer one is cut, and so cannot be read.
const MAX_VALUE: usize = 1 << 20;
/// What the name of Django's engine `cached_db` has more than that of `cache`. With it in front, a
/// key of the one would name a session of the other; Django makes no such keys.
const OTHER_ENGINE: &str = "d_db";
/// The part of a look-up's time that Redis gets: a row may have to be asked for after it.
const SHARE: u32 = 2;

/// Every Redis cache of sessions, by the index of its credential.
#[derive(Debug)]
pub(in crate::directory) struct Caches {
    caches: BTreeMap<usize, Cache>,
    health: Health,
}

struct Cache {
    config: Arc<RedisSessions>,
    client: Client,
    idle: Idle<MultiplexedConnection>,
    limit: Duration,
}

/// Without the client, which knows the password.
impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Caches {
    /// Prepares them; opens no connection.
    pub(in crate::directory) fn build(config: &config::Directory) -> Result<Self, Vec<Fault>> {
        let mut caches = BTreeMap::new();
        for (store, cache) in &config.session_caches {
            // The error can quote the URL, and so a password.
            let client = Client::open(cache.url.value.expose()).map_err(|_| {
                let remedy = "redis://user:password@host:6379/1";
                vec![Fault::new(&cache.url.at, "not a Redis URL", remedy)]
            })?;
            let cache = Cache {
                config: Arc::clone(cache),
                client,
                idle: Idle::new(config.limits.concurrent),
                limit: config.limits.timeout / SHARE,
            };
            caches.insert(*store, cache);
        }
        Ok(Self {
            caches,
            health: Health::of("the session store"),
        })
    }

    /// Whether there are any.
    pub(in crate::directory) fn any(&self) -> bool {
        !self.caches.is_empty()
    }

    /// How they are.
    pub(in crate::directory) const fn health(&self) -> &Health {
        &self.health
    }

    /// Asks the cache of this credential; `None` when it has none.
    pub(in crate::directory) async fn session(
        &self,
        store: usize,
        tenant: &TenantId,
        key: &str,
    ) -> Option<Result<Option<StoredSession>, SourceError>> {
        let found = self.caches.get(&store)?.session(tenant, key).await;
        self.hear(found.as_ref().err());
        Some(found)
    }

    /// Asks each whether it answers.
    pub(in crate::directory) async fn probe(&self) -> Result<(), String> {
        for cache in self.caches.values() {
            let mut ping = redis::pipe();
            ping.cmd("PING");
            let answer = cache.ask(&ping).await;
            self.hear(answer.as_ref().err());
            answer.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn hear(&self, error: Option<&SourceError>) {
        match error {
            None => self.health.is_well(),
            Some(error) => self.health.is_ill(&error.to_string()),
        }
    }
}

impl Cache {
    async fn session(
        &self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<StoredSession>, SourceError> {
        if key.starts_with(OTHER_ENGINE) {
            return Ok(None);
        }
        let mut questions = redis::pipe();
        for engine in &self.config.engines {
            let name = name(&self.config, engine, tenant, key);
            questions.cmd("GETRANGE").arg(&name).arg(0).arg(MAX_VALUE);
            questions.cmd("PTTL").arg(&name);
        }
        let answers = self.ask(&questions).await?;
        let now = Clock.now().map_err(|e| SourceError::new(e.to_string()))?;
        let mut found = None;
        for answer in answers.chunks_exact(2) {
            if let Some(session) = one_session(answer, now, self.config.endless)?
                && found.replace(session).is_some()
            {
                return Err(SourceError::new(
                    "both session engines have a session of one key; name `engine`",
                ));
            }
        }
        Ok(found)
    }

    /// The answers to these commands.
    async fn ask(&self, questions: &redis::Pipeline) -> Result<Vec<Value>, SourceError> {
        let work = async {
            let _place = self.idle.place().await;
            while let Some(mut kept) = self.idle.take() {
                match questions.query_async(&mut kept.connection).await {
                    Ok(answers) => {
                        self.idle.put(kept);
                        return Ok(answers);
                    }
                    // It was closed while nobody used it; what the server says is another matter.
                    Err(error) if error.code().is_none() => {}
                    Err(error) => return Err(error),
                }
            }
            let mut kept = Kept::new(self.connect().await?);
            let answers = questions.query_async(&mut kept.connection).await?;
            self.idle.put(kept);
            Ok(answers)
        };
        let answers = timeout(self.limit, work).await.map_err(|_| {
            SourceError::new("Redis did not answer within half the time of a look-up")
        })?;
        answers.map_err(|error| SourceError::new(format!("Redis: {}", blamed(&error))))
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // What is asked has a deadline as a whole.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        self.client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

/// The name under which an engine of Django keeps a session.
fn name(config: &RedisSessions, engine: &str, tenant: &TenantId, key: &str) -> String {
    let (prefix, version) = (&config.key_prefix, config.version);
    if config.by_tenant {
        format!("{}:{prefix}:{version}:{engine}{key}", tenant.as_str())
    } else {
        format!("{prefix}:{version}:{engine}{key}")
    }
}

/// From a value and the milliseconds that are left of it to a session.
fn one_session(
    answer: &[Value],
    now: UnixTime,
    endless: Duration,
) -> Result<Option<StoredSession>, SourceError> {
    let [Value::BulkString(value), Value::Int(left)] = answer else {
        return Err(SourceError::new("Redis gave an answer of another kind"));
    };
    let life = match left {
        // It has no end.
        -1 => endless,
        left => match u64::try_from(*left) {
            Ok(left) => Duration::from_millis(left),
            // It ended between the two.
            Err(_) => return Ok(None),
        },
    };
    // A string that is not there is an empty one.
    if value.is_empty() {
        return Ok(None);
    }
    let data = SessionData::Cached(value.clone().into());
    Ok(Some(StoredSession::new(data, now.saturating_add(life))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyPath, Secret};
    use crate::telemetry::Redacted;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_hours(24);

    fn found(value: &str, left: i64) -> Option<UnixTime> {
        let answer = [Value::BulkString(value.into()), Value::Int(left)];
        let found = one_session(&answer, NOW, DAY).unwrap();
        found.map(|session| session.expires())
    }

    #[test]
    fn a_session_ends_with_its_key() {
        assert_eq!(
            found("x", 1500),
            Some(NOW.saturating_add(Duration::from_millis(1500)))
        );
        assert_eq!(found("x", 0), Some(NOW));
        assert_eq!(found("x", -1), Some(NOW.saturating_add(DAY)));
        assert_eq!(found("x", -2), None);
        assert_eq!(found("", -2), None);
        assert_eq!(found("", 5), None);
        for odd in [
            &[Value::Nil, Value::Int(5)][..],
            &[Value::BulkString(b"x".to_vec()), Value::Nil],
            &[Value::BulkString(b"x".to_vec())],
            &[],
        ] {
            assert!(one_session(odd, NOW, DAY).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn keys_are_djangos() {
        let config = |by_tenant, key_prefix: &str, version| RedisSessions {
            url: Secret {
                at: KeyPath::root(),
                value: Redacted::new("redis://localhost".into()),
                file: None,
            },
            engines: Vec::new(),
            table: None,
            key_prefix: key_prefix.into(),
            version,
            by_tenant,
            json: false,
            endless: DAY,
        };
        let acme = TenantId::parse("acme").unwrap();
        let named = |config: &RedisSessions, engine| name(config, engine, &acme, "abc");
        assert_eq!(
            named(&config(false, "", 1), "django.contrib.sessions.cached_db"),
            ":1:django.contrib.sessions.cached_dbabc"
        );
        assert_eq!(
            named(&config(false, "shop", 2), "django.contrib.sessions.cache"),
            "shop:2:django.contrib.sessions.cacheabc"
        );
        assert_eq!(
            named(&config(true, "", 1), "django.contrib.sessions.cache"),
            "acme::1:django.contrib.sessions.cacheabc"
        );
    }
}
