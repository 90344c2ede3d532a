//! The command line: `countersign <verb>`, one file a verb.
//!
//! Errors go to stderr. The exit status is 0 when it worked, 1 when it failed, and 2 when the
//! command line or the configuration is wrong. This is the only place that ends the process.

mod check;
mod demo;
mod demo_upstream;
mod explain;
mod health;
mod serve;
mod sql;
mod token;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Loaded};

/// It worked.
const OK: u8 = 0;
/// It failed.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const WRONG: u8 = 2;

/// Why a verb ends with something else than 0.
enum Stop {
    /// It failed; the text says why.
    Failed(String),
    /// The command line or the configuration is wrong; the text says what, where and what is right.
    Wrong(String),
}

type Outcome = Result<(), Stop>;

#[derive(Parser)]
#[command(
    name = "countersign",
    version,
    about = "An authentication gateway: every token is checked against the live user-to-account mapping before the request reaches your app",
    after_help = "Start with:  countersign demo\nThen:        countersign check -c countersign.yaml && countersign serve -c countersign.yaml",
    propagate_version = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a gateway, a sample upstream and a directory in one process, with curl lines to try
    #[command(after_help = "Example:\n  countersign demo")]
    Demo(demo::Arguments),
    /// Run the gateway
    #[command(
        after_help = "Example:\n  countersign serve -c countersign.yaml\n\nSIGTERM drains: readiness first, then open requests and streams."
    )]
    Serve(serve::Arguments),
    /// Validate a configuration: every mistake at once, with file, line, key and what would be right
    #[command(after_help = "Example:\n  countersign check -c countersign.yaml --connect")]
    Check(check::Arguments),
    /// Decide one request as `serve` would, without forwarding it, and show each step
    #[command(
        after_help = "Example:\n  countersign explain -c countersign.yaml http://acme.example.com/orders -H \"Authorization: Bearer $TOKEN\""
    )]
    Explain(explain::Arguments),
    /// Mint a token with an issuer's own key, for trying things out
    #[command(
        after_help = "Example:\n  countersign token -c countersign.yaml --issuer app --user 5 --account 12 --ttl 5m"
    )]
    Token(token::Arguments),
    /// Print the JSON Schema of the configuration
    #[command(after_help = "Example:\n  countersign schema > countersign.schema.json")]
    Schema(Nothing),
    /// Print the triggers that push changes of the mapping to the gateway
    #[command(after_help = "Example:\n  countersign sql postgres -c countersign.yaml")]
    Sql(sql::Arguments),
    /// Exit with 0 when the gateway of this configuration is ready, for container health checks
    #[command(after_help = "Example:\n  countersign health -c countersign.yaml")]
    Health(health::Arguments),
    /// Print shell completions
    #[command(
        after_help = "Example:\n  countersign completions bash > /etc/bash_completion.d/countersign"
    )]
    Completions(CompletionArguments),
}

#[derive(clap::Args)]
struct Nothing {}

#[derive(clap::Args)]
struct CompletionArguments {
    /// The shell
    shell: clap_complete::Shell,
}

/// The file that every verb with a configuration takes.
#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no mistakes; they go to stdout.
            let code = if error.use_stderr() { WRONG } else { OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = match cli.verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Serve(arguments) => serve::run(&arguments),
        Verb::Check(arguments) => check::run(&arguments),
        Verb::Explain(arguments) => explain::run(&arguments),
        Verb::Token(arguments) => token::run(&arguments),
        Verb::Schema(Nothing {}) => print(&pretty(&config::schema())),
        Verb::Sql(arguments) => sql::run(&arguments),
        Verb::Health(arguments) => health::run(&arguments),
        Verb::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(
                arguments.shell,
                &mut Cli::command(),
                "countersign",
                &mut script,
            );
            print(&String::from_utf8_lossy(&script))
        }
    };
    let (code, text) = match outcome {
        Ok(()) => return ExitCode::from(OK),
        Err(Stop::Failed(text)) => (FAILED, text),
        Err(Stop::Wrong(text)) => (WRONG, text),
    };
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    ExitCode::from(code)
}

/// Prints to stdout; a closed pipe (`| head`) is no failure.
fn print(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::Failed(error.to_string()))
        }
        _ => Ok(()),
    }
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string());
    text.push('\n');
    text
}

fn load(path: &Path) -> Result<Loaded, Stop> {
    config::load(path, &|name| std::env::var(name).ok())
        .map_err(|error| Stop::Wrong(error.to_string()))
}

/// Faults of the rooms' builders, printed as `check` prints its own.
fn faults(loaded: &Loaded, faults: &[config::Fault]) -> Stop {
    let lines: Vec<String> = faults.iter().map(|fault| loaded.render(fault)).collect();
    Stop::Wrong(lines.join("\n"))
}
