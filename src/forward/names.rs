//! Reserved names: request headers that only the gateway may write.
//!
//! Servers fold header names: WSGI turns `-` and `_` into one character, PHP also `.` and space,
//! some CGI servers whatever is no letter or digit. A name is therefore compared after folding case
//! and all of those to `-`, and a name with `_` has no business in a request at all. What is removed here is removed from every request on every
//! route before anything is added; nothing is ever removed after an identity has been written.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderMap, HeaderName};

use super::hop;
use crate::config::Identity;
use crate::wire::METHOD_OVERRIDES;

const STALE: &str = "x-auth-token-stale";

/// Families that say where a request came from, or who sent it, to some server or framework.
const PREFIXES: [&str; 6] = [
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
    "x-envoy-",
    "x-ssl-client-",
    "remote-",
];

/// The single names of that kind.
const NAMES: [&str; 6] = [
    "forwarded",
    "x-real-ip",
    "proxy",
    "script-name",
    "path-info",
    "daphne-root-path",
];

/// What the gateway writes itself beside the configured names; `identity.allow` never admits it.
const WRITTEN: [&str; 5] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

type Set = HashSet<Box<str>, ahash::RandomState>;

/// The names that are nobody's but ours.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// Configured names, folded: the gateway writes them, or reads them from the upstream.
    own: Set,
    /// Names that are let through though a rule would remove them, lower-case, not folded.
    allowed: Set,
    /// The first bytes of `own`: most names begin otherwise, and are done with one look.
    own_begin: Begins,
    /// The first bytes of whatever a client may not send.
    any_begin: Begins,
}

/// Which bytes names of a kind begin with.
#[derive(Debug, Clone)]
struct Begins([bool; 256]);

impl Begins {
    fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut begins = [false; 256];
        for name in names {
            if let Some(first) = name.as_bytes().first()
                && let Some(place) = begins.get_mut(usize::from(*first))
            {
                *place = true;
            }
        }
        Self(begins)
    }

    fn has(&self, name: &str) -> bool {
        let first = name.as_bytes().first().copied().unwrap_or_default();
        self.0.get(usize::from(first)).copied().unwrap_or_default()
    }
}

impl Reserved {
    /// The names of this configuration; `also` are headers that tenants are read from, which the
    /// gateway rewrites to the decided tenant.
    pub fn new<'a>(identity: &'a Identity, also: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let names = &identity.headers;
        let fixed = [
            &names.user,
            &names.account,
            &names.tenant,
            &names.roles,
            &names.credential,
            &names.request_id,
        ];
        let assertion = identity.assertion.iter().map(|assertion| &assertion.header);
        let echo = identity
            .echo
            .iter()
            .flat_map(|echo| [&echo.user, &echo.account, &echo.tenant]);
        let attributes = identity.attributes.iter().map(|(_, name)| name);
        let own = fixed
            .into_iter()
            .chain(attributes)
            .chain(assertion)
            .chain(echo)
            .chain(also)
            .map(HeaderName::as_str)
            .chain([STALE])
            .map(|name| folded(name).into())
            .collect::<Set>();
        let allowed = identity
            .allow
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .filter(|name| {
                let folded = folded(name);
                !own.contains(&*folded) && !WRITTEN.contains(&&*folded)
            })
            .map(String::into_boxed_str)
            .collect();
        let own_begin = Begins::of(own.iter().map(|name| &**name));
        let rules = NAMES.into_iter().chain(PREFIXES);
        let methods = METHOD_OVERRIDES;
        let overrides = methods.iter().map(HeaderName::as_str);
        let any_begin = Begins::of(rules.chain(overrides).chain(own.iter().map(|name| &**name)));
        Self {
            own,
            allowed,
            own_begin,
            any_begin,
        }
    }

    /// Whether a client may not send this header.
    pub fn holds(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        let reserved = if has_folds(name) {
            self.own.contains(name) || self.reserves_alias(name)
        } else if self.any_begin.has(name) {
            self.own.contains(name) || is_reserved(name)
        } else {
            false
        };
        reserved && (self.own.contains(name) || !self.allowed.contains(name))
    }

    /// Whether the gateway alone writes this header, in either direction.
    pub fn is_own(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        // The fold of a name can only begin otherwise where its first byte is folded.
        (self.own_begin.has(name) || has_folds(name)) && self.own.contains(&*folded(name))
    }

    /// Removes every reserved name from a request.
    pub fn strip(&self, headers: &mut HeaderMap) {
        remove(headers, |name| self.holds(name));
    }

    /// A name with `_`, `.` or the like: the first is never let through, the others not where their
    /// folded form means something.
    fn reserves_alias(&self, name: &str) -> bool {
        let folded = folded(name);
        name.contains('_')
            || is_reserved(&folded)
            || self.own.contains(&*folded)
            || HeaderName::from_bytes(folded.as_bytes())
                .is_ok_and(|name| hop::ends_here(&name) || hop::is_protected(&name))
    }
}

/// Removes the names for which `doomed` holds, all their lines.
pub(super) fn remove(headers: &mut HeaderMap, doomed: impl Fn(&HeaderName) -> bool) {
    let found: Vec<HeaderName> = headers
        .keys()
        .filter(|name| doomed(name))
        .cloned()
        .collect();
    for name in found {
        headers.remove(name);
    }
}

/// Whether one of the fixed rules covers this name, which is folded.
fn is_reserved(name: &str) -> bool {
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || METHOD_OVERRIDES.iter().any(|over| over.as_str() == name)
}

