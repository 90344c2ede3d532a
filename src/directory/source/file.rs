//! The file directory: records in one YAML file, kept as a snapshot.
//!
//! The file is replaced atomically by whoever writes it; it is noticed by its metadata, through
//! symbolic links. A new file that cannot be used, be it truncated, ambiguous, gone or unreadable,
//! changes nothing: the last good snapshot serves on, and status and log say so. Nothing here takes
//! an error for an empty directory.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

use super::super::cache::{Absence, Answer};
use super::super::invalidation::Invalidation;
use super::super::key::Key;
use super::super::record::Record;
use crate::config::yaml_to_json;
use crate::config::{Fault, KeyPath};
use crate::ids::{TenantId, UserId};
use crate::telemetry::{Clock, UnixTime};

/// Largest file.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// From how many changed users on everything is forgotten at once.
const MANY_CHANGES: usize = 512;

/// A file that changed this recently may change again within one tick of its time stamp.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

const USER_KEYS: [&str; 10] = [
    "tenant",
    "user",
    "account",
    "active",
    "account_active",
    "roles",
    "memberships",
    "tokens_valid_after",
    "attributes",
    "session_auth",
];

type Snapshot = HashMap<TenantId, HashMap<UserId, Record, ahash::RandomState>, ahash::RandomState>;

#[derive(Debug)]
pub(in crate::directory) struct FileSource {
    path: PathBuf,
    snapshot: ArcSwap<Snapshot>,
    /// What was tried last, and why it did not serve; held across a reading, so that an older
    /// content can never replace a newer one.
    last: tokio::sync::Mutex<Option<Mark>>,
    problem: Mutex<Option<String>>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileSource {
    pub(super) fn build(at: &KeyPath, path: &Path) -> Result<Self, Vec<Fault>> {
        let (mark, read) = read(path);
        match read {
            Ok(snapshot) => Ok(Self {
                path: path.to_owned(),
                snapshot: ArcSwap::from_pointee(snapshot),
                last: tokio::sync::Mutex::new(mark),
                problem: Mutex::default(),
            }),
            Err(problem) => Err(vec![Fault::new(
                &at.key("path"),
                format!("{}: {problem}", path.display()),
                "a readable YAML file `users: [ { user: …, account: … } ]`",
            )]),
        }
    }

    pub(super) fn find(&self, key: &Key) -> Answer {
        self.snapshot
            .load()
            .get(&key.tenant)
            .and_then(|users| users.get(&key.subject))
            .map_or(Answer::Absent(Absence::User), |record| {
                Answer::Row(Box::new(record.clone()))
            })
    }

    pub(super) fn problem(&self) -> Option<String> {
        self.lock_problem().clone()
    }

    /// Reads the file now, whatever its metadata say.
    pub(super) async fn reread(&self) -> Vec<Invalidation> {
        let mut last = self.last.lock().await;
        self.replace(&mut last).await
    }

    /// Reads the file if it is not the one that was read last.
    pub(super) async fn reread_if_changed(&self) -> Vec<Invalidation> {
        let mut last = self.last.lock().await;
        let now = std::fs::metadata(&self.path)
            .ok()
            .map(|meta| Mark::of(&meta));
        let same = now.is_some() && now == *last && now.is_some_and(Mark::has_settled);
        let still_gone = now.is_none() && last.is_none() && self.problem().is_some();
        if same || still_gone {
            return Vec::new();
        }
        self.replace(&mut last).await
    }

    async fn replace(&self, last: &mut Option<Mark>) -> Vec<Invalidation> {
        let path = self.path.clone();
        let (mark, read) = tokio::task::spawn_blocking(move || read(&path))
            .await
            .unwrap_or_else(|_| (None, Err("reading was broken off".into())));
        *last = mark;
        match read {
            Ok(snapshot) => {
                if self.lock_problem().take().is_some() {
                    tracing::info!(path = %self.path.display(), "the directory file is good again");
                }
                let old = self.snapshot.swap(Arc::new(snapshot));
                changes(&old, &self.snapshot.load())
            }
            Err(problem) => {
                let known = self.lock_problem().replace(problem.clone());
                if known.as_ref() != Some(&problem) {
                    tracing::error!(
                        path = %self.path.display(),
                        problem,
                        "the directory file cannot be used; the last good one serves on"
                    );
                }
                Vec::new()
            }
        }
    }

    fn lock_problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mark {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether a further change would show in the time stamps.
    fn has_settled(self) -> bool {
        let changed = u64::try_from(self.changed.0).map(UnixTime::from_secs);
        match (Clock.now(), changed) {
            (Ok(now), Ok(changed)) => now.since(changed) > SETTLED_AFTER,
            _ => true,
        }
    }
}

/// Reads the whole file, and makes sure that it stood still meanwhile.
fn read(path: &Path) -> (Option<Mark>, Result<Snapshot, String>) {
    let mut mark = None;
    let mut read = || {
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        let before = Mark::of(&file.metadata().map_err(|e| e.to_string())?);
        mark = Some(before);
        let mut bytes = Vec::new();
        (&file)
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| e.to_string())?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("more than {} MiB", MAX_BYTES / 1024 / 1024));
        }
        let after = Mark::of(&file.metadata().map_err(|e| e.to_string())?);
        if before.size != after.size || before.modified != after.modified {
            mark = None;
            return Err("it changes while it is read; replace it by a rename".into());
        }
        parse(&bytes)
    };
    let snapshot = read();
    (mark, snapshot)
}

