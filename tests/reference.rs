//! The configuration reference in the README is the one that the schema gives.
//!
//! `COUNTERSIGN_WRITE_DOCS=1 cargo test --test reference` writes it anew.

use std::path::Path;

const BEGIN: &str = "<!-- config-reference:begin -->\n";
const END: &str = "<!-- config-reference:end -->";

#[test]
fn the_reference_in_the_readme_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the begin mark");
    let (found, after) = rest.split_once(END).expect("the end mark");
    let wanted = format!("\n{}\n", countersign::config::reference());
    if std::env::var_os("COUNTERSIGN_WRITE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{wanted}{END}{after}");
        std::fs::write(&path, text).expect("README.md can be written");
        return;
    }
    assert!(
        found == wanted,
        "the configuration reference in README.md is not the schema's; write it with \
         COUNTERSIGN_WRITE_DOCS=1 cargo test --test reference"
    );
}
