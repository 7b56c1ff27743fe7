// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer doctor`: what would keep Enforcer from working here. Changes nothing that outlives it.
//!
//! Exit 0 when nothing would, 1 when something was found that a person has to repair, 3 when this host cannot be
//! guarded, 5 when only root can find out. The tier is told and is no finding: the product works in either.

use std::path::Path;

use enforcer_core::policy::Policy;
use nix::unistd::geteuid;
use serde::Serialize;

use super::output::{self, Format};
use super::{Exit, Failure};
use crate::admin::{self, AUDIT_GROUP, Client, Status, USE_GROUP};
use crate::config::Config;
use crate::daemon::preconditions::Precondition;
use crate::daemon::{self, PolicyError};
use crate::identity;
use crate::kernel::{self, Tier};
use crate::runtime::chain;

/// Arguments of `enforcer doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// What one look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// As it should be.
    Fine,
    /// To be known; nothing has to be done.
    Note,
    /// Has to be repaired.
    Finding,
    /// Cannot be repaired on this host.
    HostCannot,
    /// Only root can find out.
    Privilege,
}

/// One look.
#[derive(Clone, Debug, Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    text: String,
    /// What the kernel said, as it said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, text: impl Into<String>) -> Self {
        Self { name, outcome, text: text.into(), detail: None }
    }
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let client = Client::new(&config.socket);
    let daemon =
        if client.is_there().await { Some(client.get::<Status>("/v1/status").await) } else { None };
    let place = kernel::Config { cgroup: config.cgroup.clone(), bpffs: config.bpffs.clone() };
    let host = host(kernel::check(&place), &config.cgroup);
    let tier = match (&daemon, host.outcome) {
        (Some(Ok(status)), _) => tier(&status.tier, status.tier_reason.as_deref()),
        (_, Outcome::Fine) => probed_tier(kernel::probe_tier()),
        _ => Check::new("tier", Outcome::Note, "not probed: programs cannot be loaded"),
    };
    let mut checks = vec![host, tier];
    checks.extend(policy(daemon::load_policy_from(&config.policies)));
    let required = Precondition::ALL.into_iter();
    checks.extend(required.map(|one| precondition(one, one.check(&config))));
    let is_pinned = kernel::recorded_ports(&place).is_some();
    checks.push(match daemon {
        Some(Ok(status)) => answering(&status),
        Some(Err(error)) => Check::new("daemon", Outcome::Finding, chain(&error)),
        None => absent(is_pinned),
    });
    checks.push(groups(admin::members));
    match args.output {
        Format::Json => output::json(&checks)?,
        Format::Text => output::text(&render(&checks))?,
    }
    Ok(exit(&checks))
}

fn host(checked: Result<(), kernel::Error>, cgroup: &Path) -> Check {
    match checked {
        Err(error @ (kernel::Error::Io { .. } | kernel::Error::NotCgroup2 { .. }))
            if !error.is_privilege() && is_missing(cgroup) =>
        {
            let text = format!(
                "`cgroup` in the settings names `{}`, which is not there",
                cgroup.display()
            );
            Check { detail: Some(chain(&error)), ..Check::new("host", Outcome::Finding, text) }
        }
        Ok(()) => Check::new("host", Outcome::Fine, "the kernel has what the programs need"),
        Err(error) if error.is_privilege() => Check::new("host", Outcome::Privilege, chain(&error)),
        Err(error) => Check::new("host", Outcome::HostCannot, chain(&error)),
    }
}

