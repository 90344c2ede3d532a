//! Named parameters: `$user`, `$tenant` and `$host` in a query become the database's own.
//!
//! The query is read token by token, so a parameter's name inside a string, a quoted identifier, a
//! comment or a dollar-quoted string stays what it is. Values are always bound, never written into
//! the text. A query that could break out of the frame it is put into, or that holds a second
//! statement, is refused when the configuration is read.

use std::sync::Arc;

/// Whose SQL it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
    MySql,
}

/// What a query is for, and so which parameters it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lookup,
    Domain,
    Known,
}

/// A named parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    User,
    Tenant,
    Host,
    /// The key of a session, in the directory's own query.
    Session,
    /// The id of a token, in another one.
    Token,
}

/// A query with numbered parameters, without a semicolon at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) text: Arc<str>,
    /// What is bound to the first, the second … parameter.
    pub(super) parameters: Vec<Parameter>,
}

impl Kind {
    const fn admits(self, parameter: Parameter) -> bool {
        matches!(
            (self, parameter),
            (Self::Lookup, Parameter::User | Parameter::Tenant)
                | (Self::Domain, Parameter::Host)
                | (Self::Known, Parameter::Tenant)
        )
    }

    /// The parameter without which every question would have the same answer.
    const fn needs(self) -> Option<Parameter> {
        match self {
            Self::Lookup => Some(Parameter::User),
            Self::Domain => Some(Parameter::Host),
            Self::Known => None,
        }
    }

    /// What would be right.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Lookup => {
                "write one SELECT with the columns id, account and active, and the parameter $user (and $tenant)"
            }
            Self::Domain => "write one SELECT with the column tenant and the parameter $host",
            Self::Known => "write one SELECT with the column tenant (and the parameter $tenant)",
        }
    }
}

impl Parameter {
    const ALL: [Self; 3] = [Self::User, Self::Tenant, Self::Host];

    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Tenant => "tenant",
            Self::Host => "host",
            // No names of `ALL`: the directory's own queries are never read from text.
            Self::Session => "session",
            Self::Token => "token",
        }
    }
}

impl Query {
    /// Reads a query as it is written in the configuration.
    pub(super) fn read(sql: &str, dialect: Dialect, kind: Kind) -> Result<Self, String> {
        let mut reader = Reader {
            rest: sql,
            text: String::with_capacity(sql.len()),
            dialect,
            kind,
            parameters: Vec::new(),
            depth: 0,
            first_word: None,
            ended: false,
        };
        while let Some(next) = reader.rest.chars().next() {
            reader.token(next)?;
        }
        if reader.depth != 0 {
            return Err("the query has a parenthesis that is not closed".into());
        }
        match reader.first_word.as_deref() {
            None => return Err("the query is empty".into()),
            Some("select" | "with" | "values" | "table") => {}
            Some(word) => return Err(format!("the query begins with `{word}`, not with SELECT")),
        }
        if let Some(needed) = kind.needs()
            && !reader.parameters.contains(&needed)
        {
            return Err(format!(
                "the query has no ${}, so everyone would get the same row",
                needed.name()
            ));
        }
        Ok(Self {
            text: reader.text.trim().into(),
            parameters: reader.parameters,
        })
    }

    /// How parameter number `n` (from 1) is written.
    pub(super) fn placeholder(dialect: Dialect, n: usize) -> String {
        match dialect {
            Dialect::Postgres => format!("${n}"),
            Dialect::Sqlite => format!("?{n}"),
            // By its place alone.
            Dialect::MySql => "?".to_owned(),
        }
    }

    /// How this parameter is written as number `n`. In MySQL a tenant is compared byte by byte,
    /// whatever the column's collation passes over; a user is looked at when the row is there.
    fn written(dialect: Dialect, parameter: Parameter, n: usize) -> String {
        match (dialect, parameter) {
            (Dialect::MySql, Parameter::Tenant) => {
                "(CONVERT(? USING utf8mb4) COLLATE utf8mb4_bin)".to_owned()
            }
            _ => Self::placeholder(dialect, n),
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    text: String,
    dialect: Dialect,
    kind: Kind,
    parameters: Vec<Parameter>,
    depth: usize,
    first_word: Option<String>,
    /// A semicolon was read; only space and comments may follow.
    ended: bool,
}

impl Reader<'_> {
    fn token(&mut self, next: char) -> Result<(), String> {
        if next.is_whitespace() {
            self.take(next.len_utf8());
            return Ok(());
        }
        let mysql = self.dialect == Dialect::MySql;
        if self.rest.starts_with("--") {
            // Without the space, MySQL takes it for two signs.
            let comment = self.rest.get(2..).unwrap_or_default();
            if mysql && !comment.is_empty() && !comment.starts_with(char::is_whitespace) {
                return Err("`--` needs a space behind it to begin a comment".into());
            }
            let length = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(length);
            return Ok(());
        }
        if mysql && (self.rest.starts_with("/*!") || self.rest.starts_with("/*M!")) {
            return Err("the query holds a comment that MySQL would run".into());
        }
        if self.rest.starts_with("/*") {
            return self.comment();
        }
        if next == ';' {
            self.ended = true;
            self.skip(1);
            return Ok(());
        }
        if self.ended {
            return Err("the query holds more than one statement".into());
        }
        match next {
            '\'' => self.quote('\'', false),
            '"' => self.quote('"', false),
            '`' if self.dialect != Dialect::Postgres => self.quote('`', false),
            '[' if self.dialect == Dialect::Sqlite => self.bracket(),
            '$' => self.dollar(),
            '?' | ':' | '@' | '#' if self.dialect != Dialect::Postgres => Err(format!(
                "`{next}` does not introduce a parameter here; they are written $user, $tenant, $host"
            )),
            '(' => {
                self.depth += 1;
                self.take(1);
                Ok(())
            }
            ')' => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or("the query closes a parenthesis that it did not open")?;
                self.take(1);
                Ok(())
            }
            '\0' => Err("the query holds a NUL".into()),
            c if is_word_start(c) => self.word(),
            c if c.is_ascii_digit() => {
                let length = self.length_while(|c| c.is_ascii_alphanumeric() || c == '_');
                self.take(length);
                Ok(())
            }
            c => {
                self.take(c.len_utf8());
                Ok(())
            }
        }
    }

