//! The http directory: one GET per look-up.
//!
//! 200 with a JSON object is a record, 404 is "no such user", everything else is an error: a
//! redirect is not followed, a page of HTML is no record. The answer has to name the user it was
//! asked for, since a cache or a bug in between may answer with somebody else.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::super::cache::{Absence, Answer};
use super::super::error::SourceError;
use super::super::key::Key;
use super::super::strict_json;
use super::template::Template;
use super::{NOBODY, one_row};
use crate::config::{self, Fault};
use crate::ids::{TenantId, UserId};
use crate::net::{FetchLimits, Fetcher, HttpUrl, TlsRoots};

/// Largest answer.
const MAX_ANSWER: usize = 1024 * 1024;

#[derive(Debug)]
pub(in crate::directory) struct HttpSource {
    template: Template,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The source's name of each of our fields.
    fields: BTreeMap<String, String>,
    timeout: Duration,
    fetcher: Fetcher,
}

impl HttpSource {
    pub(super) fn build(config: &config::Directory) -> Result<Self, Vec<Fault>> {
        let config::DirectorySource::Http {
            at,
            url,
            headers: configured,
            fields,
        } = &config.source
        else {
            return Err(Vec::new());
        };
        let mut faults = Vec::new();
        let template = Template::read(url)
            .map_err(|problem| {
                faults.push(Fault::new(
                    &at.key("url"),
                    problem,
                    "https://app.internal/identity/{tenant}/{user}",
                ));
            })
            .ok();
        let mut headers = Vec::new();
        for (name, value) in configured {
            match HeaderValue::from_str(value.expose()) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.push((name.clone(), value));
                }
                Err(_) => faults.push(Fault::new(
                    &at.key("headers").key(name.as_str()),
                    "the value cannot stand in a header",
                    "visible ASCII",
                )),
            }
        }
        let fetcher = Fetcher::new(&TlsRoots::system())
            .map_err(|error| {
                faults.push(Fault::new(at, error.to_string(), "a TLS set-up that works"));
            })
            .ok();
        match template.zip(fetcher) {
            Some((template, fetcher)) if faults.is_empty() => Ok(Self {
                fetcher,
                template,
                headers,
                fields: fields.clone(),
                timeout: config.limits.timeout,
            }),
            _ => Err(faults),
        }
    }

    pub(super) async fn find(&self, key: &Key) -> Result<Answer, SourceError> {
        let tenant = key.tenant.as_str();
        let Some(url) = self
            .template
            .fill(tenant, key.subject.as_str(), &key.lookup)
        else {
            return Ok(Answer::Absent(Absence::User));
        };
        let url = HttpUrl::parse(&url).map_err(|error| SourceError::new(error.to_string()))?;
        let limits = FetchLimits {
            deadline: self.timeout,
            body: MAX_ANSWER,
        };
        let answer = self
            .fetcher
            .fetch(&url, &self.headers, limits)
            .await
            .map_err(|error| SourceError::new(error.to_string()))?;
        match answer.status.as_u16() {
            200 => self.record(&answer.body, key),
            404 => Ok(Answer::Absent(Absence::User)),
            other => Err(SourceError::new(format!("the answer's status is {other}"))),
        }
    }

    /// Asks about nobody; any well-formed answer shows that the service is there.
    pub(super) async fn probe(&self) -> Result<(), String> {
        let key = Key {
            tenant: TenantId::parse("default").map_err(|e| e.to_string())?,
            lookup: "default".into(),
            subject: UserId::parse(NOBODY).map_err(|e| e.to_string())?,
        };
        self.find(&key).await.map(drop).map_err(|e| e.to_string())
    }

    fn record(&self, body: &[u8], key: &Key) -> Result<Answer, SourceError> {
        let answer = strict_json::object(body).map_err(SourceError::new)?;
        let mut row = self.renamed(answer)?;
        if let Some(tenant) = row.remove("tenant")
            && TenantId::from_json(&tenant).as_ref() != Ok(&key.tenant)
        {
            return Err(SourceError::new("the answer is about another tenant"));
        }
        let id = row.get("id").map(UserId::from_json);
        if let Some(id) = id
            && id.as_ref() != Ok(&key.subject)
        {
            return Err(SourceError::new("the answer is about another user"));
        }
        one_row(vec![row], key)
    }

    /// Gives each field the name that a record knows it by. A field that is not mapped keeps its
    /// own, except that the user may be called `user` or `id`.
    fn renamed(&self, mut answer: Map<String, Value>) -> Result<Map<String, Value>, SourceError> {
        let mut row = Map::new();
        let mapped: Vec<(&str, Option<Value>)> = self
            .fields
            .iter()
            .map(|(ours, theirs)| (ours.as_str(), answer.get(theirs).cloned()))
            .collect();
        for theirs in self.fields.values() {
            answer.remove(theirs);
        }
        for (ours, value) in mapped {
            // What we call by this name is elsewhere; what the source calls so is not meant.
            answer.remove(ours);
            if let Some(value) = value {
                row.insert(column(ours).to_owned(), value);
            }
        }
        for (name, value) in answer {
            let name = column(&name);
            if name == "id" && self.fields.contains_key("user") {
                continue;
            }
            if row.insert(name.to_owned(), value).is_some() {
                return Err(SourceError::new(format!(
                    "the answer has two fields for `{name}`"
                )));
            }
        }
        Ok(row)
    }
}

