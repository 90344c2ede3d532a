//! An outbox in MySQL or MariaDB (InnoDB).
//!
//! There, whoever has written a row holds a lock on it until its transaction ends (manual, InnoDB
//! locking). So a hole is asked for with a locking read that does not wait (`NOWAIT`): a lock that is
//! held says that somebody can still fill it, and no lock and no row that nobody can. READ COMMITTED
//! keeps such a read from locking the space between rows, which would stop those who write.

use std::fmt::Write as _;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Connection, Row as _};
use tokio::time::Instant;

use super::known::{Known, Marks};
use super::{BATCH, LONGEST, RANGES, ROWS, Row};
use crate::config::{self, Fault, Secret};
use crate::directory::mysql::{blamed, number, options};

/// Holes that are asked for after one reading.
const ASKED: usize = 8;

/// The lock is held: `ER_LOCK_WAIT_TIMEOUT`, `ER_LOCK_DEADLOCK`, `ER_LOCK_NOWAIT`.
const HELD: [u16; 3] = [1205, 1213, 3572];

/// Where the outbox is.
#[derive(Debug)]
pub(super) struct Table {
    options: MySqlConnectOptions,
    /// Its name, quoted.
    name: String,
}

#[derive(Debug)]
pub(in crate::directory::push) struct MySql {
    connection: MySqlConnection,
    name: String,
    /// What is shown of a row.
    shown: String,
    marks: Marks,
}

impl Table {
    pub(super) fn build(config: &config::Outbox, url: &Secret) -> Result<Self, Vec<Fault>> {
        let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
        let schema = config.schema.as_deref().map(quoted);
        let table = quoted(&config.table);
        Ok(Self {
            options: options(url)?,
            name: schema.map_or_else(|| table.clone(), |schema| format!("{schema}.{table}")),
        })
    }
}

impl MySql {
    pub(super) async fn connect(table: &Table) -> Result<Self, String> {
        let connected = MySqlConnection::connect_with(&table.options).await;
        let mut connection = connected.map_err(|error| blamed(&error))?;
        sqlx::raw_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .execute(&mut connection)
            .await
            .map_err(|error| blamed(&error))?;
        Ok(Self {
            connection,
            name: table.name.clone(),
            shown: format!(
                "id, LEFT(CONVERT(message USING utf8mb4), {LONGEST}) AS message, CAST(said_at AS CHAR)"
            ),
            marks: Marks::default(),
        })
    }

    pub(super) async fn write(&mut self, message: &str) -> Result<(), String> {
        let text = format!("INSERT INTO {} (message) VALUES (?)", self.name);
        let query = sqlx::query(AssertSqlSafe(text)).bind(message.to_owned());
        let written = query.execute(&mut self.connection).await;
        written.map(drop).map_err(|error| blamed(&error))
    }

    pub(super) async fn ids(&mut self) -> Result<Vec<u64>, String> {
        let text = format!("SELECT id FROM {} LIMIT {}", self.name, ROWS + 1);
        self.ask(text).await?.iter().map(id).collect()
    }

    pub(super) async fn from(&mut self, first: u64) -> Result<Vec<Row>, String> {
        let text = format!(
            "SELECT {} FROM {} WHERE id >= {first} ORDER BY id LIMIT {BATCH}",
            self.shown, self.name
        );
        rows(&self.ask(text).await?)
    }

    pub(super) async fn within(&mut self, ranges: &[(u64, u64)]) -> Result<Vec<u64>, String> {
        let mut text = format!("SELECT id FROM {} WHERE 1 = 0", self.name);
        for (first, last) in ranges {
            let _ = write!(text, " OR id BETWEEN {first} AND {last}");
        }
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

    pub(super) async fn settle(&mut self, known: &mut Known) -> Result<(), String> {
        let holes = known.holes(RANGES);
        if holes.is_empty() {
            self.marks.clear();
            return Ok(());
        }
        let now = Instant::now();
        self.marks.add((now, now), known.last(), 0);
        // Here every lock says for itself whether somebody is at work.
        let Some(settled) = self.marks.settled(0) else {
            return Ok(());
        };
        let old = holes.iter().filter(|(_, last)| *last <= settled);
        for (first, last) in old.take(ASKED) {
            let text = format!(
                "SELECT id FROM {} WHERE id BETWEEN {first} AND {last} FOR UPDATE NOWAIT",
                self.name
            );
            let found = sqlx::raw_sql(AssertSqlSafe(text))
                .fetch_all(&mut self.connection)
                .await;
            let ids: Vec<u64> = match found {
                Ok(rows) => rows.iter().map(id).collect::<Result<_, _>>()?,
                Err(error) if number(&error).is_some_and(|number| HELD.contains(&number)) => {
                    continue;
                }
                Err(error) => return Err(blamed(&error)),
            };
            // What has come in the meantime is read first.
            if ids.iter().all(|id| known.has(*id)) {
                known.add(*first, *last);
            }
        }
        Ok(())
    }

    /// Numbers stand in these texts and nothing else.
    async fn ask(&mut self, text: String) -> Result<Vec<MySqlRow>, String> {
        let query = sqlx::raw_sql(AssertSqlSafe(text));
        let rows = query.fetch_all(&mut self.connection).await;
        rows.map_err(|error| blamed(&error))
    }
}

fn rows(rows: &[MySqlRow]) -> Result<Vec<Row>, String> {
    let read = |row: &MySqlRow| {
        let message = row.try_get_unchecked::<Option<String>, _>(1);
        Ok(Row {
            id: id(row)?,
            message: message.map_err(|error| blamed(&error))?.unwrap_or_default(),
            said_at: row.try_get_unchecked(2).map_err(|error| blamed(&error))?,
        })
    };
    rows.iter().map(read).collect()
}

fn id(row: &MySqlRow) -> Result<u64, String> {
    row.try_get_unchecked::<u64, _>(0)
        .map_err(|_| "an id of the outbox is no number above 0".to_owned())
}
