//! `check`: every mistake at once, each with file, line, key path and what would be right, before
//! a port opens.

mod files;
mod keys;
mod presets;
mod sections;

use crate::harness::{Builder, Output, countersign};

#[track_caller]
fn check(builder: &Builder) -> Output {
    builder.write();
    run(builder)
}

#[track_caller]
fn run(builder: &Builder) -> Output {
    let env = builder.env_pairs();
    countersign(builder.folder(), &env, &["check", "-c", "countersign.yaml"])
}

fn complete() -> Builder {
    Builder::new().set(
        "upstreams",
        "[ { name: app, servers: [ \"http://127.0.0.1:1\" ] } ]",
    )
}

/// The configuration is refused, and each of these stands in what is said.
#[track_caller]
fn refused(builder: &Builder, said: &[&str]) {
    let output = check(builder);
    assert_eq!(output.code, Some(2), "{output:?}");
    for text in said {
        assert!(
            output.stderr.contains(text),
            "no {text:?} in:\n{}",
            output.stderr
        );
    }
    assert!(
        output.stderr.contains("countersign.yaml:"),
        "{}",
        output.stderr
    );
    // What cannot be checked cannot be served either.
    let env = builder.env_pairs();
    let served = countersign(builder.folder(), &env, &["serve", "-c", "countersign.yaml"]);
    assert_eq!(served.code, Some(2), "{served:?}");
}
