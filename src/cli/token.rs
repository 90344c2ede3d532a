//! `token`: mints a token with an issuer's own key, for trying things out.

use std::time::Duration;

use serde_json::Value;

use super::{ConfigFile, Outcome, Stop};
use crate::config::ClaimPath;
use crate::ids::{AccountId, IdError, TenantId, UserId};
use crate::telemetry::Clock;
use crate::token::{MintRequest, mint_for};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The issuer's name in the configuration
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// The user
    #[arg(long, value_name = "ID")]
    user: String,
    /// The account of login time
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// The tenant that the token is for
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Life of the token, as 30s, 5m, 1h
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    ttl: String,
    /// A further claim, as NAME=VALUE; a JSON value is taken as such, anything else as text
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let loaded = super::load(&arguments.file.config)?;
    let issuers = &loaded.config.issuers;
    let issuer = issuers
        .iter()
        .find(|issuer| *issuer.name == *arguments.issuer)
        .ok_or_else(|| {
            let names: Vec<&str> = issuers.iter().map(|issuer| &*issuer.name).collect();
            Stop::Wrong(format!(
                "--issuer {}: no such issuer; there is {}",
                arguments.issuer,
                names.join(", ")
            ))
        })?;
    let ttl = crate::config::raw::Duration::parse(&arguments.ttl)
        .map(|ttl| ttl.0)
        .filter(|ttl| *ttl > Duration::ZERO)
        .ok_or_else(|| {
            Stop::Wrong(format!(
                "--ttl {}: not a duration; write it as 30s, 5m or 1h",
                arguments.ttl
            ))
        })?;
    let request = MintRequest {
        user: id("--user", UserId::parse(&arguments.user))?,
        account: arguments
            .account
            .as_deref()
            .map(|text| id("--account", AccountId::parse(text)))
            .transpose()?,
        tenant: arguments
            .tenant
            .as_deref()
            .map(|text| id("--tenant", TenantId::parse(text)))
            .transpose()?,
        ttl,
        integer_ids: false,
        claims: arguments
            .claims
            .iter()
            .map(|text| claim(text))
            .collect::<Result<_, _>>()?,
    };
    let now = Clock
        .now()
        .map_err(|error| Stop::Failed(error.to_string()))?;
    let token = mint_for(issuer, &request, now).map_err(|error| Stop::Wrong(error.to_string()))?;
    super::print(&format!("{}\n", token.expose()))
}

fn id<T>(flag: &str, parsed: Result<T, IdError>) -> Result<T, Stop> {
    parsed.map_err(|error| Stop::Wrong(format!("{flag}: {error}")))
}

fn claim(text: &str) -> Result<(ClaimPath, Value), Stop> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Stop::Wrong(format!("--claim {text}: write it as NAME=VALUE")))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((ClaimPath(name.into()), value))
}
