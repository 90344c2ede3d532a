//! An outbox in PostgreSQL.
//!
//! A snapshot says which transactions are at work (manual, section 9.27, `txid_current_snapshot`):
//! every one with a number below its `xmin` has ended. Whoever writes into the outbox has such a
//! number, so a hole is closed once everybody has ended who could have an id in it.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row as _};
use tokio::time::Instant;

use super::known::{Known, Marks};
use super::{BATCH, LONGEST, ROWS, Row};
use crate::config::{self, Fault, Secret};
use crate::directory::postgres::{blamed, options};

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
    name: String,
    /// What is shown of a row.
    shown: String,
    marks: Marks,
    looked: Instant,
    /// Every transaction with a number below has ended.
    ended: u64,
    /// Every transaction that had begun to write has a number below.
    begun: u64,
}

const LOOK: &str = "SELECT pg_catalog.txid_snapshot_xmin(s), pg_catalog.txid_snapshot_xmax(s) \
                    FROM pg_catalog.txid_current_snapshot() AS s";

impl Table {
    pub(super) fn build(config: &config::Outbox, url: &Secret) -> Result<Self, Vec<Fault>> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let schema = config.schema.as_deref().unwrap_or("public");
        Ok(Self {
            options: options(url, "countersign-push")?,
            name: format!("{}.{}", quoted(schema), quoted(&config.table)),
        })
    }
}

impl Postgres {
    pub(super) async fn connect(table: &Table) -> Result<Self, String> {
        let connected = PgConnection::connect_with(&table.options).await;
        Ok(Self {
            connection: connected.map_err(|error| blamed(&error))?,
            name: table.name.clone(),
            shown: format!("id, left(message::text, {LONGEST}) AS message, said_at::text"),
            marks: Marks::default(),
            looked: Instant::now(),
            ended: 0,
            begun: u64::MAX,
        })
    }

    pub(super) async fn write(&mut self, message: &str) -> Result<(), String> {
        let text = format!("INSERT INTO {} (message) VALUES ($1)", self.name);
        // Within a transaction, and prepared for once: also a pooler leaves that together.
        let written = async {
            let mut transaction = self.connection.begin().await?;
            let query = sqlx::query(AssertSqlSafe(text)).persistent(false);
            query.bind(message).execute(&mut *transaction).await?;
            transaction.commit().await
        };
        written.await.map_err(|error| blamed(&error))
    }

    pub(super) async fn ids(&mut self) -> Result<Vec<u64>, String> {
        let limit = ROWS + 1;
        let text = format!("SELECT id FROM {} WHERE id > 0 LIMIT {limit}", self.name);
        self.ask(text).await?.iter().map(id).collect()
    }

    pub(super) async fn look(&mut self) -> Result<(), String> {
        self.looked = Instant::now();
        let rows = self.ask(LOOK.to_owned()).await?;
        let row = rows.first().ok_or("the server has no snapshot")?;
        let number = |at: usize| row.try_get::<i64, _>(at).map_err(|error| blamed(&error));
        self.ended = u64::try_from(number(0)?).unwrap_or(0);
        self.begun = u64::try_from(number(1)?).unwrap_or(u64::MAX);
        Ok(())
    }

    pub(super) async fn from(&mut self, first: u64) -> Result<Vec<Row>, String> {
        let text = format!(
            "SELECT {} FROM {} WHERE id >= {first} AND id > 0 ORDER BY id LIMIT {BATCH}",
            self.shown, self.name
        );
        rows(&self.ask(text).await?)
    }

    pub(super) async fn within(&mut self, ranges: &[(u64, u64)]) -> Result<Vec<u64>, String> {
        let ranges: Vec<String> = ranges
            .iter()
            .map(|(first, last)| format!("({first}::bigint, {last}::bigint)"))
            .collect();
        let text = format!(
            "SELECT o.id FROM (VALUES {}) AS r(first, last) \
             JOIN {} o ON o.id BETWEEN r.first AND r.last",
            ranges.join(", "),
            self.name
        );
        self.ask(text).await?.iter().map(id).collect()
    }

    pub(super) async fn rows(&mut self, ids: &[u64]) -> Result<Vec<Row>, String> {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let text = format!(
            "SELECT {} FROM {} WHERE id IN ({})",
            self.shown,
            self.name,
            ids.join(", ")
        );
        rows(&self.ask(text).await?)
    }

    /// Numbers stand in these texts and nothing else. Nothing is prepared, so that a pooler between
    /// two questions does no harm.
    async fn ask(&mut self, text: String) -> Result<Vec<PgRow>, String> {
        let query = sqlx::raw_sql(AssertSqlSafe(text));
        let rows = query.fetch_all(&mut self.connection).await;
        rows.map_err(|error| blamed(&error))
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
