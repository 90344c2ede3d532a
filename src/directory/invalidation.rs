//! Invalidations: what somebody says has changed.
//!
//! An invalidation can only make the directory ask again; it never carries a value. So a forged or
//! garbled one costs look-ups and nothing else, and whatever cannot be read means "everything".

use serde_json::{Value, json};

use super::record::Record;
use super::strict_json;
use crate::ids::{AccountId, TenantId, UserId};

/// Longest message in bytes; NOTIFY takes less than 8000 (PostgreSQL manual, NOTIFY).
const LONGEST: usize = 7900;

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// One user.
    User {
        /// The user's tenant.
        tenant: TenantId,
        /// The user, by the id that the source's rows carry.
        user: UserId,
    },
    /// One account, and so every user whose row names it.
    Account {
        /// The account's tenant.
        tenant: TenantId,
        /// The account.
        account: AccountId,
    },
    /// One session.
    Session {
        /// The session's tenant.
        tenant: TenantId,
        /// The session's key.
        key: String,
    },
    /// A whole tenant.
    Tenant(TenantId),
    /// Everything.
    All,
}

impl Invalidation {
    /// Reads a message; unknown members are ignored, and anything unreadable is [`Self::All`].
    #[must_use]
    pub fn parse(message: &[u8]) -> Self {
        Self::read(message).unwrap_or(Self::All)
    }

    /// Reads a message; `None` when it is unreadable, so that a receiver can bound how often
    /// garbage clears the cache.
    #[must_use]
    pub fn read(message: &[u8]) -> Option<Self> {
        let members = strict_json::object(message).ok()?;
        let named = |name: &str| members.get(name).filter(|value| !value.is_null());
        let user = named("user").map(UserId::from_json).transpose().ok()?;
        let account = named("account")
            .map(AccountId::from_json)
            .transpose()
            .ok()?;
        let session = match named("session") {
            None => None,
            Some(Value::String(key)) if !key.is_empty() => Some(key.clone()),
            Some(_) => return None,
        };
        let Some(tenant) = named("tenant") else {
            // A user of nobody knows which tenant could be any of them.
            return (user.is_none() && account.is_none() && session.is_none()).then_some(Self::All);
        };
        let tenant = TenantId::from_json(tenant).ok()?;
        Some(match (user, account, session) {
            (Some(user), None, None) => Self::User { tenant, user },
            (None, Some(account), None) => Self::Account { tenant, account },
            (None, None, Some(key)) => Self::Session { tenant, key },
            // Two at once are covered by their tenant.
            _ => Self::Tenant(tenant),
        })
    }

    /// The message that says this, and that it was because of a revocation; who does not know that
    /// word reads the invalidation.
    pub(super) fn message_of_revocation(&self) -> String {
        let message = self.message();
        match message.strip_suffix('}') {
            Some("{") | None => message,
            Some(members) => format!("{members},\"revoked\":true}}"),
        }
    }

    /// Whether a message says so.
    pub(super) fn says_revoked(message: &[u8]) -> bool {
        strict_json::object(message)
            .is_ok_and(|members| members.get("revoked") == Some(&Value::Bool(true)))
    }

    /// The message that says this. What would be too long for a channel names its tenant alone.
    pub(super) fn message(&self) -> String {
        let message = match self {
            Self::User { tenant, user } => json!({ "tenant": tenant, "user": user }),
            Self::Account { tenant, account } => json!({ "tenant": tenant, "account": account }),
            Self::Session { tenant, key } => json!({ "tenant": tenant, "session": key }),
            Self::Tenant(tenant) => json!({ "tenant": tenant }),
            Self::All => json!({}),
        };
        let message = message.to_string();
        match self {
            Self::Session { tenant, .. } if message.len() > LONGEST => {
                Self::Tenant(tenant.clone()).message()
            }
            _ if message.len() > LONGEST => "{}".into(),
            _ => message,
        }
    }