fn column(field: &str) -> &str {
    if field == "user" { "id" } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KeyPath;

    fn source(fields: &[(&str, &str)]) -> HttpSource {
        HttpSource::build(&config::Directory {
            at: KeyPath::root(),
            source: config::DirectorySource::Http {
                at: KeyPath::root(),
                url: "http://127.0.0.1:1/{tenant}/{user}".into(),
                headers: Vec::new(),
                fields: fields
                    .iter()
                    .map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned()))
                    .collect(),
            },
            cache: config::DirectoryCache {
                capacity: 1,
                ttl: Duration::ZERO,
                ttl_without_push: Duration::ZERO,
                negative_ttl: Duration::ZERO,
                stale_if_error: Duration::ZERO,
            },
            limits: config::DirectoryLimits {
                timeout: Duration::from_secs(1),
                concurrent: 1,
                queue: 1,
            },
            session_tables: std::collections::BTreeMap::new(),
            blacklist: None,
            session_caches: std::collections::BTreeMap::new(),
            invalidation: config::Invalidation::default(),
        })
        .unwrap()
    }

    fn key() -> Key {
        Key {
            tenant: TenantId::parse("a").unwrap(),
            lookup: "default".into(),
            subject: UserId::parse("5").unwrap(),
        }
    }

    #[test]
    fn fields_are_mapped_and_the_rest_are_attributes() {
        let source = source(&[("user", "pk"), ("account", "org"), ("active", "is_active")]);
        let body = br#"{"pk":5,"org":12,"is_active":true,"id":"row-77","email":"x","account":3}"#;
        let Ok(Answer::Row(record)) = source.record(body, &key()) else {
            panic!("no row")
        };
        assert_eq!(record.user.as_str(), "5");
        assert_eq!(record.account.as_ref().unwrap().as_str(), "12");
        assert!(record.active);
        assert_eq!(record.attributes().keys().count(), 1);
    }

    #[test]
    fn e23_an_answer_about_somebody_else_is_an_error() {
        let source = source(&[]);
        for body in [
            r#"{"id":6,"account":1,"active":true}"#,
            r#"{"user":"05","account":1,"active":true}"#,
            r#"{"id":5,"tenant":"b","account":1,"active":true}"#,
            r#"{"id":5,"user":6,"account":1,"active":true}"#,
            r#"{"id":5,"id":6,"account":1,"active":true}"#,
            r#"{"account":1,"active":true}"#,
            r#"{"id":5,"account":1}"#,
            r#"{"id":null,"account":1,"active":true}"#,
            "[]",
            "",
            "<html>",
        ] {
            assert!(source.record(body.as_bytes(), &key()).is_err(), "{body}");
        }
        for body in [
            r#"{"id":5,"account":1,"active":true,"tenant":"a"}"#,
            r#"{"user":"5","account":null,"active":true}"#,
        ] {
            assert!(source.record(body.as_bytes(), &key()).is_ok(), "{body}");
        }
    }
}
