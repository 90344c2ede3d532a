//! The mysql directory: rows of a MySQL or MariaDB database, by queries that the operator wrote.
//!
//! These servers compare loosely: a text that begins with a number is that number, large integers
//! are compared with texts as fractions, and the usual collations pass over case, accents and spaces
//! at the end. Ids are compared byte by byte, so a row that was found only because of that is
//! nobody's: the server says in warnings what it made of a value (`session.rs`), and is asked beside
//! the row whether it would take the row's id for the subject.

mod json;
mod session;

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Column, Executor, SqlSafeStr, Statement};

use super::super::cache::{Absence, Answer};
use super::super::error::SourceError;
use super::super::key::Key;
use super::super::mysql::options;
use super::blacklist::{self, ListedToken};
use super::parameters::Query;
use super::sessions::{self, FoundSession};
use super::{NOBODY, Queries, one_row, one_tenant};
use crate::config::{self, Fault};
use crate::ids::TenantId;

use session::{Ask, Found, Sessions};

/// The column in which the server says that it takes the row's id for the subject.
const ALIKE: &str = "countersign_alike";

#[derive(Debug)]
pub(in crate::directory) struct MySqlSource {
    sessions: Sessions,
    queries: Queries,
}

impl MySqlSource {
    pub(super) fn build(config: &config::Directory, queries: Queries) -> Result<Self, Vec<Fault>> {
        let config::DirectorySource::MySql {
            url,
            max_connections,
            ..
        } = &config.source
        else {
            return Err(Vec::new());
        };
        let connections = usize::try_from(*max_connections).unwrap_or(1);
        let sessions = Sessions::new(options(url)?, connections, config.limits.timeout);
        Ok(Self { sessions, queries })
    }

    pub(super) fn lookups(&self) -> Vec<Arc<str>> {
        self.queries.names()
    }

    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        let query = self.queries.lookup(&key.lookup)?;
        let found = self.sessions.ask(&about(query, key)).await?;
        let Found::Rows(mut rows) = found else {
            return Ok(Answer::Absent(Absence::User));
        };
        let mut alike = false;
        for row in &mut rows {
            alike |= row.remove(ALIKE).is_some_and(|alike| alike == 1);
        }
        let answer = one_row(rows, key)?;
        if let Answer::Row(record) = &answer {
            let (asked, found) = (key.subject.as_str(), record.user.as_str());
            if asked != found && (alike || same_fraction(asked, found)) {
                return Ok(Answer::Absent(Absence::User));
            }
        }
        Ok(answer)
    }

    pub(super) async fn tenant_of_domain(
        &self,
        query: &Arc<str>,
        host: &str,
    ) -> Result<Option<TenantId>, SourceError> {
        let query = self.queries.domain(query)?;
        let ask = Ask {
            text: framed(query),
            values: query.values(None, None, Some(host)),
        };
        match self.sessions.ask(&ask).await? {
            Found::Rows(rows) => one_tenant(rows),
            Found::RefusedValue => Ok(None),
        }
    }

    pub(super) async fn tenant_is_known(
        &self,
        query: &Arc<str>,
        tenant: &TenantId,
    ) -> Result<bool, SourceError> {
        let query = self.queries.known(query)?;
        let mut values = query.values(None, Some(tenant.as_str()), None);
        values.push(tenant.as_str().to_owned());
        let text = format!(
            "SELECT 1 AS known FROM (\n{}\n) AS countersign_row \
             WHERE CAST(CONVERT(countersign_row.tenant USING utf8mb4) AS BINARY) = \
             CAST(CONVERT(? USING utf8mb4) AS BINARY) LIMIT 1",
            query.text
        );
        let ask = Ask {
            text: text.into(),
            values,
        };
        let found = self.sessions.ask(&ask).await?;
        Ok(matches!(found, Found::Rows(rows) if !rows.is_empty()))
    }

    pub(super) async fn session(
        &self,
        store: usize,
        key: &str,
    ) -> Result<FoundSession, SourceError> {
        let query = self.queries.session(store)?;
        let ask = Ask {
            text: Arc::clone(&query.text),
            values: query.values(None, None, Some(key)),
        };
        match self.sessions.ask(&ask).await? {
            Found::Rows(rows) => sessions::one_session(rows, key),
            Found::RefusedValue => Ok(FoundSession::NoSession),
        }
    }

    pub(super) async fn token(&self, id: &str) -> Result<ListedToken, SourceError> {
        let query = self.queries.blacklist()?;
        let ask = Ask {
            text: framed(query),
            values: query.values(None, None, Some(id)),
        };
        match self.sessions.ask(&ask).await? {
            Found::Rows(rows) => blacklist::one_token(&rows, id),
            Found::RefusedValue => Err(SourceError::new("the token's id cannot be compared")),
        }
    }

    /// Connects, prepares every query, looks at its columns, and runs it for nobody.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let mut connection = self.sessions.connect().await.map_err(|e| e.to_string())?;
        let mut problems = Vec::new();
        for (what, query, columns) in self.queries.all() {
            let tried = try_query(&mut connection, query, columns).await;
            problems.extend(tried.err().map(|problem| format!("{what}: {problem}")));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }
}

