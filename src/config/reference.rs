//! Reference: the configuration reference and the schema as text, both from the raw shape.

use serde_json::Value;

use super::placeholder::flow;
use super::raw;
use super::schema_view::View;

/// The JSON Schema as it stands in `config/countersign.schema.json` and as `schema` prints it.
#[must_use]
pub fn schema_text() -> String {
    let mut text = serde_json::to_string_pretty(&raw::schema()).unwrap_or_default();
    text.push('\n');
    text
}

/// The configuration reference: a Markdown table of every key.
#[must_use]
pub fn reference() -> String {
    let schema = raw::schema();
    let mut table = "| key | type | default | meaning |\n|---|---|---|---|\n".to_owned();
    rows(View::new(&schema, &schema), "", &mut table);
    table
}

fn rows(view: View<'_>, path: &str, table: &mut String) {
    if view.is_secret() {
        return;
    }
    let shapes = view.shapes();
    let several_forms = shapes.iter().any(|shape| shape.properties().is_some());
    for shape in &shapes {
        for name in shape.supported_keys() {
            let Some(inner) = shape.property(name) else {
                continue;
            };
            if inner.is_void() {
                continue;
            }
            let key = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            let kind = shape.is_kind();
            let described = if kind { shape.description() } else { None };
            let required = !kind && shape.required().contains(&name);
            table.push_str(&row(inner, &key, required, described));
            rows(inner, &key, table);
        }
        // One map or a list of such maps is told once.
        if let Some(items) = shape.items().filter(|_| !several_forms) {
            rows(items, &format!("{path}[]"), table);
        }
    }
}

fn row(view: View<'_>, key: &str, required: bool, described: Option<&str>) -> String {
    let default = match view.default() {
        _ if required => "required".to_owned(),
        Some(Value::Object(_)) | None => String::new(),
        Some(Value::Array(items)) if items.iter().any(Value::is_object) => String::new(),
        Some(Value::Null) => "null".to_owned(),
        Some(value) => format!("`{}`", flow(value)),
    };
    let meaning = described.or(view.description()).unwrap_or_default();
    // A table's cell ends at a bar or a line's end.
    let cell = |text: &str| text.replace('\n', " ").replace('|', "\\|");
    format!(
        "| `{key}` | {} | {default} | {} |\n",
        cell(&kind(view)),
        cell(meaning)
    )
}

/// The type of a value, in as few words as a table has room for.
fn kind(view: View<'_>) -> String {
    view.expectation()
        .split(" or ")
        .map(|part| {
            let part = part.split(" such as ").next().unwrap_or(part);
            ["a ", "an ", "the word ", "one of "]
                .into_iter()
                .find_map(|article| part.strip_prefix(article))
                .unwrap_or(part)
        })
        .collect::<Vec<_>>()
        .join(" or ")
}
