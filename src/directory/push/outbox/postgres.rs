//! An outbox in PostgreSQL.
//!
//! A snapshot says which transactions are at work (manual, section 9.27, `txid_current_snapshot`):
//! every one with a number below its `xmin` has ended. Whoever writes into the outbox has such a
//! number, so a hole is closed once everybody has ended who could have an id in it.

use std::str::FromStr;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::time::Instant;

use super::known::{Known, Marks};
use super::{BATCH, LONGEST, ROWS, Row, blamed};
use crate::config::{self, Fault, Secret};

/// Where the outbox is.
#[derive(Debug)]
pub(super) struct Table {
    options: PgConnectOptions,
    /// Its name, quoted.
    name: String,
}

#[derive(Debug)]
pub(in crate::directory::push) struct Postgres {
    connection: PgConnection,
    queries: Queries,
    marks: Marks,
    looked: Instant,
    /// Every transaction with a number below has ended.
    ended: u64,
    /// Every transaction that had begun to write has a number below.
    begun: u64,
}

#[derive(Debug)]
struct Queries {
    write: Arc<str>,
    ids: Arc<str>,
    from: Arc<str>,
    within: Arc<str>,
    rows: Arc<str>,
}

const LOOK: &str = "SELECT pg_catalog.txid_snapshot_xmin(s), pg_catalog.txid_snapshot_xmax(s) \
                    FROM pg_catalog.txid_current_snapshot() AS s";

impl Table {
    pub(super) fn build(config: &config::Outbox, url: &Secret) -> Result<Self, Vec<Fault>> {
        // The error can quote the URL, and so a password.
        let options = PgConnectOptions::from_str(url.value.expose()).map_err(|_| {
            vec![Fault::new(
                &url.at,
                "not a PostgreSQL URL",
                "postgres://user:password@host:5432/database?sslmode=verify-full",
            )]
        })?;
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let schema = config.schema.as_deref().unwrap_or("public");
        Ok(Self {
            options: options
                .application_name("countersign-push")
                .disable_statement_logging(),
            name: format!("{}.{}", quoted(schema), quoted(&config.table)),
        })
    }
}

impl Postgres {
    pub(super) async fn connect(table: &Table) -> Result<Self, String> {
        let connected = PgConnection::connect_with(&table.options).await;
        let (name, shown) = (
            &table.name,
            format!("id, left(message::text, {LONGEST}) AS message, said_at::text"),
        );
        Ok(Self {
            connection: connected.map_err(|error| blamed(&error))?,
            queries: Queries {
                write: format!("INSERT INTO {name} (message) VALUES ($1)").into(),
                ids: format!("SELECT id FROM {name} WHERE id > 0 LIMIT {}", ROWS + 1).into(),
                from: format!(
                    "SELECT {shown} FROM {name} WHERE id >= $1 AND id > 0 ORDER BY id LIMIT {BATCH}"
                )
                .into(),
                within: format!(
                    "SELECT o.id FROM unnest($1::bigint[], $2::bigint[]) AS r(first, last) \
                     JOIN {name} o ON o.id BETWEEN r.first AND r.last"
                )
                .into(),
                rows: format!("SELECT {shown} FROM {name} WHERE id = ANY($1)").into(),
            },
            marks: Marks::default(),
            looked: Instant::now(),
            ended: 0,
            begun: u64::MAX,
        })
    }

    pub(super) async fn write(&mut self, message: &str) -> Result<(), String> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries.write)));
        let written = query.bind(message).execute(&mut self.connection).await;
        written.map(drop).map_err(|error| blamed(&error))
    }

    pub(super) async fn ids(&mut self) -> Result<Vec<u64>, String> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries.ids)));
        let rows = query.fetch_all(&mut self.connection).await;
        ids(&rows.map_err(|error| blamed(&error))?)
    }

    pub(super) async fn look(&mut self) -> Result<(), String> {
        self.looked = Instant::now();
        let row = sqlx::query(LOOK).fetch_one(&mut self.connection).await;
        let row = row.map_err(|error| blamed(&error))?;
        let number = |at: usize| row.try_get::<i64, _>(at).map_err(|error| blamed(&error));
        self.ended = u64::try_from(number(0)?).unwrap_or(0);
        self.begun = u64::try_from(number(1)?).unwrap_or(u64::MAX);
        Ok(())
    }

    pub(super) async fn from(&mut self, id: u64) -> Result<Vec<Row>, String> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries.from)));
        let found = query.bind(signed(id)).fetch_all(&mut self.connection).await;
        rows(&found.map_err(|error| blamed(&error))?)
    }

    pub(super) async fn within(&mut self, ranges: &[(u64, u64)]) -> Result<Vec<u64>, String> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries.within)));
        let first: Vec<i64> = ranges.iter().map(|(first, _)| signed(*first)).collect();
        let last: Vec<i64> = ranges.iter().map(|(_, last)| signed(*last)).collect();
        let query = query.bind(first).bind(last);
        let rows = query.fetch_all(&mut self.connection).await;
        ids(&rows.map_err(|error| blamed(&error))?)
    }

    pub(super) async fn rows(&mut self, ids: &[u64]) -> Result<Vec<Row>, String> {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries.rows)));
        let ids: Vec<i64> = ids.iter().copied().map(signed).collect();
        let found = query.bind(ids).fetch_all(&mut self.connection).await;
        rows(&found.map_err(|error| blamed(&error))?)
    }

    pub(super) fn settle(&mut self, known: &mut Known) {
        if known.holes(1).is_empty() {
            self.marks.clear();
            return;
        }
        let times = (self.looked, Instant::now());
        self.marks.add(times, known.last(), self.begun);
        if let Some(last) = self.marks.settled(self.ended) {
            known.add(0, last);
        }
    }
}

fn ids(rows: &[PgRow]) -> Result<Vec<u64>, String> {
    rows.iter().map(id).collect()
}

fn rows(rows: &[PgRow]) -> Result<Vec<Row>, String> {
    let read = |row: &PgRow| {
        let message = row.try_get::<Option<String>, _>(1);
        Ok(Row {
            id: id(row)?,
            message: message.map_err(|error| blamed(&error))?.unwrap_or_default(),
            said_at: row.try_get(2).map_err(|error| blamed(&error))?,
        })
    };
    rows.iter().map(read).collect()
}

fn id(row: &PgRow) -> Result<u64, String> {
    let id = row.try_get::<i64, _>(0).map_err(|error| blamed(&error))?;
    u64::try_from(id).map_err(|_| "an id of the outbox is negative".to_owned())
}

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}