    fn word(&mut self) -> Result<(), String> {
        let length = self.length_while(|c| is_word_start(c) || c.is_ascii_digit() || c == '$');
        let word = self.take(length).to_ascii_lowercase();
        let backslashes = self.dialect == Dialect::Postgres && word == "e";
        if self.first_word.is_none() {
            self.first_word = Some(word);
        }
        if backslashes && self.rest.starts_with('\'') {
            return self.quote('\'', true);
        }
        Ok(())
    }

    /// A quoted string or identifier; a doubled quote stands for one.
    fn quote(&mut self, quote: char, backslashes: bool) -> Result<(), String> {
        let mut escaped = false;
        let mut characters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = characters.next() {
            if escaped {
                escaped = false;
            } else if backslashes && c == '\\' {
                escaped = true;
            } else if c == '\\' && quote != '`' && self.dialect == Dialect::MySql {
                // What it means there depends on the server's `sql_mode`.
                return Err("a quoted text in the query holds a backslash".into());
            } else if c == quote {
                if characters.peek().is_some_and(|(_, next)| *next == quote) {
                    characters.next();
                } else {
                    self.take(at + 1);
                    return Ok(());
                }
            }
        }
        Err(format!("a {quote} in the query is not closed"))
    }

    fn bracket(&mut self) -> Result<(), String> {
        let end = self
            .rest
            .find(']')
            .ok_or("a [ in the query is not closed")?;
        self.take(end + 1);
        Ok(())
    }

    /// A block comment; PostgreSQL's nest.
    fn comment(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        let mut length = 0;
        loop {
            let rest = self.rest.get(length..).unwrap_or_default();
            if rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                length += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                length += 2;
                if depth == 0 {
                    self.take(length);
                    return Ok(());
                }
            } else if let Some(c) = rest.chars().next() {
                length += c.len_utf8();
            } else {
                return Err("a comment in the query is not closed".into());
            }
        }
    }

    /// A parameter, or a dollar-quoted string.
    fn dollar(&mut self) -> Result<(), String> {
        let after = self.rest.get(1..).unwrap_or_default();
        let length = after
            .find(|c: char| !(is_word_start(c) || c.is_ascii_digit()))
            .unwrap_or(after.len());
        let name = after.get(..length).unwrap_or_default();
        let is_quote = self.dialect == Dialect::Postgres
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && after
                .get(length..)
                .is_some_and(|rest| rest.starts_with('$'));
        if is_quote {
            let tag = format!("${name}$");
            let body = self.rest.get(tag.len()..).unwrap_or_default();
            let end = body
                .find(&tag)
                .ok_or_else(|| format!("a {tag} in the query is not closed"))?;
            self.take(end + 2 * tag.len());
            return Ok(());
        }
        let parameter = Parameter::ALL
            .into_iter()
            .find(|parameter| parameter.name() == name && self.kind.admits(*parameter))
            .ok_or_else(|| format!("the query has no parameter ${name}"))?;
        let is_same = |p: &Parameter| *p == parameter && self.dialect != Dialect::MySql;
        let known = self.parameters.iter().position(is_same);
        let index = known.unwrap_or_else(|| {
            self.parameters.push(parameter);
            self.parameters.len() - 1
        });
        self.skip(1 + name.len());
        self.text
            .push_str(&Query::written(self.dialect, parameter, index + 1));
        // `$1` followed by a digit or a word would be read as one token.
        if self
            .rest
            .starts_with(|c: char| c == '$' || is_word_start(c))
        {
            self.text.push(' ');
        }
        Ok(())
    }

    fn length_while(&self, belongs: impl Fn(char) -> bool) -> usize {
        self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len())
    }

    /// Copies the next `length` bytes.
    fn take(&mut self, length: usize) -> String {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.text.push_str(taken);
        self.rest = rest;
        taken.to_owned()
    }

    /// Leaves the next `length` bytes out.
    fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
