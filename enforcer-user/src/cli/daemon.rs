// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer daemon`: run the host daemon until SIGTERM.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{Exit, Failure};
use crate::config::Config;

/// Which messages are logged; the syntax is that of `tracing_subscriber::EnvFilter`.
const LOG_VARIABLE: &str = "ENFORCER_LOG";

/// Arguments of `enforcer daemon`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Log as JSON, one object a line.
    #[arg(long)]
    log_json: bool,
}

pub(super) fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // The programs log through the `log` crate.
    let bridged = tracing_log::LogTracer::init();
    if args.log_json {
        log.json().init()
    } else {
        log.init()
    }
    if let Err(error) = bridged {
        tracing::warn!(%error, "messages of the programs are not shown");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::host(&error))?;
    runtime.block_on(crate::daemon::run(config)).map_err(Failure::from_start)?;
    Ok(Exit::Fine)
}