async fn try_query(
    connection: &mut sqlx::MySqlConnection,
    query: &Query,
    required: &[&str],
) -> Result<(), String> {
    let text = AssertSqlSafe(Arc::clone(&query.text)).into_sql_str();
    let prepared = (&mut *connection).prepare(text).await;
    let statement = prepared.map_err(|e| session::failed(&e).to_string())?;
    let names: Vec<&str> = statement.columns().iter().map(Column::name).collect();
    if let Some(missing) = required.iter().find(|column| !names.contains(column)) {
        return Err(format!("the query has no column `{missing}`"));
    }
    let ask = Ask {
        text: framed(query),
        values: query.values(Some(NOBODY), Some(NOBODY), Some(NOBODY)),
    };
    let tried = session::run(connection, &ask).await;
    tried.map(drop).map_err(|e| e.into_error().to_string())
}

/// The first two rows of a query.
fn framed(query: &Query) -> Arc<str> {
    format!(
        "SELECT * FROM (\n{}\n) AS countersign_row LIMIT 2",
        query.text
    )
    .into()
}

/// The same for a look-up, with the server's word on whether it takes the row's id for the subject.
fn about(query: &Query, key: &Key) -> Ask {
    let equal = |collation: &str| {
        format!(
            "CONVERT(countersign_row.id USING utf8mb4) COLLATE {collation} = \
             countersign_asked.id COLLATE {collation}"
        )
    };
    let text = format!(
        "SELECT countersign_row.*, ({} OR {}) AS {ALIKE} FROM (\n{}\n) AS countersign_row \
         CROSS JOIN (SELECT CONVERT(? USING utf8mb4) AS id) AS countersign_asked LIMIT 2",
        equal("utf8mb4_unicode_ci"),
        equal("utf8mb4_general_ci"),
        query.text
    );
    let mut values = query.values(Some(key.subject.as_str()), Some(key.tenant.as_str()), None);
    values.push(key.subject.as_str().to_owned());
    Ask {
        text: text.into(),
        values,
    }
}

/// Whether two integers are one where they are compared as fractions: a text with a BIGINT.
fn same_fraction(a: &str, b: &str) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "the loss is what is looked for")]
    let fraction = |text: &str| text.parse::<i128>().ok().map(|number| number as f64);
    match (fraction(a), fraction(b)) {
        #[expect(clippy::float_cmp, reason = "the server compares so")]
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_integers_that_are_one_fraction_are_not_one_user() {
        assert!(same_fraction("9007199254740993", "9007199254740992"));
        assert!(!same_fraction("9007199254740993", "5"));
        assert!(!same_fraction("acme", "5"));
        assert!(!same_fraction("6", "5"));
    }
}
