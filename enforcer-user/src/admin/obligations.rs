// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Budgets and approvals over the admin API: who asks is who the kernel says, by the connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::StatusCode;
use enforcer_core::model::{SessionId, limits};
use enforcer_core::record::EventBody;

use super::host::{Host, Refusal};
use super::peer::Peer;
use super::people::{person, users};
use super::{AccountStatus, Answer, Answered, OpenQuestion, ShownQuestion};
use crate::approval::{NotTaken, QuestionId, Shown, Standing};

pub(super) async fn budgets(State(host): State<Arc<Host>>) -> Json<Vec<AccountStatus>> {
    let cx = &host.enforcer;
    let counts = cx.budgets.counts(cx.clock.now()).into_iter();
    let shown = counts.map(|(account, count)| AccountStatus {
        account: account.as_str().to_owned(),
        used: count.used,
        reserved: count.reserved,
        until: count.until,
    });
    Json(shown.collect())
}

pub(super) async fn reset(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(account): Json<String>,
) -> Result<Json<()>, Refusal> {
    let cx = &host.enforcer;
    let person = person(peer.uid).await?;
    if !cx.budgets.reset(&account) {
        let error = format!("no budget is counted as `{account}`");
        let hint = "`enforcer budget list` shows those that are";
        return Err(Refusal::new(StatusCode::NOT_FOUND, error).hint(hint));
    }
    let by = person.user;
    tracing::warn!(account, by, "a budget was reset");
    let body = EventBody::BudgetReset { account, by, had: Default::default() };
    cx.journal.append_durable(SessionId::HOST, cx.clock.now(), body).await?;
    Ok(Json(()))
}

pub(super) async fn questions(
    State(host): State<Arc<Host>>,
) -> Result<Json<Vec<OpenQuestion>>, Refusal> {
    let all = host.enforcer.approvals.all();
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
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<QuestionId>,
) -> Result<Json<ShownQuestion>, Refusal> {
    let person = person(peer.uid).await?;
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
    let is_long_enough = answer.digest.len() >= limits::APPROVAL_DIGEST_CHARS;
    if !is_long_enough || !question.digest.starts_with(&answer.digest) {
        let error = format!("question {id} is about something else than what was shown");
        let hint = "look at it again: `enforcer approval show`";
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
            (StatusCode::NOT_FOUND, "`enforcer approval list` shows the open ones")
        }
        NotTaken::NotShown(_) => {
            (StatusCode::CONFLICT, "look at all of it first: `enforcer approval show`")
        }
        NotTaken::NotYours { .. } => {
            (StatusCode::FORBIDDEN, "the bundle says who: `[approvals.NAME] by` in policy.toml")
        }
    };
    Refusal::new(status, error.to_string()).hint(hint)
}