fn parse(bytes: &[u8]) -> Result<Snapshot, String> {
    let Value::Object(mut document) = yaml_to_json(bytes)? else {
        return Err("it is not a mapping with the key `users`".into());
    };
    let users = document.remove("users");
    if let Some(unknown) = document.keys().next() {
        return Err(format!("unknown key `{unknown}`"));
    }
    let Some(Value::Array(users)) = users else {
        return Err("`users` is not a list".into());
    };
    let mut snapshot = Snapshot::default();
    for (index, user) in users.into_iter().enumerate() {
        let (tenant, record) = entry(user).map_err(|e| format!("users[{index}]: {e}"))?;
        let user = record.user.clone();
        if snapshot
            .entry(tenant.clone())
            .or_default()
            .insert(user.clone(), record)
            .is_some()
        {
            return Err(format!(
                "users[{index}]: user {user} of tenant {tenant} stands twice"
            ));
        }
    }
    Ok(snapshot)
}

fn entry(value: Value) -> Result<(TenantId, Record), String> {
    let Value::Object(mut entry) = value else {
        return Err("not a mapping".into());
    };
    if let Some(unknown) = entry.keys().find(|key| !USER_KEYS.contains(&key.as_str())) {
        return Err(format!("unknown key `{unknown}`"));
    }
    let tenant = entry.remove("tenant");
    let tenant = TenantId::from_json(&tenant.unwrap_or_else(|| "default".into()))
        .map_err(|e| format!("tenant: {e}"))?;
    let id = entry.remove("user").ok_or("`user` is missing")?;
    let attributes = match entry.remove("attributes") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => return Err("`attributes` is not a mapping".into()),
    };
    if let Some(taken) = attributes.keys().find(|name| is_column(name)) {
        return Err(format!("attribute `{taken}` has the name of a column"));
    }
    let mut row = entry;
    row.insert("id".into(), id);
    row.entry("account").or_insert(Value::Null);
    row.entry("active").or_insert(Value::Bool(true));
    row.extend(attributes);
    Ok((tenant, Record::read(row)?))
}

fn is_column(name: &str) -> bool {
    name == "id" || (USER_KEYS.contains(&name) && !matches!(name, "tenant" | "user" | "attributes"))
}

/// What a new snapshot says otherwise than the old one.
fn changes(old: &Snapshot, new: &Snapshot) -> Vec<Invalidation> {
    let mut changed: Vec<Invalidation> = Vec::new();
    let known = |snapshot: &Snapshot, tenant: &TenantId, user: &UserId| {
        snapshot
            .get(tenant)
            .is_some_and(|users| users.contains_key(user))
    };
    let differing = every(old)
        .filter(|(tenant, user, was)| {
            new.get(*tenant).and_then(|users| users.get(*user)) != Some(*was)
        })
        .chain(every(new).filter(|(tenant, user, _)| !known(old, tenant, user)));
    for (tenant, user, _) in differing {
        if changed.len() == MANY_CHANGES {
            return vec![Invalidation::All];
        }
        changed.push(Invalidation::User {
            tenant: tenant.clone(),
            user: user.clone(),
        });
    }
    changed
}

/// Every record with its tenant and user.
fn every(snapshot: &Snapshot) -> impl Iterator<Item = (&TenantId, &UserId, &Record)> {
    snapshot.iter().flat_map(|(tenant, users)| {
        users
            .iter()
            .map(move |(user, record)| (tenant, user, record))
    })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
