// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer replay`: what another bundle would have decided about recorded sessions. Exit 1 if anything
//! differs.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;

use enforcer_core::model::{Effect, UnixMillis, limits};
use enforcer_core::policy::Policy;
use enforcer_core::record::Event;
use enforcer_core::replay::{Change, Difference, Replay, Report};

use super::output::{self, Format};
use super::paint::{Paint, moment, visible};
use super::session::{bar, before, json};
use super::source::Source;
use super::{Exit, Failure};
use crate::config::Config;
use crate::daemon;
use crate::runtime::Clock;

/// Arguments of `enforcer replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the other bundle.
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    /// Only what happened since then: `90s`, `15m`, `12h`, `7d`, `2w`, or a time as in RFC 3339.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let policy = daemon::load_policy(&args.policies)?;
    let source = Source::open(&config).await?;
    let colors = std::io::stdout().is_terminal();
    let (exit, text) = answer(&args, &policy, &source, Clock::system().now(), colors).await?;
    output::text(&text)?;
    Ok(exit)
}

/// What the command prints, and how it ends.
///
/// # Errors
/// If the source cannot be read.
pub async fn answer(
    args: &Args,
    policy: &Policy,
    source: &Source,
    now: UnixMillis,
    colors: bool,
) -> Result<(Exit, String), Failure> {
    let since = since(args.since.as_deref(), now)?;
    let report = judge(policy, source, since).await?;
    let exit = if report.changed() == 0 { Exit::Fine } else { Exit::Difference };
    let text = match args.output {
        Format::Json => json(&report)?,
        Format::Text => text(&report, policy, Paint { colors }),
    };
    Ok((exit, text))
}

