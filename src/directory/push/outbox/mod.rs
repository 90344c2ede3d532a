//! The outbox: a table into which the app's own transactions write their messages.
//!
//! It is for databases that have no NOTIFY, and read every few hundred milliseconds. Every replica
//! reads it by itself, so nothing is marked or deleted by reading. A row that turns up below others,
//! because its transaction took longer, is found (`known.rs`); a table that was emptied or cut off
//! below what was read is noticed, and everything is begun anew.

mod known;
mod mysql;
mod postgres;

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::inbox::Inbox;
use super::peer::{Peer, Publisher};
use crate::config::{self, Fault, SqlDatabase};
use known::Known;
use mysql::MySql;
use postgres::Postgres;

/// How long the server may take for the ids at the beginning.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Rows in one answer.
const BATCH: usize = 1000;
/// Most rows that the table may hold; more has to be deleted before push can be had.
const ROWS: usize = 200_000;
/// Most ranges of ids in one question.
const RANGES: usize = 64;
/// Longest message that is read, in characters; what is longer is cut off, and so means everything.
const LONGEST: usize = 8000;

#[derive(Debug)]
pub(super) struct Outbox {
    database: Database,
    poll: Duration,
    /// The connection that publishes.
    publisher: Publisher<Line>,
}

#[derive(Debug)]
enum Database {
    Postgres(postgres::Table),
    MySql(mysql::Table),
}

/// A row.
struct Row {
    id: u64,
    message: String,
    /// When it was written: what tells it from another one of its number.
    said_at: String,
}

/// A connection.
#[derive(Debug)]
pub(super) enum Line {
    Postgres(Box<Postgres>),
    MySql(Box<MySql>),
}

impl Outbox {
    pub(super) fn build(config: &config::Outbox) -> Result<Self, Vec<Fault>> {
        let database = match &config.database {
            SqlDatabase::Postgres(url) => Database::Postgres(postgres::Table::build(config, url)?),
            SqlDatabase::MySql(url) => Database::MySql(mysql::Table::build(config, url)?),
        };
        Ok(Self {
            database,
            poll: config.poll,
            publisher: Publisher::default(),
        })
    }

    /// Writes a message.
    pub(super) async fn publish(&self, message: &str) -> Result<(), String> {
        self.publisher.publish(self, message).await
    }

    /// One connection, from its beginning to its end.
    pub(super) async fn listen(&self, inbox: &Inbox) -> Result<(), String> {
        let mut line = Self::in_time(self.connect()).await?;
        let ids = timeout(FIRST_ANSWER, line.ids()).await;
        let ids = ids.unwrap_or_else(|_| Err("the server does not answer".into()))?;
        if ids.len() > ROWS {
            return Err(format!(
                "the outbox holds more than {ROWS} rows; delete the old ones, as `countersign sql` says"
            ));
        }
        let mut known = Known::new(ids);
        let mut newest = match known.last() {
            0 => None,
            last => Self::in_time(line.rows(&[last])).await?.pop(),
        };
        // Whatever becomes visible from now on is found.
        if inbox.up().await.is_err() {
            return Ok(());
        }
        loop {
            sleep(self.poll).await;
            // Who has ended by now has shown all that it will.
            Self::in_time(line.look()).await?;
            if !Self::read_new(&mut line, &mut known, &mut newest, inbox).await?
                || !Self::read_holes(&mut line, &mut known, inbox).await?
            {
                return Ok(());
            }
            Self::in_time(line.settle(&mut known)).await?;
        }
    }

    /// Applies what stands above everything that is known; `false` when the directory is gone.
    async fn read_new(
        line: &mut Line,
        known: &mut Known,
        newest: &mut Option<Row>,
        inbox: &Inbox,
    ) -> Result<bool, String> {
        loop {
            let last = known.last();
            let mut rows = Self::in_time(line.from(last)).await?;
            let is_newest = |row: &Row| {
                let newest = newest.as_ref();
                newest.is_some_and(|newest| row.id == last && row.said_at == newest.said_at)
            };
            if last > 0 && !rows.first().is_some_and(is_newest) {
                return Err("the newest row of the outbox is gone; was the table emptied?".into());
            }
            for row in rows.iter().filter(|row| row.id > last) {
                if inbox.receive(row.message.as_bytes()).await.is_err() {
                    return Ok(false);
                }
                known.add(row.id, row.id);
            }
            let is_last = rows.len() < BATCH;
            *newest = rows.pop();
            if is_last {
                return Ok(true);
            }
        }
    }

    /// Applies what has turned up below; `false` when the directory is gone.
    async fn read_holes(line: &mut Line, known: &mut Known, inbox: &Inbox) -> Result<bool, String> {
        let holes = known.holes(RANGES);
        if holes.is_empty() {
            return Ok(true);
        }
        let mut ids = Self::in_time(line.within(&holes)).await?;
        ids.retain(|id| !known.has(*id));
        for ids in ids.chunks(BATCH) {
            for row in Self::in_time(line.rows(ids)).await? {
                if inbox.receive(row.message.as_bytes()).await.is_err() {
                    return Ok(false);
                }
                known.add(row.id, row.id);
            }
        }
        Ok(true)
    }
}

impl Peer for Outbox {
    type Connection = Line;
    type Error = String;

    async fn connect(&self) -> Result<Line, String> {
        match &self.database {
            Database::Postgres(table) => {
                Ok(Line::Postgres(Box::new(Postgres::connect(table).await?)))
            }
            Database::MySql(table) => Ok(Line::MySql(Box::new(MySql::connect(table).await?))),
        }
    }

    async fn send(&self, line: &mut Line, message: &str) -> Result<(), String> {
        line.write(message).await
    }

    fn blamed(error: &String) -> String {
        error.clone()
    }
}

impl Line {
    async fn write(&mut self, message: &str) -> Result<(), String> {
        match self {
            Self::Postgres(line) => line.write(message).await,
            Self::MySql(line) => line.write(message).await,
        }
    }

    /// Every id, and one more than there may be where there are too many.
    async fn ids(&mut self) -> Result<Vec<u64>, String> {
        match self {
            Self::Postgres(line) => line.ids().await,
            Self::MySql(line) => line.ids().await,
        }
    }

    /// Notes who is at work.
    async fn look(&mut self) -> Result<(), String> {
        match self {
            Self::Postgres(line) => line.look().await,
            // Locks say so, hole by hole.
            Self::MySql(_) => Ok(()),
        }
    }

    /// The rows from this id on, itself included, in their order.
    async fn from(&mut self, id: u64) -> Result<Vec<Row>, String> {
        match self {
            Self::Postgres(line) => line.from(id).await,
            Self::MySql(line) => line.from(id).await,
        }
    }

    /// The ids in these ranges.
    async fn within(&mut self, ranges: &[(u64, u64)]) -> Result<Vec<u64>, String> {
        match self {
            Self::Postgres(line) => line.within(ranges).await,
            Self::MySql(line) => line.within(ranges).await,
        }
    }

    /// These rows.
    async fn rows(&mut self, ids: &[u64]) -> Result<Vec<Row>, String> {
        match self {
            Self::Postgres(line) => line.rows(ids).await,
            Self::MySql(line) => line.rows(ids).await,
        }
    }

    /// Closes the holes that nobody can fill any more.
    async fn settle(&mut self, known: &mut Known) -> Result<(), String> {
        match self {
            Self::Postgres(line) => {
                line.settle(known);
                Ok(())
            }
            Self::MySql(line) => line.settle(known).await,
        }
    }
}
