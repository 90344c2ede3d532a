//! What the client would like to see: HTML for a person, problem+json for a program
//! (RFC 9110, section 12.5.1).

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, Method};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether the client names `text/html`, and not below JSON. Most requests name no kind of HTML at all
/// ([`names_html`]); what they do name need not be weighed then.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let html = quality(headers, |media| {
        media == "text/html" || media == "application/xhtml+xml"
    });
    let json = quality(headers, |media| {
        media == "application/json" || media == "application/problem+json"
    });
    html > 0 && html >= json
}

/// Whether a browser is on its way to a page, as opposed to a script that asks for data.
pub(super) fn is_navigation(headers: &HeaderMap, method: &Method) -> bool {
    match headers.get(SEC_FETCH_MODE) {
        Some(mode) => mode == "navigate",
        None => *method == Method::GET && wants_html(headers),
    }
}

/// Whether a line of Accept names any kind of HTML.
pub(super) fn names_html(line: &[u8]) -> bool {
    line.windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"html"))
}

/// The highest quality, in thousandths, of a media type that `is` accepts; 0 without one.
fn quality(headers: &HeaderMap, is: impl Fn(&str) -> bool) -> u16 {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            is(&media).then(|| weight.map_or(1000, thousandths))
        })
        .max()
        .unwrap_or_default()
}

/// `0`, `0.5`, `0.125`, `1.0` as thousandths (RFC 9110, section 12.4.2).
fn thousandths(weight: &str) -> u16 {
    if weight.starts_with('1') {
        return 1000;
    }
    let fraction = weight.strip_prefix("0.").unwrap_or_default();
    fraction
        .chars()
        .chain(std::iter::repeat('0'))
        .take(3)
        .filter_map(|digit| digit.to_digit(10))
        .filter_map(|digit| u16::try_from(digit).ok())
        .fold(0, |sum, digit| sum * 10 + digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, line.parse().unwrap());
        headers
    }

    #[test]
    fn browsers_get_html_and_programs_do_not() {
        for (line, html) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("TEXT/HTML", true),
            ("text/html;q=0", false),
            ("*/*", false),
            ("application/json, text/html;q=0.5", false),
            ("application/json;q=0.5, text/html", true),
            ("application/json;q=0.85, text/html;q=0.9", true),
            ("application/json;q=0.9, text/html;q=0.85", false),
            ("text/html;q=x", false),
            ("", false),
        ] {
            assert_eq!(wants_html(&accepting(line)), html, "{line}");
        }
    }

    #[test]
    fn a_navigation_is_what_the_browser_says_or_a_get_for_html() {
        let mut headers = accepting("text/html");
        assert!(is_navigation(&headers, &Method::GET));
        assert!(!is_navigation(&headers, &Method::POST));
        headers.insert(SEC_FETCH_MODE, "cors".parse().unwrap());
        assert!(!is_navigation(&headers, &Method::GET));
        headers.insert(SEC_FETCH_MODE, "navigate".parse().unwrap());
        assert!(is_navigation(&headers, &Method::POST));
    }
}