/// The moment that `--since` means; all of time without one.
pub(super) fn since(ago: Option<&str>, now: UnixMillis) -> Result<UnixMillis, Failure> {
    let Some(ago) = ago else { return Ok(UnixMillis(0)) };
    before(now, ago).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{ago}` is not a time")).hint(
            "write a number and one of s, m, h, d, w, or a day: `--since 7d`, `--since 2026-01-31`",
        )
    })
}

async fn judge(policy: &Policy, source: &Source, since: UnixMillis) -> Result<Report, Failure> {
    let mut replay = Replay::new(|facts| policy.decide_again(facts));
    walk(source, since, &mut |event| replay.push(&event)).await?;
    Ok(replay.finish())
}

/// Hands on all events since a moment, session by session, and shows how far it is.
pub(super) async fn walk(
    source: &Source,
    since: UnixMillis,
    take: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let sessions = source.sessions().await?;
    let sessions: Vec<_> =
        sessions.into_iter().filter(|session| session.ended.is_none_or(|at| at >= since)).collect();
    let bar = bar();
    bar.set_length(sessions.iter().map(|session| session.events).sum());
    for session in sessions {
        let mut next = Some(0);
        while let Some(from) = next {
            let page = source.page(session.id, from).await?;
            bar.inc(u64::try_from(page.events.len()).unwrap_or(u64::MAX));
            page.events.into_iter().filter(|event| event.at >= since).for_each(&mut *take);
            next = page.next;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

pub(super) fn text(report: &Report, policy: &Policy, paint: Paint) -> String {
    let mut differences: Vec<&Difference> = report.differences.iter().collect();
    // What would get out comes first, however much is refused besides.
    differences.sort_by_key(|difference| !difference.changes.contains(&Change::DenyToAllow));
    differences.truncate(limits::REPLAY_SHOWN_MAX);
    let mut text: String =
        differences.iter().map(|difference| describe(difference, paint)).collect();
    let shown = u64::try_from(differences.len()).unwrap_or(u64::MAX);
    if report.changed() > shown {
        let more = report.changed() - shown;
        // Writing into a String does not fail.
        let _infallible = writeln!(
            text,
            "and {more} more; `--output json` lists up to {}",
            limits::REPLAY_DIFFERENCES_MAX
        );
    }
    if report.undetermined > 0 {
        let _infallible = writeln!(
            text,
            "{} cannot be judged: the policy asks for detectors that nobody ran then, or for facts of which the record hides a part",
            report.undetermined
        );
    }
    let version = policy.version();
    let observes = if policy.mode().is_enforce() { "" } else { ", which only observes" };
    let judged = format!("{} exchanges judged by policy {version}{observes}", report.exchanges);
    text += &match report.changed() {
        0 => format!("{judged}: {}\n", paint.good("no difference")),
        changed => format!(
            "{judged}: {changed} change ({} allow → deny, {} deny → allow, {} in their obligations)\n",
            report.allow_to_deny, report.deny_to_allow, report.obligations_changed
        ),
    };
    text
}

fn describe(difference: &Difference, paint: Paint) -> String {
    let changes: Vec<_> = difference.changes.iter().map(|change| named(change, paint)).collect();
    let facts = &difference.facts;
    let model = facts.operation.model().map(|model| format!(" {}", visible(model)));
    let model = model.unwrap_or_default();
    let replayed = &difference.replayed;
    let rules: Vec<_> = replayed.because.iter().map(|rule| visible(rule.as_str())).collect();
    let by = match (replayed.effect, rules.as_slice()) {
        (Effect::Deny, []) => "no rule permits it".to_owned(),
        (_, _) => format!("by {}", rules.join(", ")),
    };
    let message = replayed.message.as_ref().map(|text| format!(": {}", visible(text)));
    format!(
        "{}  {}  {} {}{model} on {} ({})\n    {}  {by}{}\n",
        paint.faint(&moment(difference.at)),
        difference.exchange,
        visible(facts.agent.as_str()),
        facts.operation.action(),
        visible(facts.endpoint.as_str()),
        visible(&difference.request_line),
        changes.join(", "),
        message.unwrap_or_default(),
    )
}

pub(super) fn named(change: &Change, paint: Paint) -> String {
    match change {
        Change::AllowToDeny => paint.bad("allow → deny"),
        Change::DenyToAllow => paint.bad("deny → ALLOW"),
        Change::RequestMaskGained(mask) => format!("request mask {mask} gained"),
        Change::RequestMaskLost(mask) => paint.bad(&format!("request mask {mask} LOST")),
        Change::ResponseMaskGained(mask) => format!("answer mask {mask} gained"),
        Change::ResponseMaskLost(mask) => paint.bad(&format!("answer mask {mask} LOST")),
        Change::ObligationGained(what) => format!("{what} gained"),
        Change::ObligationLost(what) => paint.bad(&format!("{what} LOST")),
        Change::Record { from, to } => format!("record {from:?} → {to:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::{AgentName, EndpointName, ExchangeId, Facts, Http, Operation};
    use enforcer_core::model::{RuleId, SessionId};
    use enforcer_core::policy::{SourceFile, Sources, compile};

    use super::*;

    #[test]
    fn what_would_get_out_is_shown_first_and_the_list_has_an_end() {
        let file =
            |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let inventory = "version = 1\n[agents.a]\n[endpoints.e]\nhosts = [\"e.example\"]\n";
        let files = vec![file("policy.toml", inventory), file("a.cedar", "")];
        let policy = compile(&Sources { files }).unwrap().policy;
        let http = Http {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            has_body: false,
        };
        let facts = Facts {
            agent: AgentName::new("a"),
            endpoint: EndpointName::new("e"),
            detected: Default::default(),
            sought: None,
            calls: Vec::new(),
            hidden: Default::default(),
            operation: Operation::Http(http),
        };
        let decision = policy.decide(&facts);
        let difference = |number: u64, change: Change| Difference {
            exchange: ExchangeId { session: SessionId::HOST, number },
            at: UnixMillis(0),
            request_line: format!("GET /{number}"),
            facts: facts.clone(),
            changes: vec![change],
            recorded: decision.clone(),
            replayed: decision.clone(),
        };
        let mut differences: Vec<_> =
            (0..150).map(|number| difference(number, Change::AllowToDeny)).collect();
        let mut loud = difference(150, Change::DenyToAllow);
        loud.replayed.because = vec![RuleId::new("wide")];
        differences.push(loud);
        let report = Report {
            exchanges: 151,
            allow_to_deny: 150,
            deny_to_allow: 1,
            differences,
            ..Report::default()
        };
        let text = text(&report, &policy, Paint { colors: false });
        assert!(text.lines().next().unwrap().contains("GET /150"), "{text}");
        assert_eq!(text.matches("GET /").count(), limits::REPLAY_SHOWN_MAX);
        assert!(text.contains("and 51 more; `--output json` lists up to 10000\n"), "{text}");
        assert!(text.contains("151 change (150 allow → deny, 1 deny → allow"), "{text}");
    }
}
