//! Words: how mistakes are told: "did you mean", lists of what is allowed, what a value is.

use serde_json::Value;

/// The option that was probably meant.
pub(super) fn meant<'a>(word: &str, options: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Distance costs time and memory by length; no key is nearly as long.
    if word.len() > 64 {
        return None;
    }
    let folded = word.to_lowercase().replace(['-', ' '], "_");
    options
        .into_iter()
        .map(|option| {
            let distance = strsim::damerau_levenshtein(&folded, &option.to_lowercase());
            (distance, option)
        })
        .filter(|(distance, option)| *distance <= 1 + option.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, option)| option)
}

/// "did you mean `x`? …", or only what follows.
pub(super) fn suggest(word: &str, options: &[&str], what: &str) -> String {
    let list = listed(options);
    match meant(word, options.iter().copied()) {
        Some(option) if options.len() == 1 => format!("did you mean `{option}`?"),
        Some(option) => format!("did you mean `{option}`? {what} {list}"),
        None => format!("{what} {list}"),
    }
}

/// `a`, `b` and `c`, in that order.
pub(super) fn listed<S: AsRef<str>>(options: &[S]) -> String {
    let quoted: Vec<String> = options
        .iter()
        .map(|option| format!("`{}`", option.as_ref()))
        .collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What a value is, in a user's words; scalars are shown unless they may be secret.
pub(super) fn found(value: &Value, show: bool) -> String {
    match value {
        Value::Null => "nothing (null)".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Bool(value) if show => format!("the boolean {value}"),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) if show => format!("the number {number}"),
        Value::Number(_) => "a number".to_owned(),
        Value::String(text) if show && text.len() <= 60 && !text.contains('\n') => {
            format!("the text `{text}`")
        }
        Value::String(_) => "a text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_near_word_is_meant() {
        let keys = ["secret", "jwks_url", "issuer", "algorithms"];
        assert_eq!(meant("secrt", keys), Some("secret"));
        assert_eq!(meant("jwks-url", keys), Some("jwks_url"));
        assert_eq!(meant("alogrithms", keys), Some("algorithms"));
        assert_eq!(meant("zzz", keys), None);
    }

    #[test]
    fn a_hidden_value_is_not_repeated() {
        assert!(!found(&Value::from("canary"), false).contains("canary"));
        assert!(!found(&Value::from(4711), false).contains("4711"));
    }
}
