//! `serve`: runs the gateway until it is told to stop.

use super::{ConfigFile, Outcome, Stop};
use crate::server::{Server, ServerError};
use crate::telemetry;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let loaded = super::load(&arguments.file.config)?;
    telemetry::install(loaded.config.telemetry.log);
    for warning in &loaded.warnings {
        tracing::warn!("{}", loaded.render(warning));
    }
    let server = Server::build(&loaded.config).map_err(|error| stop(&loaded, &error))?;
    server.run().map_err(|error| stop(&loaded, &error))
}

pub(super) fn stop(loaded: &crate::config::Loaded, error: &ServerError) -> Stop {
    match error {
        ServerError::Config(faults) => super::faults(loaded, faults),
        other => Stop::Failed(other.to_string()),
    }
}
