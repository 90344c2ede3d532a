//! `check`: validates a configuration without serving it.

use std::fmt::Write;
use std::sync::Arc;

use super::{ConfigFile, Outcome, Stop};
use crate::gateway::Gateway;
use crate::server::Control;
use crate::telemetry::Metrics;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Also try the directory, the key sets and the upstreams
    #[arg(long)]
    connect: bool,
    /// Print the long form of the configuration, with every default; secrets are not shown
    #[arg(long)]
    expand: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let loaded = super::load(&arguments.file.config)?;
    let control = Control::start().map_err(|error| Stop::Failed(error.to_string()))?;
    let metrics = Arc::new(Metrics::new());
    let gateway = Gateway::rooms(&loaded.config, &metrics, control.handle());
    let listeners = crate::server::certificate_faults(&loaded.config);
    let gateway = match (gateway, listeners.is_empty()) {
        (Ok(gateway), true) => gateway,
        (Ok(_), false) => return Err(super::faults(&loaded, &listeners)),
        (Err(mut found), _) => {
            found.extend(listeners);
            return Err(super::faults(&loaded, &found));
        }
    };
    let mut said = String::new();
    for warning in &loaded.warnings {
        eprintln!("warning: {}", loaded.render(warning));
    }
    if arguments.expand {
        return super::print(&crate::config::expand(&loaded));
    }
    if arguments.connect {
        gateway.start(control.handle());
        let mut failed = false;
        for (name, outcome) in control.handle().block_on(gateway.probe()) {
            match outcome {
                Ok(detail) => {
                    let _ = writeln!(said, "{name}: {detail}");
                }
                Err(problem) => {
                    failed = true;
                    eprintln!("{name}: {problem}");
                }
            }
        }
        if failed {
            super::print(&said)?;
            return Err(Stop::Failed("not everything could be reached".into()));
        }
    }
    let _ = writeln!(said, "{}: ok", arguments.file.config.display());
    super::print(&said)
}
