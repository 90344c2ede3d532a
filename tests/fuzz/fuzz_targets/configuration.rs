//! The configuration: any text is a configuration or a list of mistakes, soon; what is accepted can
//! be shown.
#![no_main]

use std::path::Path;

use countersign::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let environment = |name: &str| match name {
        "JWT_SECRET" => Some("a secret of the fuzz targets, 0123456789".to_owned()),
        "SEVEN" => Some("7".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    match config::parse(text, Path::new("/nonexistent"), "fuzz.yaml", &environment) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                let _ = loaded.render(warning);
            }
            // Accepted, it has a long form. (Whoever writes a secret where a name belongs sees it
            // there.)
            assert!(!config::expand(&loaded).is_empty());
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!error.faults.is_empty());
            assert!(!said.contains("a secret of the fuzz targets"), "{said}");
        }
    }
});
