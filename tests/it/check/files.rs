//! Files that are no configuration at all.

use std::fmt::Write as _;

use super::{complete, run};
use crate::harness::countersign;

#[test]
fn f8_yaml_that_is_none_is_refused_with_its_line() {
    for text in [
        "",
        "[]",
        "a",
        "issuers: [",
        "drain: { delay: 1s }\ndrain: { delay: 2s }\n",
        "--- {}\n--- {}\n",
        "\tdrain: {}",
        "a: &a [*a, *a]\n",
        "x: \0",
    ] {
        let output = run(&complete().file("countersign.yaml", text));
        assert_eq!(output.code, Some(2), "{text:?}: {output:?}");
        assert!(
            output.stderr.contains("countersign.yaml"),
            "{text:?}: {output:?}"
        );
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let nine = vec![format!("*a{before}"); 9].join(", ");
        let _ = writeln!(bomb, "a{level}: &a{level} [{nine}]");
    }
    let nested = "[".repeat(100_000);
    for text in [bomb, nested, "x: ".to_owned() + &"y".repeat(50 << 20)] {
        let output = run(&complete().file("countersign.yaml", &text));
        assert_eq!(output.code, Some(2));
    }
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let builder = complete();
    let env = builder.env_pairs();
    let output = countersign(builder.folder(), &env, &["check", "-c", "missing.yaml"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("missing.yaml"), "{output:?}");
}
