//! Inspect: what the gateway holds of a user, beside what the source says at this moment.
//!
//! For an operator who asks why somebody is let in or kept out. The source is asked at its gate and
//! under its deadline like by any look-up, and its answer is shown and not kept, so that looking
//! changes nothing. `session_auth` is compared and never shown.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::cache::{Absence, Answer, Cached};
use super::error::{DirectoryError, Failure, SourceError};
use super::key::{Key, KeyRef};
use super::record::Record;
use super::service::Directory;
use crate::ids::{TenantId, UserId};

/// What was found, in the cache and at the source.
#[derive(Debug)]
pub struct Inspection {
    cached: Option<Held>,
    source: Result<Answer, DirectoryError>,
}

/// What the cache holds.
#[derive(Debug)]
struct Held {
    cached: Cached,
    /// Past its life: it serves only while the source fails, as far as that is configured.
    stale: bool,
}

/// What the source says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceSays {
    /// There is such a user.
    Known,
    /// There is no such user, or no such tenant.
    Unknown,
    /// Nothing: it cannot be asked.
    Nothing,
}

impl Directory {
    /// Looks at a subject in the cache, then at the source.
    pub async fn inspect(
        &self,
        tenant: &TenantId,
        lookup: &Arc<str>,
        subject: &UserId,
    ) -> Inspection {
        let key = KeyRef {
            tenant,
            lookup,
            subject,
        };
        let (desk, control) = self.parts();
        let now = Instant::now();
        let fresh = desk.cache.get(key, now);
        let stale = fresh.is_none();
        let cached = fresh.or_else(|| desk.cache.stale(key, now).map(Cached::Known));
        let (desk, key) = (Arc::clone(desk), key.to_key());
        let asked = control.spawn(async move {
            let timeout = desk.timeout;
            let asked = tokio::time::timeout(timeout, desk.read_now(&key)).await;
            asked
                .unwrap_or_else(|_| Err(SourceError::new("no answer within the time limit").into()))
        });
        let source = asked.await.unwrap_or_else(|_| {
            Err(Failure::Source(SourceError::new(
                "the gateway is shutting down",
            )))
        });
        Inspection {
            cached: cached.map(|cached| Held { cached, stale }),
            source: source.map_err(DirectoryError::from),
        }
    }

    /// The look-ups of the source, by name.
    #[must_use]
    pub fn lookups(&self) -> Vec<Arc<str>> {
        self.parts().0.source.lookups()
    }
}

impl super::desk::Desk {
    async fn read_now(&self, key: &Key) -> Result<Answer, Failure> {
        if self.source.has_snapshot() {
            for change in self.source.reread().await {
                self.apply(&change);
            }
            if let Some(problem) = self.source.snapshot_problem() {
                return Err(SourceError::new(problem).into());
            }
        }
        let _place = self.enter().await?;
        Ok(self.source.find(key).await?)
    }
}

impl Inspection {
    /// What the source says of the subject.
    #[must_use]
    pub const fn source_says(&self) -> SourceSays {
        match self.source {
            Ok(Answer::Row(_)) => SourceSays::Known,
            Ok(Answer::Absent(_)) => SourceSays::Unknown,
            Err(_) => SourceSays::Nothing,
        }
    }

    /// Both, as JSON, and whether they agree; `null` where one of them is silent.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let differs = self.differs();
        json!({
            "cached": self.cached.as_ref().map(shown_held),
            "source": match &self.source {
                Ok(answer) => shown_answer(answer),
                Err(error) => json!({ "error": error.to_string() }),
            },
            "agrees": differs.as_ref().map(Vec::is_empty),
            "differs": differs.unwrap_or_default(),
        })
    }

    /// What is not the same in both; `None` where one of them is silent.
    fn differs(&self) -> Option<Vec<String>> {
        let (held, source) = (self.cached.as_ref()?, self.source.as_ref().ok()?);
        let (cached, source) = match (&held.cached, source) {
            (Cached::Known(row), Answer::Row(record)) => (row.record(), &**record),
            (Cached::Absent(cached), Answer::Absent(source)) if cached == source => {
                return Some(Vec::new());
            }
            _ => return Some(vec!["known".to_owned()]),
        };
        let (shown_cached, shown_source) = (shown_record(cached), shown_record(source));
        let mut names: Vec<String> = shown_source
            .iter()
            .filter(|(name, value)| shown_cached.get(*name) != Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        if cached.session_auth != source.session_auth {
            names.push("session_auth".to_owned());
        }
        Some(names)
    }
}

fn shown_held(held: &Held) -> Value {
    match &held.cached {
        Cached::Known(row) => json!({
            "known": true,
            "age_ms": u64::try_from(row.age(Instant::now()).as_millis()).unwrap_or(u64::MAX),
            "stale": held.stale,
            "record": shown_record(row.record()),
        }),
        Cached::Absent(absence) => shown_absence(*absence),
    }
}

fn shown_answer(answer: &Answer) -> Value {
    match answer {
        Answer::Row(record) => json!({ "known": true, "record": shown_record(record) }),
        Answer::Absent(absence) => shown_absence(*absence),
    }
}

fn shown_absence(absence: Absence) -> Value {
    let reason = match absence {
        Absence::User => "user_unknown",
        Absence::Tenant => "tenant_unknown",
    };
    json!({ "known": false, "reason": reason })
}

fn shown_record(record: &Record) -> Map<String, Value> {
    let shown = json!({
        "user": record.user,
        "account": record.account,
        "active": record.active,
        "account_active": record.account_active,
        "roles": record.roles,
        "memberships": record.memberships,
        "tokens_valid_after": record.tokens_valid_after.map(crate::telemetry::UnixTime::rfc3339),
        "attributes": record.attributes(),
    });
    match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
