// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer budget`: how much may be used, is used and is left, and setting a counter back to 0.

use std::fmt::Write as _;

use enforcer_core::budget::Amount;

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
    /// List the budgets: limit, used, reserved and left of each counter. Needs the group `enforcer-audit`.
    List,
    /// Set a counter back to 0; recorded with who did it and what the counter had. Needs root.
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
            let had: Amount = client.post("/v1/budgets/reset", account).await?;
            match args.output {
                Format::Json => output::json(&had)?,
                Format::Text => output::text(&format!(
                    "`{account}` starts again at 0; it was at {} tokens and {} requests\n",
                    had.tokens, had.requests
                ))?,
            }
        }
    }
    Ok(Exit::Fine)
}

const HEAD: [&str; 7] =
    ["COUNTER", "FOR", "LIMIT", "USED", "RESERVED", "LEFT", "STARTS AGAIN (UTC)"];

/// One line for each thing that is counted, with its unit.
fn list(all: &[AccountStatus]) -> String {
    if all.is_empty() {
        return "the policy has no budget\n".to_owned();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(all.iter().flat_map(rows_of));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells.map(|(cell, &width)| format!("{cell:width$}")).collect();
        // Writing into a String does not fail.
        let _infallible = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn rows_of(found: &AccountStatus) -> Vec<[String; 7]> {
    let row = |unit: &str, limit: Option<u64>, used: u64, reserved: u64, left: Option<u64>| {
        let name = found.account.as_ref().unwrap_or(&found.budget);
        let limit = match limit {
            Some(limit) => format!("{limit} {unit}"),
            None => format!("no limit of {unit}"),
        };
        let until = found.until.map_or_else(|| "nothing is used yet".to_owned(), moment);
        let left = left.map_or_else(|| "-".to_owned(), |left| left.to_string());
        let (used, reserved) = (used.to_string(), reserved.to_string());
        [visible(name), whom(found), limit, used, reserved, left, until]
    };
    let (used, reserved, left) = (found.used, found.reserved, found.left);
    let tokens = row("tokens", found.limit.tokens, used.tokens, reserved.tokens, left.tokens);
    let requests =
        row("requests", found.limit.requests, used.requests, reserved.requests, left.requests);
    match (found.limit.tokens, found.limit.requests) {
        (Some(_), None) => vec![tokens],
        (None, Some(_)) => vec![requests],
        (Some(_), Some(_)) | (None, None) => vec![tokens, requests],
    }
}

/// For whom it is counted, in words.
pub(super) fn whom(found: &AccountStatus) -> String {
    let per = found.per.as_str();
    match (&found.who, &found.user) {
        (Some(uid), Some(name)) => format!("user {} ({uid})", visible(name)),
        (Some(who), None) => format!("{per} {}", visible(who)),
        (None, _) if per == "host" => "the host".to_owned(),
        (None, _) => format!("each {per}"),
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::UnixMillis;

    use super::*;
    use crate::admin::Bounded;

    #[test]
    fn every_amount_has_its_unit_and_every_counter_its_limit() {
        let bounded = |tokens, requests| Bounded { tokens, requests };
        let used = AccountStatus {
            account: Some("words/user:7".to_owned()),
            budget: "words".to_owned(),
            per: "user".to_owned(),
            who: Some("7".to_owned()),
            user: Some("ann".to_owned()),
            limit: bounded(Some(1000), None),
            used: Amount { tokens: 700, requests: 3 },
            reserved: Amount { tokens: 200, requests: 1 },
            left: bounded(Some(100), None),
            until: Some(UnixMillis(1_763_800_000_000)),
        };
        let unused = AccountStatus {
            account: None,
            per: "agent".to_owned(),
            budget: "calls".to_owned(),
            who: None,
            user: None,
            limit: bounded(None, Some(5)),
            used: Amount::default(),
            reserved: Amount::default(),
            left: bounded(None, Some(5)),
            until: None,
        };
        let text = list(&[used, unused]);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect())
            .collect();
        assert_eq!(lines[0], HEAD);
        let until = "2025-11-22 08:26:40";
        let words = ["words/user:7", "user ann (7)", "1000 tokens", "700", "200", "100", until];
        assert_eq!(lines[1], words);
        let calls = ["calls", "each agent", "5 requests", "0", "0", "5", "nothing is used yet"];
        assert_eq!(lines[2], calls);
    }
}
