//! The store: revocations that every replica shares.
//!
//! In PostgreSQL the table `countersign_revocations`, which is made where it is missing and the
//! role may; in Redis one sorted set, by the end of each. Read as a whole: what is over is deleted,
//! so there are as many as tokens were revoked before they expired.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor, Postgres, Row};
use tokio::sync::Mutex;

use super::{Revoked, What};
use crate::config::{self, Fault, RevocationStore};
use crate::directory::strict_json;
use crate::ids::{TenantId, UserId};
use crate::telemetry::{Clock, UnixTime};

/// The Redis key.
const KEY: &str = "countersign:revocations";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS countersign_revocations (\
    revocation text NOT NULL PRIMARY KEY, until double precision NOT NULL)";

#[derive(Clone)]
pub(super) struct Store(Arc<Kind>);

enum Kind {
    Postgres(PgConnectOptions, Mutex<Option<PgConnection>>),
    Redis(
        redis::Client,
        Mutex<Option<redis::aio::MultiplexedConnection>>,
    ),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match *self.0 {
            Kind::Postgres(..) => "Store(postgres)",
            Kind::Redis(..) => "Store(redis)",
        })
    }
}

impl Store {
    pub(super) fn build(config: &RevocationStore) -> Result<Self, Vec<Fault>> {
        // The errors can quote the URL, and so a password.
        let bad = |url: &config::Secret| vec![Fault::new(&url.at, "not a URL", "a database's URL")];
        let kind = match config {
            RevocationStore::Postgres(url) => {
                let options =
                    PgConnectOptions::from_str(url.value.expose()).map_err(|_| bad(url))?;
                let options = options.application_name("countersign-revocations");
                Kind::Postgres(options.disable_statement_logging(), Mutex::default())
            }
            RevocationStore::Redis(url) => {
                let client = redis::Client::open(url.value.expose()).map_err(|_| bad(url))?;
                Kind::Redis(client, Mutex::default())
            }
        };
        Ok(Self(Arc::new(kind)))
    }

    /// Stores one.
    pub(super) async fn put(&self, revoked: &Revoked) -> Result<(), String> {
        let (text, until) = (written(revoked), revoked.until.as_secs_f64());
        match &*self.0 {
            Kind::Postgres(options, kept) => {
                let mut kept = kept.lock().await;
                let mut connection = postgres(options, kept.take()).await?;
                sqlx::query::<Postgres>(
                    "INSERT INTO countersign_revocations (revocation, until) VALUES ($1, $2) \
                     ON CONFLICT (revocation) DO UPDATE SET until = GREATEST(countersign_revocations.until, EXCLUDED.until)",
                )
                .bind(text)
                .bind(until)
                .execute(&mut connection)
                .await
                .map_err(|error| blamed(&error))?;
                *kept = Some(connection);
            }
            Kind::Redis(client, kept) => {
                let mut kept = kept.lock().await;
                let mut connection = redis_connection(client, kept.take()).await?;
                redis::cmd("ZADD")
                    .arg(KEY)
                    .arg("GT")
                    .arg(until)
                    .arg(text)
                    .query_async::<i64>(&mut connection)
                    .await
                    .map_err(|error| error.category().to_owned())?;
                *kept = Some(connection);
            }
        }
        Ok(())
    }

    /// Every one that is not over.
    pub(super) async fn read(&self) -> Result<Vec<Revoked>, String> {
        let now = Clock
            .now()
            .map_err(|error| error.to_string())?
            .as_secs_f64();
        let rows: Vec<(String, f64)> = match &*self.0 {
            Kind::Postgres(options, kept) => {
                let mut kept = kept.lock().await;
                let mut connection = postgres(options, kept.take()).await?;
                let rows = sqlx::query::<Postgres>(
                    "SELECT revocation, until FROM countersign_revocations WHERE until > $1",
                )
                .bind(now)
                .fetch_all(&mut connection)
                .await
                .map_err(|error| blamed(&error))?;
                *kept = Some(connection);
                rows.iter()
                    .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                    .collect::<Result<_, sqlx::Error>>()
                    .map_err(|error| blamed(&error))?
            }
            Kind::Redis(client, kept) => {
                let mut kept = kept.lock().await;
                let mut connection = redis_connection(client, kept.take()).await?;
                let rows = redis::pipe()
                    .cmd("ZREMRANGEBYSCORE")
                    .arg(KEY)
                    .arg("-inf")
                    .arg(now)
                    .ignore()
                    .cmd("ZRANGE")
                    .arg(KEY)
                    .arg(0)
                    .arg(-1)
                    .arg("WITHSCORES")
                    .query_async::<(Vec<(String, f64)>,)>(&mut connection)
                    .await
                    .map_err(|error| error.category().to_owned())?;
                *kept = Some(connection);
                rows.0
            }
        };
        rows.iter()
            .map(|(text, until)| {
                read(text, *until).ok_or_else(|| "a stored revocation cannot be read".to_owned())
            })
            .collect()
    }
}

