//! The identity headers: what the upstream is told of the principal.
//!
//! Inserted, never appended, after everything the client sent under these names is gone. What is
//! not known is absent, never empty. Roles are one line, comma-separated and sorted; attributes
//! that a header cannot carry as they are follow RFC 8187.

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::auth::Principal;
use crate::config::Identity;

/// RFC 8187's attr-char: everything else is percent-encoded.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// How an encoded attribute begins; a value that begins so by itself is encoded too.
const MARK: &str = "UTF-8''";

/// An identity value that cannot stand in a header, which the decision should have refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an identity value cannot stand in a header")]
pub struct Unsafe;

/// The headers of `principal`.
pub(super) fn fields(
    identity: &Identity,
    tenant_headers: &[HeaderName],
    principal: &Principal,
) -> Result<Vec<(HeaderName, HeaderValue)>, Unsafe> {
    let names = &identity.headers;
    let mut fields = Vec::new();
    let mut put = |name: &HeaderName, value: &str| -> Result<(), Unsafe> {
        let value = HeaderValue::from_str(value).map_err(|_| Unsafe)?;
        fields.push((name.clone(), value));
        Ok(())
    };
    put(&names.user, principal.user().as_str())?;
    put(&names.tenant, principal.tenant().as_str())?;
    for name in tenant_headers {
        put(name, principal.tenant().as_str())?;
    }
    if let Some(account) = principal.account() {
        put(&names.account, account.as_str())?;
    }
    match principal.roles() {
        [] => {}
        [only] => put(&names.roles, only)?,
        many => put(&names.roles, &many.join(","))?,
    }
    put(&names.credential, principal.verified().name())?;
    for (attribute, name) in &identity.attributes {
        if let Some(value) = principal
            .binding()
            .attributes()
            .get(attribute.as_str())
            .filter(|value| !value.is_empty())
        {
            put(name, &encoded(value))?;
        }
    }
    Ok(fields)
}

/// The same fields with all their values in one piece of memory, one behind the other: that is what
/// each request of a principal reads, and mostly no other request has read just before.
pub(super) fn together(
    mut fields: Vec<(HeaderName, HeaderValue)>,
) -> Vec<(HeaderName, HeaderValue)> {
    let lengths = fields.iter().map(|(_, value)| value.len());
    let mut text = BytesMut::with_capacity(lengths.sum());
    for (_, value) in &fields {
        text.extend_from_slice(value.as_bytes());
    }
    let mut text = text.freeze();
    for (_, value) in &mut fields {
        let sensitive = value.is_sensitive();
        // What was a header value is one.
        if let Ok(same) = HeaderValue::from_maybe_shared(text.split_to(value.len())) {
            *value = same;
            value.set_sensitive(sensitive);
        }
    }
    fields
}

/// An attribute as it stands in a header.
fn encoded(value: &str) -> std::borrow::Cow<'_, str> {
    let plain = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.starts_with(MARK);
    if plain {
        value.into()
    } else {
        format!("{MARK}{}", utf8_percent_encode(value, EXTENDED)).into()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::{encoded, together};

    #[test]
    fn together_they_are_the_same() {
        let field = |name, value, sensitive| {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(sensitive);
            (HeaderName::from_static(name), value)
        };
        let fields = vec![
            field("x-user", "5", false),
            field("x-empty", "", false),
            field("x-assertion", "e30.e30.c2ln", true),
            field("x-roles", "a,b", false),
        ];
        let one = together(fields.clone());
        assert_eq!(one, fields);
        let sensitive = |fields: &[(HeaderName, HeaderValue)]| -> Vec<bool> {
            fields
                .iter()
                .map(|(_, value)| value.is_sensitive())
                .collect()
        };
        assert_eq!(sensitive(&one), sensitive(&fields));
    }

    #[test]
    fn attributes_outside_visible_ascii_follow_rfc_8187() {
        assert_eq!(encoded("zoe@example.com"), "zoe@example.com");
        assert_eq!(encoded("Zoë"), "UTF-8''Zo%C3%AB");
        assert_eq!(encoded("Pro Plan"), "Pro Plan");
        assert_eq!(encoded(" lead"), "UTF-8''%20lead");
        assert_eq!(encoded("a\r\nX-Evil: 1"), "UTF-8''a%0D%0AX-Evil%3A%201");
        assert_eq!(encoded("UTF-8''x"), "UTF-8''UTF-8%27%27x");
    }
}
