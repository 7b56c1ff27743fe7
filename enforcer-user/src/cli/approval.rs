// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer approval`: what waits for a person, and the person's answer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use enforcer_core::model::{ApprovalName, limits};

use super::output::{self, Format};
use super::paint::{Paint, moment, visible};
use super::{Exit, Failure};
use crate::admin::{Answer, Answered, Client, OpenQuestion, ShownQuestion};
use crate::approval::{BoundHeader, QuestionId};
use crate::config::Config;

/// Time between two looks of `watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Arguments of `enforcer approval`.
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
    /// List what waits for an answer.
    List,
    /// Show exactly what is going to be sent, and for whom. Only what was shown can be granted.
    Show {
        /// Number of the question.
        id: u64,
    },
    /// Allow the request once. On a terminal it is shown and has to be confirmed; a script names what was shown.
    Grant {
        /// Number of the question.
        id: u64,
        /// The beginning of the digest that `show` printed, at least 16 characters: only exactly that is granted.
        #[arg(long)]
        digest: Option<String>,
    },
    /// Refuse the request.
    Refuse {
        /// Number of the question.
        id: u64,
        /// The beginning of the digest that `show` printed, at least 16 characters: only exactly that is refused.
        #[arg(long)]
        digest: Option<String>,
    },
    /// Print new requests for approval until Ctrl-C.
    Watch,
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let client = Client::new(&config.socket);
    let paint = Paint { colors: std::io::stdout().is_terminal() };
    match &args.command {
        Command::List => {
            let all: Vec<OpenQuestion> = client.get("/v1/approvals").await?;
            match args.output {
                Format::Json => output::json(&all)?,
                Format::Text => output::text(&list(&all, paint))?,
            }
        }
        Command::Show { id } => {
            let found = find(&client, *id).await?;
            match args.output {
                Format::Json => output::json(&found)?,
                Format::Text => output::text(&(show(&found, paint)? + &answers(&found)))?,
            }
        }
        Command::Grant { id, digest } => {
            let digest = match digest {
                Some(digest) => digest.clone(),
                None => match confirmed(&client, *id).await? {
                    Some(digest) => digest,
                    None => return Ok(Exit::Difference),
                },
            };
            answer(&client, *id, &Answer { grants: true, digest: Some(digest) }, args.output)
                .await?;
        }
        Command::Refuse { id, digest } => {
            let refusal = Answer { grants: false, digest: digest.clone() };
            answer(&client, *id, &refusal, args.output).await?;
        }
        Command::Watch => watch(&client, args.output, paint).await?,
    }
    Ok(Exit::Fine)
}

async fn find(client: &Client, id: u64) -> Result<ShownQuestion, Failure> {
    Ok(client.get(&format!("/v1/approvals/{id}")).await?)
}

/// Shows the question to whoever is at the terminal and asks; the digest of what was shown, if it may be sent.
async fn confirmed(client: &Client, id: u64) -> Result<Option<String>, Failure> {
    if !output::has_person() {
        let all: Vec<OpenQuestion> = client.get("/v1/approvals").await?;
        if !all.iter().any(|open| open.id.0 == id) {
            // The daemon says that there is none.
            find(client, id).await?;
        }
        let text =
            "without a terminal nobody can be asked, so `--digest` has to say what is granted";
        let hint = format!("`enforcer approval show {id}` prints the request and the digest");
        return Err(Failure::new(Exit::Usage, text).hint(hint));
    }
    let found = find(client, id).await?;
    output::note(show(&found, Paint { colors: false })?.trim_end());
    let question = &found.open.question;
    if output::is_yes(&format!("Send exactly this to {}, once?", visible(&question.host))) {
        return Ok(Some(question.digest.clone()));
    }
    output::note(&format!(
        "question {id} is not answered; `enforcer approval refuse {id}` refuses it"
    ));
    Ok(None)
}

async fn answer(client: &Client, id: u64, answer: &Answer, format: Format) -> Result<(), Failure> {
    let answered: Answered = client.post(&format!("/v1/approvals/{id}"), answer).await?;
    let text = match (answer.grants, answered.is_open) {
        (false, _) => "refused",
        (true, false) => "granted",
        (true, true) => "granted as far as you may; others have to, too",
    };
    match format {
        Format::Json => output::json(&answered),
        Format::Text => output::text(&format!("question {id}: {text}\n")),
    }
}