/// Whether some server takes this byte of a name for `-`. Names are in lower case here.
const fn folds(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte != b'-'
}

/// Whether some server would read this name as another one.
#[expect(
    clippy::indexing_slicing,
    reason = "by a byte into 256 places, at compile time"
)]
fn has_folds(name: &str) -> bool {
    const FOLDS: [bool; 256] = {
        let mut all = [false; 256];
        let mut byte = 0_u8;
        loop {
            all[byte as usize] = folds(byte);
            if byte == u8::MAX {
                break all;
            }
            byte += 1;
        }
    };
    name.bytes()
        .any(|byte| FOLDS.get(usize::from(byte)).copied().unwrap_or(true))
}

/// A name in lower case, with `-` for whatever is no letter or digit.
fn folded(name: &str) -> Cow<'_, str> {
    let changes = |byte: u8| byte.is_ascii_uppercase() || folds(byte);
    if !name.bytes().any(changes) {
        return Cow::Borrowed(name);
    }
    let fold = |character: char| {
        if character.is_ascii_alphanumeric() {
            character.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    Cow::Owned(name.chars().map(fold).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Echo, IdentityHeaderNames, KeyPath};

    fn name(text: &str) -> HeaderName {
        HeaderName::from_bytes(text.as_bytes()).unwrap()
    }

    /// The default names, an attribute and echo headers.
    pub(in crate::forward) fn identity(allow: &[&str]) -> Identity {
        Identity {
            at: KeyPath::root().key("identity"),
            headers: IdentityHeaderNames {
                user: name("X-Auth-User-Id"),
                account: name("X-Auth-Account-Id"),
                tenant: name("X-Auth-Tenant-Id"),
                roles: name("X-Auth-Roles"),
                credential: name("X-Auth-Credential"),
                request_id: name("X-Request-Id"),
            },
            attributes: vec![("email".to_owned(), name("X-Auth-Email"))],
            assertion: None,
            reissue: None,
            allow: allow.iter().map(|name| (*name).to_owned()).collect(),
            echo: Some(Echo {
                user: name("X-Acted-As-User"),
                account: name("X-Acted-As-Account"),
                tenant: name("X-Acted-As-Tenant"),
                block_missing: false,
                block_mismatch: true,
            }),
        }
    }

    pub(in crate::forward) fn reserved() -> Reserved {
        Reserved::new(&identity(&[]), [&name("X-Tenant-Id")])
    }

    #[test]
    fn b1_b3_b4_every_spelling_of_a_reserved_name_is_removed() {
        let reserved = reserved();
        for sent in [
            "X-Auth-User-Id",
            "x-auth-user-id",
            "X_Auth_User_Id",
            "x-auth_user-id",
            "X.Auth.User.Id",
            "x-auth-email",
            "x.auth-email",
            "x!auth!user!id",
            "x~auth*user|id",
            "remote+user",
            "x-acted-as-user",
            "x-auth-token-stale",
            "x-request-id",
            "x-tenant-id",
            "remote-user",
            "remote-addr",
            "remote.user",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x.forwarded.for",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "x-original-uri",
            "x-rewrite-url",
            "x-envoy-original-path",
            "proxy",
            "script-name",
            "script_name",
            "path-info",
            "path.info",
            "daphne-root-path",
            "x-ssl-client-cert",
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x.http.method.override",
            "transfer_encoding",
            "transfer.encoding",
            "content_length",
            "content.length",
            "content.type",
            "authorization_",
            "a_b",
        ] {
            assert!(reserved.holds(&name(sent)), "{sent}");
        }
    }

    #[test]
    fn what_an_app_needs_is_left_alone() {
        let reserved = reserved();
        for sent in [
            "host",
            "authorization",
            "cookie",
            "content-type",
            "content-length",
            "accept",
            "user-agent",
            "referer",
            "x-csrftoken",
            "x-requested-with",
            "x-api-key",
            "x-forwarded",
            "proxy-x",
            "via",
            "traceparent",
            "x-b3.trace",
            "x!custom",
            "x-auth",
        ] {
            assert!(!reserved.holds(&name(sent)), "{sent}");
        }
    }

    #[test]
    fn b3_allow_admits_a_name_but_never_one_that_we_write() {
        let allow = [
            "My_App_Header",
            "x-original-url",
            "X_Auth_User_Id",
            "x-auth-user-id",
            "x_forwarded_for",
            "x-forwarded-for",
            "x-forwarded-prefix",
        ];
        let reserved = Reserved::new(&identity(&allow), []);
        for sent in ["my_app_header", "x-original-url", "x-forwarded-prefix"] {
            assert!(!reserved.holds(&name(sent)), "{sent}");
        }
        for sent in [
            "my-app_header",
            "x_auth_user_id",
            "x-auth-user-id",
            "x_forwarded_for",
            "x-forwarded-for",
        ] {
            assert!(reserved.holds(&name(sent)), "{sent}");
        }
    }

    #[test]
    fn b7_all_lines_of_a_name_go() {
        let mut headers = HeaderMap::new();
        for (sent, value) in [
            ("x-auth-user-id", "1"),
            ("x-auth-user-id", "2"),
            ("x_auth_user_id", "3"),
            ("accept", "a"),
            ("accept", "b"),
        ] {
            headers.append(name(sent), value.parse().unwrap());
        }
        reserved().strip(&mut headers);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get_all("accept").iter().count(), 2);
    }
}
