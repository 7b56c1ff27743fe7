// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets and approvals over the admin API: who asks is who the kernel says, by the connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use enforcer_core::budget::Amount;
use enforcer_core::model::{SessionId, limits};
use enforcer_core::record::{Audited, EventBody};

use super::accounts::accounts;
use super::host::{Host, Refusal};
use super::peer::{Asker, Peer};
use super::people::{person, users};
use super::records::{audited, owner};
use super::{AccountStatus, Answer, Answered, OpenQuestion, OpenQuestions, ShownQuestion};
use crate::approval::{NotTaken, Question, QuestionId, Shown, Standing};

pub(super) async fn budgets(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<Vec<AccountStatus>>, Refusal> {
    audited(&host, &asker, None, Audited::Budgets).await?;
    let mut all = all_accounts(&host);
    let uid =
        |found: &AccountStatus| found.who.as_deref().filter(|_| found.per == "user")?.parse().ok();
    let named = users(all.iter().filter_map(uid).collect()).await?;
    for found in &mut all {
        found.user = uid(found).and_then(|uid| named.get(&uid).cloned());
    }
    Ok(Json(all))
}

/// All budgets, with their counters.
pub(super) fn all_accounts(host: &Host) -> Vec<AccountStatus> {
    let cx = &host.enforcer;
    accounts(&cx.policy.load(), &cx.budgets.counts(cx.clock.now()))
}

/// Recorded first: a counter that nobody can prove to have been reset is not.
pub(super) async fn reset(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(account): Json<String>,
) -> Result<Json<Amount>, Refusal> {
    let cx = &host.enforcer;
    let by = person(peer.uid).await?.user;
    let Some(had) = cx.budgets.used(&account) else {
        let error = format!("no budget is counted as `{account}`");
        let hint = "`enforcer budget list` shows those that are";
        return Err(Refusal::new(StatusCode::NOT_FOUND, error).hint(hint));
    };
    let body = EventBody::BudgetReset { account: account.clone(), by: by.clone(), had };
    cx.journal.append_durable(SessionId::HOST, cx.clock.now(), body).await?;
    cx.budgets.reset(&account, had);
    tracing::warn!(account, by, tokens = had.tokens, requests = had.requests, "a budget was reset");
    Ok(Json(had))
}

/// The open questions that somebody may see: those of their own sessions, those that the bundle lets them answer,
/// and all for who may read everything.
async fn visible(host: &Host, asker: &Asker) -> Result<Vec<(QuestionId, Question)>, Refusal> {
    let approvals = &host.enforcer.approvals;
    let all = approvals.all();
    if asker.reads_all() || all.is_empty() {
        return Ok(all);
    }
    // Who has no name here is named by no bundle.
    let person = person(asker.uid).await.ok();
    let mut seen = Vec::new();
    for (id, question) in all {
        let is_for = person.as_ref().is_some_and(|person| approvals.is_for(id, person));
        if is_for || !is_of_another(host, asker, &question).await? {
            seen.push((id, question));
        }
    }
    Ok(seen)
}

/// Whether a question is about a session that is not the asking user's.
async fn is_of_another(host: &Host, asker: &Asker, question: &Question) -> Result<bool, Refusal> {
    Ok(owner(host, question.session).await? != Some(asker.uid))
}

/// How many questions somebody may see, and since when.
pub(super) async fn open_questions(host: &Host, asker: &Asker) -> Result<OpenQuestions, Refusal> {
    Ok(counted(&visible(host, asker).await?))
}

/// How many questions there are, and since when.
pub(super) fn all_questions(host: &Host) -> OpenQuestions {
    counted(&host.enforcer.approvals.all())
}

fn counted(questions: &[(QuestionId, Question)]) -> OpenQuestions {
    let oldest = questions.iter().map(|(_, question)| question.asked).min();
    OpenQuestions { open: questions.len(), oldest }
}

pub(super) async fn questions(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<Vec<OpenQuestion>>, Refusal> {
    let all = visible(&host, &asker).await?;
    for (_, question) in &all {
        if is_of_another(&host, &asker, question).await? {
            audited(&host, &asker, None, Audited::Approvals).await?;
            break;
        }
    }
    let uids: BTreeSet<u32> = all.iter().map(|(_, question)| question.uid).collect();
    let users = users(uids).await?;
    let shown = all.into_iter().map(|(id, question)| {
        let user = users.get(&question.uid).cloned();
        OpenQuestion { id, user, question }
    });
    Ok(Json(shown.collect()))
}

pub(super) async fn question(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<QuestionId>,
) -> Result<Json<ShownQuestion>, Refusal> {
    let seen = visible(&host, &asker).await?;
    // Of what is not theirs, nobody learns that it is there.
    let Some((_, question)) = seen.into_iter().find(|(seen, _)| *seen == id) else {
        return Err(not_taken(&NotTaken::Unknown(id)));
    };
    if is_of_another(&host, &asker, &question).await? {
        audited(&host, &asker, Some(question.session), Audited::Approval).await?;
    }
    let person = person(asker.uid).await?;
    let shown = host.enforcer.approvals.show(id, &person).map_err(|error| not_taken(&error))?;
    let Shown { question, body } = shown;
    let user = users(BTreeSet::from([question.uid])).await?.remove(&question.uid);
    Ok(Json(ShownQuestion { open: OpenQuestion { id, user, question }, body }))
}

pub(super) async fn answer(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<QuestionId>,
    Json(answer): Json<Answer>,
) -> Result<Json<Answered>, Refusal> {
    let cx = &host.enforcer;
    let person = person(peer.uid).await?;
    let (question, theirs) =
        cx.approvals.may_answer(id, &person, answer.grants).map_err(|error| not_taken(&error))?;
    let show = format!("`enforcer approval show {id}`");
    let is_short = |digest: &String| digest.len() < limits::APPROVAL_DIGEST_CHARS;
    if answer.digest.as_ref().is_some_and(is_short) {
        let least = limits::APPROVAL_DIGEST_CHARS;
        let error = format!("name at least {least} characters of the digest");
        let hint = format!("{show} prints as many");
        return Err(Refusal::new(StatusCode::CONFLICT, error).hint(hint));
    }
    let is_shown = match &answer.digest {
        Some(digest) => question.digest.starts_with(digest),
        // A refusal can do no harm.
        None => !answer.grants,
    };
    if !is_shown {
        let error = format!("question {id} is about something else than what was shown");
        let hint = format!("look at it again: {show}");
        return Err(Refusal::new(StatusCode::CONFLICT, error).hint(hint));
    }
    // Recorded first: what nobody can prove to have been granted is not sent.
    let body = EventBody::ApprovalAnswered {
        exchange: question.exchange,
        question: id.0,
        approvals: theirs,
        digest: question.digest,
        grants: answer.grants,
        by: person.user.clone(),
    };
    cx.journal.append_durable(question.exchange.session, cx.clock.now(), body).await?;
    let standing = cx.approvals.answer(id, &person, answer.grants);
    let standing = standing.map_err(|error| not_taken(&error))?;
    tracing::info!(question = %id, by = person.user, grants = answer.grants, "a question was answered");
    Ok(Json(Answered { is_open: standing == Standing::Open }))
}

fn not_taken(error: &NotTaken) -> Refusal {
    let (status, hint) = match error {
        NotTaken::Unknown(_) => {
            (StatusCode::NOT_FOUND, "`enforcer approval list` shows the open ones".to_owned())
        }
        NotTaken::NotShown(id) => (
            StatusCode::CONFLICT,
            format!("look at all of it first: `enforcer approval show {id}`"),
        ),
        NotTaken::NotYours { .. } => (
            StatusCode::FORBIDDEN,
            "the bundle says who: `[approvals.NAME] by` in policy.toml".to_owned(),
        ),
    };
    Refusal::new(status, error.to_string()).hint(hint)
}