/// Whether nothing stands at this path.
fn is_missing(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

fn probed_tier(probed: Result<Tier, kernel::Error>) -> Check {
    match probed {
        Ok(found) => {
            let detail = found.detail().map(str::to_owned);
            Check { detail, ..tier(found.name(), found.reason()) }
        }
        Err(error) => Check::new("tier", Outcome::HostCannot, chain(&error)),
    }
}

fn tier(name: &str, reason: Option<&str>) -> Check {
    match reason {
        None => Check::new("tier", Outcome::Fine, name),
        Some(reason) => Check::new("tier", Outcome::Note, format!("{name}, because {reason}")),
    }
}

/// What kept a daemon from starting, or would.
fn precondition(one: Precondition, checked: anyhow::Result<()>) -> Check {
    let Err(error) = checked else { return Check::new(one.name(), Outcome::Fine, one.fine()) };
    let is_denied = |cause: &(dyn std::error::Error + 'static)| {
        let failed = cause.downcast_ref::<std::io::Error>();
        failed.is_some_and(|failed| failed.kind() == std::io::ErrorKind::PermissionDenied)
    };
    let is_privilege = !geteuid().is_root() && error.chain().any(is_denied);
    let outcome = if is_privilege { Outcome::Privilege } else { Outcome::Finding };
    Check::new(one.name(), outcome, chain(error.as_ref()))
}

/// The bundle, and what of it means nothing on this host.
fn policy(loaded: Result<Policy, PolicyError>) -> Vec<Check> {
    let finding = |text| vec![Check::new("policy", Outcome::Finding, text)];
    match loaded {
        Ok(policy) => {
            let fine = format!("{} compiles", policy.version());
            let without = identity::selectors_without(&policy).into_iter();
            let notes = without.map(|why| Check::new("match", Outcome::Note, why));
            std::iter::once(Check::new("policy", Outcome::Fine, fine)).chain(notes).collect()
        }
        Err(error @ PolicyError::Read(_)) => finding(chain(&error)),
        // All problems with their lines are what `policy check` is for.
        Err(PolicyError::Invalid { folder, problems, .. }) => {
            let first = problems.0.first().map(|problem| format!(": {problem}"));
            let (folder, first) = (folder.display(), first.unwrap_or_default());
            finding(format!(
                "the bundle `{folder}` is not valid{first}; `enforcer policy check {folder}` shows all"
            ))
        }
    }
}

/// Who may use the admin API beside root. `members` says who is named in a group; none if there is no such group.
fn groups(members: impl Fn(&str) -> Option<Vec<String>>) -> Check {
    let grades =
        [(USE_GROUP, "run agents and read their own sessions"), (AUDIT_GROUP, "read everything")];
    let words = |(group, may): &(&str, &str)| match members(group).as_deref() {
        None => format!("no group `{group}`: only root may {may}"),
        Some([]) => format!("group `{group}`, whose members may {may}, lists nobody"),
        Some(members) => format!("{} may {may} (group `{group}`)", members.join(", ")),
    };
    let words: Vec<String> = grades.iter().map(words).collect();
    Check::new("groups", Outcome::Note, words.join("; "))
}

fn answering(status: &Status) -> Check {
    let pid = status.pid;
    if status.is_healthy {
        return Check::new("daemon", Outcome::Fine, format!("healthy (pid {pid})"));
    }
    let text = format!("NOT healthy (pid {pid}); `enforcer status` says why");
    Check::new("daemon", Outcome::Finding, text)
}

fn absent(is_pinned: bool) -> Check {
    if is_pinned {
        let text = "does not run, and the programs are in force: agents are refused everything";
        return Check::new("daemon", Outcome::Finding, text);
    }
    Check::new("daemon", Outcome::Note, "does not run, and nothing is guarded")
}

fn exit(checks: &[Check]) -> Exit {
    let has = |outcome| checks.iter().any(|check| check.outcome == outcome);
    if has(Outcome::Privilege) {
        Exit::Privilege
    } else if has(Outcome::HostCannot) {
        Exit::HostCannot
    } else if has(Outcome::Finding) {
        Exit::Difference
    } else {
        Exit::Fine
    }
}

fn render(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let word = match check.outcome {
            Outcome::Fine => "fine",
            Outcome::Note => "note",
            Outcome::Finding => "FINDING",
            Outcome::HostCannot => "CANNOT",
            Outcome::Privilege => "NEEDS ROOT",
        };
        format!("{:<12}{:<8}  {}\n", word, check.name, check.text)
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let check = |outcomes: &[Outcome], expect| {
            let checks: Vec<_> =
                outcomes.iter().map(|outcome| Check::new("x", *outcome, "")).collect();
            assert_eq!(exit(&checks), expect, "{outcomes:?}");
        };
        check(&[Outcome::Fine, Outcome::Note], Exit::Fine);
        check(&[Outcome::Finding, Outcome::Note], Exit::Difference);
        check(&[Outcome::Finding, Outcome::HostCannot], Exit::HostCannot);
        check(&[Outcome::Privilege, Outcome::HostCannot], Exit::Privilege);
    }

    #[test]
    fn who_is_in_which_group_is_said_and_is_no_finding() {
        let found = groups(|group| match group {
            USE_GROUP => Some(vec!["ann".to_owned(), "bob".to_owned()]),
            _ => None,
        });
        assert_eq!(found.outcome, Outcome::Note);
        assert_eq!(
            found.text,
            "ann, bob may run agents and read their own sessions (group `enforcer`); no group \
             `enforcer-audit`: only root may read everything"
        );
    }

    #[test]
    fn the_tier_is_told_with_its_reason_and_is_no_finding() {
        let detail = "failed to load\nVerifier output: :".to_owned();
        let kernel = Tier::Kernel { reason: "hooks do not load", detail: detail.clone() };
        let found = probed_tier(Ok(kernel));
        assert_eq!(
            (found.outcome, found.text.as_str()),
            (Outcome::Note, "kernel, because hooks do not load")
        );
        assert_eq!(found.detail, Some(detail));
        assert_eq!(probed_tier(Ok(Tier::Hardened)).text, "hardened");
    }
}