/// A connection whose last work ended well, or a new one. The table is made where it is missing,
/// and what is over goes.
async fn postgres(
    options: &PgConnectOptions,
    kept: Option<PgConnection>,
) -> Result<PgConnection, String> {
    if let Some(mut connection) = kept
        && connection.ping().await.is_ok()
    {
        return Ok(connection);
    }
    let connected = PgConnection::connect_with(options).await;
    let mut connection = connected.map_err(|error| blamed(&error))?;
    let there = connection
        .execute("SELECT 1 FROM countersign_revocations LIMIT 0")
        .await;
    if there.is_err() {
        connection
            .execute(TABLE)
            .await
            .map_err(|error| format!("{}; make it with: {TABLE}", blamed(&error)))?;
    }
    let now = Clock.now().map_err(|error| error.to_string())?;
    // Tidying is no reason to fail.
    let _ = sqlx::query::<Postgres>("DELETE FROM countersign_revocations WHERE until <= $1")
        .bind(now.as_secs_f64())
        .execute(&mut connection)
        .await;
    Ok(connection)
}

async fn redis_connection(
    client: &redis::Client,
    kept: Option<redis::aio::MultiplexedConnection>,
) -> Result<redis::aio::MultiplexedConnection, String> {
    if let Some(mut connection) = kept
        && redis::cmd("PING")
            .query_async::<String>(&mut connection)
            .await
            .is_ok()
    {
        return Ok(connection);
    }
    let connected = client.get_multiplexed_async_connection().await;
    connected.map_err(|error| error.category().to_owned())
}

/// What is stored: everything but `until`.
fn written(revoked: &Revoked) -> String {
    let (jti, user, made_until) = match &revoked.what {
        What::Token(id) => (Some(id), None, None),
        What::User { user, made_until } => (None, Some(user), Some(made_until.as_secs_f64())),
    };
    json!({
        "tenant": revoked.tenant, "issuer": revoked.issuer, "jti": jti, "user": user,
        "made_until": made_until,
    })
    .to_string()
}

fn read(text: &str, until: f64) -> Option<Revoked> {
    let members = strict_json::object(text.as_bytes()).ok()?;
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let what = match (given("jti"), given("user")) {
        (Some(Value::String(id)), None) => What::Token(id.clone()),
        (None, Some(user)) => What::User {
            user: UserId::from_json(user).ok()?,
            made_until: UnixTime::from_secs_f64(given("made_until")?.as_f64()?)?,
        },
        _ => return None,
    };
    Some(Revoked {
        tenant: TenantId::from_json(given("tenant")?).ok()?,
        issuer: match given("issuer") {
            None => None,
            Some(issuer) => Some(Arc::from(issuer.as_str()?)),
        },
        what,
        until: UnixTime::from_secs_f64(until)?,
    })
}

fn blamed(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_is_read() {
        for (issuer, what) in [
            (None, What::Token("a\"b".into())),
            (
                Some(Arc::from("app")),
                What::User {
                    user: UserId::parse("5").unwrap(),
                    made_until: UnixTime::from_secs(17),
                },
            ),
        ] {
            let revoked = Revoked {
                tenant: TenantId::parse("a").unwrap(),
                issuer,
                what,
                until: UnixTime::from_secs(99),
            };
            assert_eq!(read(&written(&revoked), 99.0), Some(revoked));
        }
        assert_eq!(read("{}", 1.0), None);
        assert_eq!(read("x", 1.0), None);
    }
}