    /// Whether an answer about (`tenant`, `subject`) could be outdated by this. Without a record
    /// the answer was "no such user": which user would have been found is then not known, so every
    /// change of the tenant's users and accounts covers it.
    pub(super) fn covers(
        &self,
        tenant: &TenantId,
        subject: &UserId,
        record: Option<&Record>,
    ) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(of) => of == tenant,
            Self::User { tenant: of, user } => {
                of == tenant
                    && (user == subject || record.is_none_or(|record| record.user == *user))
            }
            Self::Account {
                tenant: of,
                account,
            } => of == tenant && record.is_none_or(|record| record.names_account(account)),
            Self::Session { .. } => false,
        }
    }

    /// Whether what a store said of a session could be outdated by this.
    pub(super) fn covers_session(&self, tenant: &TenantId, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(of) => of == tenant,
            Self::Session {
                tenant: of,
                key: changed,
            } => of == tenant && changed == key,
            // They change the live record, which a session is held against every time.
            Self::User { .. } | Self::Account { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> TenantId {
        TenantId::parse("a").unwrap()
    }

    #[test]
    fn each_form_is_read() {
        let user = Invalidation::User {
            tenant: tenant(),
            user: UserId::parse("5").unwrap(),
        };
        for message in [
            r#"{"tenant":"a","user":"5"}"#,
            r#"{"tenant":"a","user":5,"at":17}"#,
            r#"{"tenant":"a","user":5,"account":null}"#,
        ] {
            assert_eq!(Invalidation::parse(message.as_bytes()), user, "{message}");
        }
        assert_eq!(
            Invalidation::parse(br#"{"tenant":"a","account":12}"#),
            Invalidation::Account {
                tenant: tenant(),
                account: AccountId::parse("12").unwrap()
            }
        );
        assert_eq!(
            Invalidation::parse(br#"{"tenant":"a","session":"k"}"#),
            Invalidation::Session {
                tenant: tenant(),
                key: "k".into()
            }
        );
        assert_eq!(
            Invalidation::parse(br#"{"tenant":"a"}"#),
            Invalidation::Tenant(tenant())
        );
        assert_eq!(Invalidation::read(b"{}"), Some(Invalidation::All));
    }

    #[test]
    fn what_is_said_is_what_is_read() {
        let tenant = tenant();
        for what in [
            Invalidation::All,
            Invalidation::Tenant(tenant.clone()),
            Invalidation::User {
                tenant: tenant.clone(),
                user: UserId::parse("Zo\u{eb} \"5\"").unwrap(),
            },
            Invalidation::Account {
                tenant: tenant.clone(),
                account: AccountId::parse("12").unwrap(),
            },
            Invalidation::Session {
                tenant: tenant.clone(),
                key: "k".into(),
            },
        ] {
            assert_eq!(Invalidation::read(what.message().as_bytes()), Some(what));
        }
        let long = Invalidation::Session {
            tenant: tenant.clone(),
            key: "k".repeat(8000),
        };
        assert_eq!(
            Invalidation::read(long.message().as_bytes()),
            Some(Invalidation::Tenant(tenant))
        );
    }

    #[test]
    fn two_things_at_once_are_the_whole_tenant() {
        assert_eq!(
            Invalidation::parse(br#"{"tenant":"a","user":"5","account":"12"}"#),
            Invalidation::Tenant(tenant())
        );
    }

    #[test]
    fn e20_what_cannot_be_read_is_everything() {
        for message in [
            "",
            "[]",
            "null",
            "garbage",
            r#"{"tenant":"a","user":"5"} x"#,
            r#"{"tenant":"a","user":"5","user":"6"}"#,
            r#"{"tenant":"a","user":5.5}"#,
            r#"{"tenant":"a","user":""}"#,
            r#"{"tenant":["a"],"user":"5"}"#,
            r#"{"tenant":"a","session":7}"#,
            r#"{"user":"5"}"#,
        ] {
            assert_eq!(Invalidation::read(message.as_bytes()), None, "{message}");
            assert_eq!(Invalidation::parse(message.as_bytes()), Invalidation::All);
        }
    }
}