async fn watch(client: &Client, format: Format, paint: Paint) -> Result<(), Failure> {
    let mut seen: BTreeSet<QuestionId> = BTreeSet::new();
    loop {
        let all: Vec<OpenQuestion> = client.get("/v1/approvals").await?;
        let open: BTreeSet<QuestionId> = all.iter().map(|found| found.id).collect();
        for found in all.iter().filter(|found| !seen.contains(&found.id)) {
            match format {
                Format::Json => output::json(found)?,
                Format::Text => {
                    output::text(&(line(found, paint) + &headers(found, "  ")))?;
                }
            }
        }
        seen = open;
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn list(all: &[OpenQuestion], paint: Paint) -> String {
    if all.is_empty() {
        return "nothing waits for an answer\n".to_owned();
    }
    all.iter().map(|found| line(found, paint)).collect()
}

fn line(found: &OpenQuestion, paint: Paint) -> String {
    let question = &found.question;
    let open: Vec<&str> = question
        .needs
        .iter()
        .filter(|name| !question.granted.contains_key(*name))
        .map(ApprovalName::as_str)
        .collect();
    format!(
        "{}  {} UTC  {} wants {} on {} ({}), as user {} in session {}, waits for {}, until {} UTC\n",
        paint.strong(&found.id.to_string()),
        paint.faint(&moment(question.asked)),
        visible(question.agent.as_str()),
        question.facts.operation.action(),
        visible(&question.host),
        visible(&question.request_line),
        user(found),
        question.session,
        open.join(", "),
        moment(question.expires),
    )
}

/// Name and number of the user.
fn user(found: &OpenQuestion) -> String {
    let uid = found.question.uid;
    match &found.user {
        Some(name) => format!("{} ({uid})", visible(name)),
        None => uid.to_string(),
    }
}

/// The headers that are sent on, one on a line.
fn headers(found: &OpenQuestion, indent: &str) -> String {
    let line = |header: &BoundHeader| match &header.fingerprint {
        Some(fingerprint) => {
            format!(
                "{indent}header {} (value hidden, fingerprint {fingerprint})\n",
                visible(&header.name)
            )
        }
        None => format!("{indent}header {}, put in by the policy\n", visible(&header.name)),
    };
    found.question.headers.iter().map(line).collect()
}

fn show(shown: &ShownQuestion, paint: Paint) -> Result<String, Failure> {
    let found = &shown.open;
    let question = &found.question;
    let mut text = line(found, paint);
    let facts = serde_json::to_string_pretty(&question.facts);
    let facts = facts.map_err(|error| Failure::host(&error))?;
    let digest = digest(shown);
    // Writing into a String does not fail.
    let _infallible = writeln!(text, "exchange {}, digest {digest}", question.exchange);
    for (name, by) in &question.granted {
        let _infallible = writeln!(text, "{name} was granted by {}", visible(by));
    }
    text.push_str(&headers(found, ""));
    let _infallible =
        writeln!(text, "facts {}", facts.lines().map(visible).collect::<Vec<_>>().join("\n"));
    if question.body_bytes == 0 {
        text.push_str("no body\n");
    } else {
        let _infallible =
            writeln!(text, "body, {} bytes:\n{}", question.body_bytes, visible(&shown.body));
    }
    if question.hides_content {
        text.push_str(
            "masks of the bundle hide a part of this body here; the provider receives it as it is\n",
        );
    }
    Ok(text)
}

/// How it is answered.
fn answers(shown: &ShownQuestion) -> String {
    let (id, digest) = (shown.open.id, digest(shown));
    format!(
        "to allow it: enforcer approval grant {id} --digest {digest}\n\
         to refuse it: enforcer approval refuse {id} --digest {digest}\n"
    )
}

/// As much of the digest as an answer has to name.
fn digest(shown: &ShownQuestion) -> String {
    shown.open.question.digest.chars().take(limits::APPROVAL_DIGEST_CHARS).collect()
}
