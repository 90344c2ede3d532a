//! `accounts`, `identity`: the names that only the gateway may write.

use http::HeaderName;
use jsonwebtoken::AlgorithmFamily;

use super::{Context, headers, paths};
use crate::config::raw;
use crate::config::types::{
    Accounts, Assertion, Credential, Echo, ForwardCredential, Identity, IdentityHeaderNames,
    KeyPath, OnMismatch, Reissue,
};

pub(super) fn accounts(raw: &raw::Accounts, at: &KeyPath, cx: &mut Context<'_>) -> Accounts {
    if raw.on_mismatch == raw::OnMismatch::Observe {
        cx.warn(
            &at.key("on_mismatch"),
            "observe lets a moved user act in the old account, as without a gateway",
            "use it to measure; write use_live or reject to protect",
        );
    }
    roles(&raw.bypass_roles, &at.key("bypass_roles"), cx);
    Accounts {
        on_mismatch: match raw.on_mismatch {
            raw::OnMismatch::UseLive => OnMismatch::UseLive,
            raw::OnMismatch::Reject => OnMismatch::Reject,
            raw::OnMismatch::AllowMember => OnMismatch::AllowMember,
            raw::OnMismatch::Observe => OnMismatch::Observe,
        },
        allow_no_account: raw.on_no_account == raw::OnNoAccount::Allow,
        bypass_roles: raw.bypass_roles.clone(),
    }
}

/// A role is visible ASCII without a comma, or it could not stand in the roles header.
pub(super) fn roles(roles: &[String], at: &KeyPath, cx: &mut Context<'_>) {
    for (index, role) in roles.iter().enumerate() {
        if role.is_empty() || role.contains(',') || !role.bytes().all(|b| b.is_ascii_graphic()) {
            cx.fault(
                &at.index(index),
                format!("`{}` can be nobody's role", role.escape_debug()),
                "a role is visible ASCII without spaces and commas",
            );
        }
    }
}

/// Columns with a meaning of their own are no attributes.
pub(super) fn is_attribute(name: &str, at: &KeyPath, cx: &mut Context<'_>) {
    const COLUMNS: &[&str] = &[
        "account",
        "account_active",
        "active",
        "id",
        "memberships",
        "roles",
        "session_auth",
        "tokens_valid_after",
    ];
    if COLUMNS.contains(&name) {
        cx.fault(
            at,
            format!("`{name}` has a meaning of its own and is no attribute"),
            "name another column of the directory",
        );
    }
}

pub(super) fn identity(
    file: &raw::File,
    credentials: &[Credential],
    cx: &mut Context<'_>,
) -> Option<Identity> {
    let raw = &file.identity;
    let at = KeyPath::root().key("identity");
    let mut names = Names::default();
    let headers_at = at.key("headers");
    let mut own =
        |name: &str, text: &str, cx: &mut Context<'_>| names.own(text, &headers_at.key(name), cx);
    let user = own("user", &raw.headers.user, cx);
    let account = own("account", &raw.headers.account, cx);
    let tenant = own("tenant", &raw.headers.tenant, cx);
    let roles = own("roles", &raw.headers.roles, cx);
    let credential = own("credential", &raw.headers.credential, cx);
    let request_id = own("request_id", &raw.headers.request_id, cx);
    let mut attributes = Vec::new();
    for (attribute, name) in &raw.attributes {
        is_attribute(attribute, &at.key("attributes").key(attribute), cx);
        let header = names.own(name, &at.key("attributes").key(attribute), cx);
        attributes.extend(header.map(|header| (attribute.clone(), header)));
    }
    let assertion = raw
        .assertion
        .as_ref()
        .map(|raw| assertion(raw, &at.key("assertion"), &mut names, cx));
    let reissue = raw
        .reissue
        .as_ref()
        .map(|raw| reissue(raw, file, credentials, &at.key("reissue"), cx));
    let echo = raw.echo.as_ref().map(|raw| echo(raw, &at.key("echo"), cx));
    let allow = allow(&raw.allow, &names, &at.key("allow"), cx);
    Some(Identity {
        at,
        headers: IdentityHeaderNames {
            user: user?,
            account: account?,
            tenant: tenant?,
            roles: roles?,
            credential: credential?,
            request_id: request_id?,
        },
        attributes,
        assertion: transpose(assertion)?,
        reissue: transpose(reissue)?,
        allow,
        echo: transpose(echo)?,
    })
}

/// What is configured but wrong makes the whole wrong; what is left out does not.
#[expect(
    clippy::option_option,
    reason = "left out, wrong and right are three things"
)]
fn transpose<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(some) => Some(some),
    }
}

/// Names that the gateway writes, in the form in which servers cannot tell them apart.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn own(&mut self, text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<HeaderName> {
        let name = headers::own_name(text, at, cx)?;
        if text.contains('_') {
            cx.fault(
                at,
                format!("`{text}` holds `_`, which servers drop or read as `-`"),
                format!("write {}", text.replace('_', "-")),
            );
        }
        let folded = headers::folded(text);
        if self.0.contains(&folded) {
            cx.fault(
                at,
                format!("another identity value is already sent as `{text}`"),
                "give each value its own header",
            );
        }
        self.0.push(folded);
        Some(name)
    }
}

