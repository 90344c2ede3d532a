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

use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::inbox::Inbox;
use crate::config::{self, Fault, OutboxDatabase};
use known::Known;
use mysql::MySql;
use postgres::Postgres;

/// How long the server may take for anything that is asked of it.
const ANSWER: Duration = Duration::from_secs(3);
/// And for the ids at the beginning.
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
    publisher: Mutex<Option<Line>>,
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
}

/// A connection.
#[derive(Debug)]
enum Line {
    Postgres(Box<Postgres>),
    MySql(Box<MySql>),
}

impl Outbox {
    pub(super) fn build(config: &config::Outbox) -> Result<Self, Vec<Fault>> {
        let database = match &config.database {
            OutboxDatabase::Postgres(url) => {
                Database::Postgres(postgres::Table::build(config, url)?)
            }
            OutboxDatabase::MySql(url) => Database::MySql(mysql::Table::build(config, url)?),
        };
        Ok(Self {
            database,
            poll: config.poll,
            publisher: Mutex::default(),
        })
    }

    /// Writes a message, on a new connection where the kept one has died.
    pub(super) async fn publish(&self, message: &str) -> Result<(), String> {
        let mut kept = self.publisher.lock().await;
        // Taken out while it is used: a deadline that ends this closes it.
        if let Some(mut line) = kept.take()
            && line.write(message).await.is_ok()
        {
            *kept = Some(line);
            return Ok(());
        }
        let mut line = self.connect().await?;
        line.write(message).await?;
        *kept = Some(line);
        Ok(())
    }

    /// One connection, from its beginning to its end.
    pub(super) async fn listen(&self, inbox: &Inbox) -> Result<(), String> {
        let mut line = in_time(ANSWER, self.connect()).await?;
        let ids = in_time(FIRST_ANSWER, line.ids()).await?;
        if ids.len() > ROWS {
            return Err(format!(
                "the outbox holds more than {ROWS} rows; delete the old ones, as `countersign sql` says"
            ));
        }
        let mut known = Known::new(ids);
        // Whatever becomes visible from now on is found.
        if inbox.up().await.is_err() {
            return Ok(());
        }
        loop {
            sleep(self.poll).await;
            // Who has ended by now has shown all that it will.
            in_time(ANSWER, line.look()).await?;
            if !self.read_new(&mut line, &mut known, inbox).await?
                || !self.read_holes(&mut line, &mut known, inbox).await?
            {
                return Ok(());
            }
            in_time(ANSWER, line.settle(&mut known)).await?;
        }
    }

    /// Applies what stands above everything that is known; `false` when the directory is gone.
    async fn read_new(
        &self,
        line: &mut Line,
        known: &mut Known,
        inbox: &Inbox,
    ) -> Result<bool, String> {
        loop {
            let last = known.last();
            let rows = in_time(ANSWER, line.from(last)).await?;
            if last > 0 && rows.first().is_none_or(|row| row.id != last) {
                return Err("the newest row of the outbox is gone; was the table emptied?".into());
            }
            for row in rows.iter().filter(|row| row.id > last) {
                if inbox.receive(row.message.as_bytes()).await.is_err() {
                    return Ok(false);
                }
                known.add(row.id, row.id);
            }
            if rows.len() < BATCH {
                return Ok(true);
            }
        }
    }

    /// Applies what has turned up below; `false` when the directory is gone.
    async fn read_holes(
        &self,
        line: &mut Line,
        known: &mut Known,
        inbox: &Inbox,
    ) -> Result<bool, String> {
        let holes = known.holes(RANGES);
        if holes.is_empty() {
            return Ok(true);
        }
        let mut ids = in_time(ANSWER, line.within(&holes)).await?;
        ids.retain(|id| !known.has(*id));
        for ids in ids.chunks(BATCH) {
            for row in in_time(ANSWER, line.rows(ids)).await? {
                if inbox.receive(row.message.as_bytes()).await.is_err() {
                    return Ok(false);
                }
                known.add(row.id, row.id);
            }
        }
        Ok(true)
    }

    async fn connect(&self) -> Result<Line, String> {
        match &self.database {
            Database::Postgres(table) => {
                Ok(Line::Postgres(Box::new(Postgres::connect(table).await?)))
            }
            Database::MySql(table) => Ok(Line::MySql(Box::new(MySql::connect(table).await?))),
        }
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

async fn in_time<T>(
    most: Duration,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match timeout(most, work).await {
        Ok(done) => done,
        Err(_) => Err("the server does not answer".into()),
    }
}

/// The error as the log and `/readyz` tell it; it never holds the URL.
fn blamed(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => match database.code() {
            Some(code) => format!("{} (SQLSTATE {code})", database.message()),
            None => database.message().to_owned(),
        },
        error => error.to_string(),
    }
}
