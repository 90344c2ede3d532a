//! The account table: which account a request acts in, given the token's and the live one.
//!
//! Pure: everything it looks at is an argument. Rows and columns stand in the README; every cell is
//! a test.

use crate::config::{Accounts, OnMismatch};
use crate::ids::AccountId;
use crate::reason::Reason;

/// What the live record says, as far as the table asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct LiveAccount<'a> {
    pub(super) account: Option<&'a AccountId>,
    pub(super) memberships: &'a [AccountId],
    /// Whether a live role is one of the policy's bypass roles.
    pub(super) bypass: bool,
}

/// The account acted in, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acting {
    pub(super) account: Option<AccountId>,
    pub(super) reason: Reason,
    /// The token names another account than the live one.
    pub(super) stale: bool,
}

/// The table. `Err` is `account_mismatch` or `account_missing`.
pub(super) fn acting(
    policy: &Accounts,
    token: Option<&AccountId>,
    live: LiveAccount<'_>,
) -> Result<Acting, Reason> {
    let act = |account: Option<&AccountId>, reason, stale| {
        Ok(Acting {
            account: account.cloned(),
            reason,
            stale,
        })
    };
    match (token, live.account) {
        (Some(token), Some(account)) if token == account => {
            act(Some(account), Reason::Match, false)
        }
        (None, Some(account)) => act(Some(account), Reason::AccountFilled, false),
        (None, None) => nobody(policy, live.bypass, false),
        (Some(token), account) => {
            if live.bypass {
                return act(Some(token), Reason::Bypass, false);
            }
            match policy.on_mismatch {
                OnMismatch::UseLive => match account {
                    Some(account) => act(Some(account), Reason::LiveAccount, true),
                    None => nobody(policy, false, true),
                },
                OnMismatch::AllowMember if live.memberships.contains(token) => {
                    act(Some(token), Reason::Member, false)
                }
                OnMismatch::Reject | OnMismatch::AllowMember => Err(Reason::AccountMismatch),
                OnMismatch::Observe => act(Some(token), Reason::Observed, true),
            }
        }
    }
}

/// Nobody's account: as `on_no_account` says; a bypass role passes without one.
fn nobody(policy: &Accounts, bypass: bool, stale: bool) -> Result<Acting, Reason> {
    if bypass {
        return Ok(Acting {
            account: None,
            reason: Reason::Bypass,
            stale,
        });
    }
    if policy.allow_no_account {
        return Ok(Acting {
            account: None,
            reason: Reason::NoAccount,
            stale,
        });
    }
    Err(Reason::AccountMissing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AccountId {
        AccountId::parse(text).unwrap()
    }

    fn policy(on_mismatch: OnMismatch) -> Accounts {
        Accounts {
            on_mismatch,
            allow_no_account: false,
            bypass_roles: vec![],
        }
    }

    /// The outcome as text: `a`, `a stale`, `-` (no account), or the refusal.
    fn cell(
        policy: &Accounts,
        token: Option<&str>,
        live: Option<&str>,
        memberships: &[&str],
        bypass: bool,
    ) -> String {
        let (token, account) = (token.map(id), live.map(id));
        let memberships: Vec<_> = memberships.iter().map(|m| id(m)).collect();
        let live = LiveAccount {
            account: account.as_ref(),
            memberships: &memberships,
            bypass,
        };
        match acting(policy, token.as_ref(), live) {
            Ok(acting) => format!(
                "{}{} {}",
                acting.account.map_or("-".to_owned(), |a| a.to_string()),
                if acting.stale { " stale" } else { "" },
                acting.reason
            ),
            Err(reason) => reason.to_string(),
        }
    }

    #[test]
    fn every_cell_of_the_table() {
        use OnMismatch::{AllowMember, Observe, Reject, UseLive};
        let rows: [(Option<&str>, Option<&str>, [&str; 4]); 5] = [
            (
                Some("a"),
                Some("a"),
                ["a match", "a match", "a match", "a match"],
            ),
            (
                None,
                Some("a"),
                [
                    "a account_filled",
                    "a account_filled",
                    "a account_filled",
                    "a account_filled",
                ],
            ),
            (
                Some("b"),
                Some("a"),
                [
                    "a stale live_account",
                    "account_mismatch",
                    "account_mismatch",
                    "b stale observed",
                ],
            ),
            (
                Some("b"),
                None,
                [
                    "account_missing",
                    "account_mismatch",
                    "account_mismatch",
                    "b stale observed",
                ],
            ),
            (
                None,
                None,
                [
                    "account_missing",
                    "account_missing",
                    "account_missing",
                    "account_missing",
                ],
            ),
        ];
        for (token, live, outcomes) in rows {
            for (mode, outcome) in [UseLive, Reject, AllowMember, Observe]
                .into_iter()
                .zip(outcomes)
            {
                assert_eq!(
                    cell(&policy(mode), token, live, &["a", "c"], false),
                    outcome,
                    "{token:?} {live:?} {mode:?}"
                );
            }
        }
    }

    #[test]
    fn a_membership_is_acted_in_only_by_allow_member() {
        assert_eq!(
            cell(
                &policy(OnMismatch::AllowMember),
                Some("b"),
                Some("a"),
                &["b"],
                false
            ),
            "b member"
        );
        assert_eq!(
            cell(
                &policy(OnMismatch::AllowMember),
                Some("b"),
                None,
                &["b"],
                false
            ),
            "b member"
        );
        assert_eq!(
            cell(
                &policy(OnMismatch::Reject),
                Some("b"),
                Some("a"),
                &["b"],
                false
            ),
            "account_mismatch"
        );
    }

    #[test]
    fn no_account_may_be_allowed() {
        let mut policy = policy(OnMismatch::UseLive);
        policy.allow_no_account = true;
        assert_eq!(cell(&policy, None, None, &[], false), "- no_account");
        assert_eq!(
            cell(&policy, Some("b"), None, &[], false),
            "- stale no_account"
        );
    }

    #[test]
    fn a_bypass_role_acts_in_the_tokens_account() {
        for mode in [
            OnMismatch::UseLive,
            OnMismatch::Reject,
            OnMismatch::AllowMember,
            OnMismatch::Observe,
        ] {
            let policy = policy(mode);
            assert_eq!(cell(&policy, Some("b"), Some("a"), &[], true), "b bypass");
            assert_eq!(cell(&policy, Some("b"), None, &[], true), "b bypass");
            assert_eq!(cell(&policy, None, None, &[], true), "- bypass");
            assert_eq!(cell(&policy, Some("a"), Some("a"), &[], true), "a match");
            assert_eq!(
                cell(&policy, None, Some("a"), &[], true),
                "a account_filled"
            );
        }
    }
}
