// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer budget`: what was spent, and starting a counter anew.

use std::fmt::Write as _;

use super::output::{self, Format};
use super::paint::{moment, visible};
use super::{Exit, Failure};
use crate::admin::{AccountStatus, Client};
use crate::config::Config;

/// Arguments of `enforcer budget`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
    /// How to print.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what is counted in windows that are not over.
    List,
    /// Start a counter anew; recorded with who did it.
    Reset {
        /// As `list` names it, for example `support-daily/agent:support`.
        account: String,
    },
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let client = Client::new(&config.socket);
    match &args.command {
        Command::List => {
            let all: Vec<AccountStatus> = client.get("/v1/budgets").await?;
            match args.output {
                Format::Json => output::json(&all)?,
                Format::Text => output::text(&list(&all))?,
            }
        }
        Command::Reset { account } => {
            let () = client.post("/v1/budgets/reset", account).await?;
            output::text(&format!("`{account}` counts from nothing\n"))?;
        }
    }
    Ok(Exit::Fine)
}

fn list(all: &[AccountStatus]) -> String {
    if all.is_empty() {
        return "nothing is counted\n".to_owned();
    }
    let width = all.iter().map(|found| found.account.len()).max().unwrap_or(0).max("BUDGET".len());
    let mut text = String::new();
    // Writing into a String does not fail.
    let _infallible = writeln!(
        text,
        "{:width$}  {:>12}  {:>10}  {:>12}  UNTIL (UTC)",
        "BUDGET", "TOKENS", "REQUESTS", "RESERVED"
    );
    for found in all {
        let _infallible = writeln!(
            text,
            "{:width$}  {:>12}  {:>10}  {:>12}  {}",
            visible(&found.account),
            found.used.tokens,
            found.used.requests,
            found.reserved.tokens,
            moment(found.until),
        );
    }
    text
}