fn assertion(
    raw: &raw::Assertion,
    at: &KeyPath,
    names: &mut Names,
    cx: &mut Context<'_>,
) -> Option<Assertion> {
    let header = names.own(&raw.header, &at.key("header"), cx);
    let algorithm = jsonwebtoken::Algorithm::from(raw.algorithm);
    if algorithm.family() == AlgorithmFamily::Hmac {
        cx.fault(
            &at.key("algorithm"),
            format!("{algorithm:?} would need a secret that every upstream knows"),
            "use ES256, EdDSA or RS256; upstreams check with the public key",
        );
    }
    if raw.issuer.is_empty() {
        cx.fault(&at.key("issuer"), "the `iss` is empty", "write a name");
    }
    let ttl = cx.positive(&at.key("ttl"), raw.ttl);
    let private_key = cx.secret(&at.key("private_key"), &raw.private_key);
    Some(Assertion {
        at: at.clone(),
        header: header?,
        issuer: raw.issuer.clone(),
        audience: raw.audience.clone(),
        algorithm,
        private_key: private_key?,
        ttl,
    })
}

fn reissue(
    raw: &raw::Reissue,
    file: &raw::File,
    credentials: &[Credential],
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Reissue> {
    let issuer_at = at.key("issuer");
    let names: Vec<&str> = file
        .issuers
        .iter()
        .map(|issuer| issuer.name.as_deref().unwrap_or_default())
        .collect();
    let issuer = if let Some(name) = &raw.issuer {
        cx.index_of(&issuer_at, "issuer", name, &names, "issuers")
    } else {
        cx.fault(
            &issuer_at,
            "`issuer` is missing",
            "name the issuer whose format the fresh token has",
        );
        None
    };
    let secretless = issuer
        .and_then(|index| file.issuers.get(index))
        .is_some_and(|issuer| issuer.secret.is_none());
    if secretless && !cx.is_broken("issuers") {
        cx.fault(
            &issuer_at,
            "this issuer has public keys only, with which nothing can be signed",
            "reissue needs an issuer with a `secret`",
        );
    }
    let ttl = cx.positive(&at.key("ttl"), raw.ttl);
    let endpoint = match &raw.endpoint {
        None => None,
        Some(path) => match paths::canonical(path) {
            Ok(_) if path.trim_end_matches('/') == crate::config::JWKS_PATH => {
                cx.fault(
                    &at.key("endpoint"),
                    format!("`{path}` is where the public keys of assertions stand"),
                    "write /.well-known/countersign/token",
                );
                None
            }
            Ok(canonical) if !canonical.is_empty() => Some(path.clone()),
            other => {
                let problem = other.err().unwrap_or_else(|| "it is the root".to_owned());
                cx.fault(
                    &at.key("endpoint"),
                    format!("`{path}` is not a path for the endpoint: {problem}"),
                    "write /.well-known/countersign/token",
                );
                None
            }
        },
    };
    let used = raw.also.is_some()
        || raw.endpoint.is_some()
        || credentials
            .iter()
            .any(|credential| credential.forward == ForwardCredential::Reissue);
    if !used {
        cx.warn(
            at,
            "nothing is reissued",
            "write `forward: reissue` at a credential, or set `also` or `endpoint`",
        );
    }
    Some(Reissue {
        at: at.clone(),
        issuer: issuer?,
        ttl,
        claims: raw.claims.clone(),
        integer_ids: raw.ids == raw::IdForm::Integer,
        also_authorization: raw.also.is_some(),
        endpoint,
    })
}

fn echo(raw: &raw::Echo, at: &KeyPath, cx: &mut Context<'_>) -> Option<Echo> {
    // Response headers: distinct among themselves, but free to be called as request headers are.
    let mut names = Names::default();
    let user = names.own(&raw.user, &at.key("user"), cx);
    let account = names.own(&raw.account, &at.key("account"), cx);
    let tenant = names.own(&raw.tenant, &at.key("tenant"), cx);
    Some(Echo {
        user: user?,
        account: account?,
        tenant: tenant?,
        block_missing: raw.missing == raw::EchoMissing::Block,
        block_mismatch: raw.on_mismatch == raw::EchoMismatch::Block,
    })
}

/// Names that are let through: never one that the gateway itself writes.
fn allow(raw: &[String], names: &Names, at: &KeyPath, cx: &mut Context<'_>) -> Vec<String> {
    const OURS: &[&str] = &[
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-request-id",
    ];
    const PROTOCOL: &[&str] = &[
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let mut allowed = Vec::new();
    for (index, text) in raw.iter().enumerate() {
        let at = at.index(index);
        let Some(name) = headers::parse(text, &at, cx) else {
            continue;
        };
        let folded = headers::folded(text);
        if names.0.contains(&folded) || OURS.contains(&folded.as_str()) {
            cx.fault(
                &at,
                format!("`{text}` is written by the gateway; clients could forge it"),
                "remove it from the list",
            );
        } else if PROTOCOL.contains(&name.as_str()) {
            cx.fault(
                &at,
                format!("`{text}` belongs to one connection and is never forwarded"),
                "remove it from the list",
            );
        } else {
            allowed.push(name.as_str().to_owned());
        }
    }
    allowed
}
