// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holds an exchange until people have approved it. What they are shown is what goes out: the body is there
//! whole before anybody is asked, and nothing changes it afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use enforcer_core::facts::masked;
use enforcer_core::model::{ApprovalName, Denied, DenyReason, Facts, Obligations, limits};
use enforcer_core::policy::{Approver, Policy};
use enforcer_core::protocol::codec;
use enforcer_core::record::EventBody;

use super::content::{Body, Content};
use super::record::OpenRecord;
use super::{Conn, Enforcer};
use crate::approval::{Asked, Outcome, Question, QuestionId};
use crate::runtime::chain;

/// Asks, and waits as long as the shortest of the approvals holds. Without facts nothing has to be approved.
pub(super) async fn wait(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    owed: &Obligations,
    facts: Option<Facts>,
    content: &mut Content,
    record: &OpenRecord,
) -> Result<(), Denied> {
    let Some(facts) = facts else { return Ok(()) };
    if !content.is_whole().await {
        return Err(Denied::because(DenyReason::Limit));
    }
    let mut may: BTreeMap<ApprovalName, Vec<Approver>> = BTreeMap::new();
    let (mut hold, mut expire) = (limits::APPROVAL_HOLD_MAX, limits::APPROVAL_EXPIRE_MAX);
    for name in &owed.approvals {
        // A bundle with such an obligation is refused when it is checked.
        let found = policy.approval(name).ok_or_else(|| Denied::because(DenyReason::Internal))?;
        (hold, expire) = (hold.min(found.hold), expire.min(found.expire));
        may.insert(name.clone(), found.by.clone());
    }
    let question = question(cx, conn, policy, owed, facts, content, record, expire);
    let asked = cx.approvals.ask(question.clone(), may, expire);
    let asked = asked.map_err(|_too_many| Denied::because(DenyReason::Limit))?;
    let id = asked.id;
    if asked.is_new {
        told(cx, conn, &question, id).await?;
    }
    hold_for(cx, asked, hold, owed).await
}

async fn hold_for(
    cx: &Enforcer,
    asked: Asked,
    hold: Duration,
    owed: &Obligations,
) -> Result<(), Denied> {
    let id = asked.id;
    let names: Vec<&str> = owed.approvals.iter().map(ApprovalName::as_str).collect();
    let names = names.join(", ");
    let (reason, message) = match cx.approvals.wait(asked, hold).await {
        Outcome::Granted => return Ok(()),
        Outcome::Refused => {
            (DenyReason::ApprovalRefused, format!("`{names}` was refused (question {id})"))
        }
        Outcome::Pending => {
            let message = format!(
                "question {id} waits for `{names}`; send the same request again when it is granted"
            );
            (DenyReason::ApprovalPending, message)
        }
    };
    Err(Denied { message: Some(message), ..Denied::because(reason) })
}

/// That it was asked is durable before the answer is waited for; a question that cannot be recorded is taken back.
async fn told(
    cx: &Enforcer,
    conn: &Conn,
    question: &Question,
    id: QuestionId,
) -> Result<(), Denied> {
    tracing::info!(
        question = %id, agent = %question.agent, request = question.request_line,
        "a request waits for approval"
    );
    let body = EventBody::ApprovalAsked {
        exchange: question.exchange,
        question: id.0,
        needs: question.needs.clone(),
        digest: question.digest.clone(),
    };
    let recorded = cx.journal.append_durable(conn.origin.session, cx.clock.now(), body).await;
    recorded.map_err(|error| {
        cx.approvals.withdraw(id);
        tracing::error!(question = %id, error = chain(&error), "question taken back: not recorded");
        Denied::because(DenyReason::JournalUnavailable)
    })
}

#[expect(clippy::too_many_arguments, reason = "everything that is shown comes from somewhere else")]
fn question(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    owed: &Obligations,
    facts: Facts,
    content: &Content,
    record: &OpenRecord,
    expire: Duration,
) -> Question {
    let everything = policy.masker_of_everything();
    let mask = |text: &str| masked(text, &everything);
    let bytes: &[u8] = match &content.body {
        Body::Whole(bytes) => bytes,
        Body::Opaque { seen, .. } => seen,
        Body::NoRoom | Body::Stream(_) => &[],
    };
    let uri = &content.head.uri;
    let line = format!("{} {}", mask(content.head.method.as_str()), mask(uri.path()));
    let mut hasher = blake3::Hasher::new();
    let query = uri.query().unwrap_or_default();
    let parts = [
        conn.target.host.as_bytes(),
        &conn.target.port.to_be_bytes(),
        content.head.method.as_str().as_bytes(),
        uri.path().as_bytes(),
        query.as_bytes(),
        bytes,
    ];
    for part in parts {
        // The length goes first, so that text cannot move between two parts.
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let shown = codec::mask_request(bytes, &everything).ok();
    let shown = shown.and_then(|shown| String::from_utf8(shown.bytes).ok());
    let shown = shown.filter(|shown| shown.len() <= limits::APPROVAL_SHOWN_BYTES_MAX);
    let asked = cx.clock.now();
    let expire = u64::try_from(expire.as_millis()).unwrap_or(u64::MAX);
    Question {
        exchange: record.id(),
        agent: facts.agent.clone(),
        endpoint: facts.endpoint.clone(),
        host: format!("{}:{}", mask(&conn.target.host), conn.target.port),
        request_line: if query.is_empty() { line } else { format!("{line}?{}", mask(query)) },
        facts: facts.with_texts(mask),
        body: shown,
        body_bytes: bytes.len() as u64,
        digest: hasher.finalize().to_hex().to_string(),
        needs: owed.approvals.clone(),
        granted: BTreeMap::new(),
        asked,
        expires: enforcer_core::model::UnixMillis(asked.0.saturating_add(expire)),
    }
}
