//! Inspect: what an operator may look at. Looking changes nothing.

use std::sync::Arc;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{Admin, Answer};
use crate::directory::SourceSays;
use crate::gateway::Wanted;
use crate::ids::{TenantId, UserId};

/// Streams on one page, unless another number is asked for.
const PAGE: usize = 100;
/// Most streams on one page.
const LONGEST_PAGE: usize = 1000;

/// `GET /v1/streams`: who is connected, the oldest first.
pub(super) fn streams(admin: &Admin, query: Option<&str>) -> Answer {
    match wanted(query) {
        Ok(wanted) => {
            let page = admin.gateway.open_streams().page(&wanted);
            super::json(StatusCode::OK, &json!(page))
        }
        Err(problem) => bad(&problem),
    }
}

fn wanted(query: Option<&str>) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        limit: PAGE,
        ..Wanted::default()
    };
    for (name, value) in parameters(query)? {
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} is no number"))
        };
        let id = |error| format!("{name}: {error}");
        match name.as_str() {
            "tenant" => wanted.tenant = Some(TenantId::parse(&value).map_err(id)?),
            "user" => wanted.user = Some(UserId::parse(&value).map_err(id)?),
            "after" => wanted.after = number()?,
            "limit" => match usize::try_from(number()?) {
                Ok(limit @ 1..=LONGEST_PAGE) => wanted.limit = limit,
                _ => return Err(format!("limit is from 1 to {LONGEST_PAGE}")),
            },
            _ => return Err("there are: tenant, user, after, limit".to_owned()),
        }
    }
    Ok(wanted)
}

/// `GET /v1/directory/{tenant}/{user}`: what is cached, and what the source says now.
pub(super) async fn directory(admin: &Admin, rest: &str, query: Option<&str>) -> Answer {
    let directory = admin.gateway.directory();
    let asked = rest.split_once('/').filter(|(_, user)| !user.contains('/'));
    let asked = asked.ok_or("write /v1/directory/TENANT/USER, and a / in an id as %2F");
    let ids = asked.map_err(str::to_owned).and_then(|(tenant, user)| {
        let tenant = TenantId::parse(&decoded(tenant)?).map_err(|e| format!("tenant: {e}"))?;
        let user = UserId::parse(&decoded(user)?).map_err(|e| format!("user: {e}"))?;
        Ok((tenant, user))
    });
    let (tenant, user) = match ids {
        Ok(ids) => ids,
        Err(problem) => return bad(&problem),
    };
    let lookup = match lookup(&directory.lookups(), query) {
        Ok(lookup) => lookup,
        Err(problem) => return bad(&problem),
    };
    let found = directory.inspect(&tenant, &lookup, &user).await;
    let status = match found.source_says() {
        SourceSays::Known => StatusCode::OK,
        SourceSays::Unknown => StatusCode::NOT_FOUND,
        SourceSays::Nothing => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut answer = json!({ "tenant": tenant, "lookup": &*lookup, "subject": user });
    if let (Some(answer), serde_json::Value::Object(found)) =
        (answer.as_object_mut(), found.to_json())
    {
        answer.extend(found);
    }
    super::json(status, &answer)
}

/// The look-up that is named, else `default`, else the only one.
fn lookup(lookups: &[Arc<str>], query: Option<&str>) -> Result<Arc<str>, String> {
    let mut named = None;
    for (name, value) in parameters(query)? {
        if name != "lookup" {
            return Err("there is: lookup".to_owned());
        }
        named = Some(value);
    }
    let is_meant = |lookup: &&Arc<str>| match &named {
        Some(named) => ***lookup == **named,
        None => &***lookup == "default" || lookups.len() == 1,
    };
    let found = lookups.iter().find(is_meant).cloned();
    found.ok_or_else(|| format!("name one with ?lookup=: {}", lookups.join(", ")))
}

fn parameters(query: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let parts = query.unwrap_or_default().split('&');
    let parts = parts.filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Ok((name.to_owned(), decoded(value)?))
    });
    parts.collect()
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "what is percent-encoded is no UTF-8".to_owned())
}

fn bad(problem: &str) -> Answer {
    super::json(StatusCode::BAD_REQUEST, &json!({ "error": problem }))
}
