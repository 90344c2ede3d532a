//! Configuration: one YAML file, read into [`Config`], resolved and private to the process.
//!
//! The text becomes a document (`document.rs`, the only file that names `serde_yaml`), the
//! environment is read in its scalars (`environment.rs`), the document is held against the raw
//! shape (`raw/`, from which the JSON Schema comes) so that every mistake is reported at once with
//! its key path and line, and only then resolved into the types below (`resolve/`). Nothing here
//! opens a port, a key or a connection: each room's `build` does that, and blames a [`KeyPath`].

mod document;
mod environment;
mod lines;
mod load;
mod placeholder;
mod preset;
pub mod raw;
mod reference;
mod resolve;
mod schema_view;
#[cfg(test)]
mod tests;
pub mod types;
mod walk;
mod words;

pub(crate) use document::yaml_to_json;
pub use lines::Lines;
pub use load::{LoadError, Loaded, expand, load, parse, render_fault};
pub use raw::schema;
pub use reference::{reference, schema_text};
pub use types::*;
