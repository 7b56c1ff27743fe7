// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holds an exchange until people have approved it. What they are shown is what goes out: the body is there
//! whole before anybody is asked, and nothing changes it afterwards. What cannot be shown whole is refused at
//! once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::facts::masked;
use enforcer_core::mask::{Masker, hide_in_query};
use enforcer_core::model::{
    ApprovalName, DenyReason, ExchangeId, Facts, Obligations, OpaqueCause, UnixMillis, limits,
};
use enforcer_core::policy::{Approver, Policy};
use enforcer_core::protocol::codec;
use enforcer_core::protocol::codec::Route;
use enforcer_core::protocol::headers::is_volatile;
use enforcer_core::record::{Cause, EventBody, Limited, RecordedFacts, ShownFault, masked_query};
use hyper::header::{CONTENT_TYPE, HeaderName};

use super::content::{Body, Content};
use super::outgoing::Outgoing;
use super::record::OpenRecord;
use super::refusal::Refusal;
use super::{Conn, Enforcer, buffers};
use crate::approval::{Asked, BoundHeader, NotAsked, Outcome, Question, QuestionId};
use crate::runtime::{self, chain};

/// Forms of which the values stand behind percent signs.
const FORM: &str = "application/x-www-form-urlencoded";

/// Asks, and waits as long as the shortest of the approvals holds. Without facts nothing has to be approved.
pub(super) async fn wait(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    outgoing: &Outgoing<'_>,
    facts: Option<Facts>,
    content: &mut Content,
    record: &OpenRecord,
) -> Result<(), Refusal> {
    let Some(facts) = facts else { return Ok(()) };
    let owed = outgoing.owed;
    let everything = record.masker();
    let body = shown_body(content, everything.clone()).await?;
    let mut may: BTreeMap<ApprovalName, Vec<Approver>> = BTreeMap::new();
    let (mut hold, mut expire) = (limits::APPROVAL_HOLD_MAX, limits::APPROVAL_EXPIRE_MAX);
    for name in &owed.approvals {
        // A bundle with such an obligation is refused when it is checked.
        let found = policy.approval(name).ok_or_else(|| Refusal::from(DenyReason::Internal))?;
        (hold, expire) = (hold.min(found.hold), expire.min(found.expire));
        may.insert(name.clone(), found.by.clone());
    }
    let mut question = question(cx, conn, outgoing, facts, (content, record.id()), &everything);
    let lasts = u64::try_from(expire.as_millis()).unwrap_or(u64::MAX);
    question.hides_content = *body.as_bytes() != *bytes(content);
    question.expires = UnixMillis(question.asked.0.saturating_add(lasts));
    let asked = cx.approvals.ask(question.clone(), body, may, expire);
    let asked = asked.map_err(|why| {
        if why == NotAsked::NoNumber {
            return DenyReason::JournalUnavailable.into();
        }
        let message = format!("{why}; send it again when some of them are answered");
        let cause = Cause::Limit { limit: Limited::Questions };
        Refusal::of(DenyReason::Limit, cause).message(message)
    })?;
    let id = asked.id;
    if asked.is_new {
        told(cx, conn, &question, id).await?;
    }
    hold_for(cx, asked, hold, owed).await
}

impl From<ShownFault> for Refusal {
    fn from(fault: ShownFault) -> Self {
        let why = match fault {
            ShownFault::NotText => "the body is not text in UTF-8".to_owned(),
            ShownFault::TooLarge => {
                let most = limits::APPROVAL_SHOWN_BYTES_MAX;
                format!("the body has more than {most} bytes, so send less in one request")
            }
        };
        let message = format!(
            "{why}; or ask whoever writes the policy to permit such requests without a person"
        );
        Self::of(DenyReason::ApprovalNotShowable, Cause::Unshowable { fault }).message(message)
    }
}

/// All of the body, taken up if need be, as it is shown.
async fn shown_body(content: &mut Content, everything: Masker) -> Result<String, Refusal> {
    if content.least_bytes() > limits::APPROVAL_SHOWN_BYTES_MAX as u64 {
        return Err(ShownFault::TooLarge.into());
    }
    if !content.is_whole().await {
        return Err(match &content.body {
            Body::Opaque { why, .. } if why.cause == OpaqueCause::TooLarge => {
                ShownFault::TooLarge.into()
            }
            Body::Opaque { .. } | Body::Stream(_) | Body::Whole(_) => {
                Refusal::of(DenyReason::Limit, Cause::Limit { limit: Limited::RequestIdle })
            }
            Body::NoRoom => buffers::no_memory(),
        });
    }
    if content.least_bytes() > limits::APPROVAL_SHOWN_BYTES_MAX as u64 {
        return Err(ShownFault::TooLarge.into());
    }
    let kind = content.head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_form = kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(FORM));
    let (route, bytes) = (content.route, bytes(content));
    let masked = if bytes.len() <= limits::INLINE_BODY_BYTES_MAX {
        text(route, &bytes, &everything, is_form)
    } else {
        let masked = runtime::heavy(move || text(route, &bytes, &everything, is_form)).await;
        masked.map_err(|_panicked| Refusal::from(DenyReason::Internal))?
    };
    Ok(masked?)
}

/// What is known of the body.
fn bytes(content: &Content) -> Bytes {
    match &content.body {
        Body::Whole(bytes) => bytes.clone(),
        Body::Opaque { seen, .. } => seen.clone(),
        Body::NoRoom | Body::Stream(_) => Bytes::new(),
    }
}

/// A body with everything masked that the bundle masks.
fn text(
    route: Option<Route>,
    bytes: &[u8],
    everything: &Masker,
    is_form: bool,
) -> Result<String, ShownFault> {
    let text = match codec::mask_request(route, bytes, everything) {
        Ok(masked) => String::from_utf8(masked.bytes).map_err(|_binary| ShownFault::NotText)?,
        Err(_not_understood) => {
            let text = str::from_utf8(bytes).map_err(|_binary| ShownFault::NotText)?;
            let fields = if is_form { hide_in_query(text) } else { Cow::Borrowed(text) };
            let plain = everything.mask_text(&fields).text;
            if is_form { masked(&plain, everything) } else { plain.into_owned() }
        }
    };
    if text.len() > limits::APPROVAL_SHOWN_BYTES_MAX {
        return Err(ShownFault::TooLarge);
    }
    Ok(text)
}

async fn hold_for(
    cx: &Enforcer,
    asked: Asked,
    hold: Duration,
    owed: &Obligations,
) -> Result<(), Refusal> {
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
    let cause = Cause::Approval { question: id.0, needs: owed.approvals.clone() };
    Err(Refusal::of(reason, cause).message(message))
}

/// That it was asked is durable before the answer is waited for; a question that cannot be recorded is taken back.
async fn told(
    cx: &Enforcer,
    conn: &Conn,
    question: &Question,
    id: QuestionId,
) -> Result<(), Refusal> {
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
        DenyReason::JournalUnavailable.into()
    })
}

/// What is shown, but for when it is gone and what the body hides, which the caller says.
fn question(
    cx: &Enforcer,
    conn: &Conn,
    outgoing: &Outgoing<'_>,
    facts: Facts,
    (content, exchange): (&Content, ExchangeId),
    everything: &Masker,
) -> Question {
    let mask = |text: &str| masked(text, everything);
    let (origin, uri) = (&conn.origin, &content.head.uri);
    let (bytes, query) = (bytes(content), uri.query().unwrap_or_default());
    let line = format!("{} {}", mask(content.head.method.as_str()), mask(uri.path()));
    let asked = cx.clock.now();
    Question {
        exchange,
        agent: facts.agent.clone(),
        uid: origin.process.uid,
        session: origin.session,
        endpoint: facts.endpoint.clone(),
        host: format!("{}:{}", mask(&conn.target.host), conn.target.port),
        request_line: match query {
            "" => line,
            query => format!("{line}?{}", masked_query(query, everything)),
        },
        facts: RecordedFacts::of(facts, everything).into_facts(),
        headers: bound_headers(cx, outgoing, everything),
        body_bytes: bytes.len() as u64,
        hides_content: false,
        digest: digest(cx, conn, outgoing, content, &bytes),
        needs: outgoing.owed.approvals.clone(),
        granted: BTreeMap::new(),
        asked,
        expires: asked,
    }
}

/// Headers that go out and matter, by name. One that a credential of the bundle replaces has no value here.
fn bound<'o>(outgoing: &'o Outgoing<'_>) -> Vec<(&'o HeaderName, Option<&'o [u8]>)> {
    let sent = outgoing.headers.iter().map(|(name, value)| (name, Some(value.as_bytes())));
    let sent = sent.filter(|(name, _)| !outgoing.credentials.replace(name));
    let put_in = outgoing.credentials.names().map(|name| (name, None));
    let mut bound: Vec<_> =
        sent.filter(|(name, _)| !is_volatile(name.as_str())).chain(put_in).collect();
    // Stable, so that several values of one name keep their order.
    bound.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    bound
}

fn bound_headers(cx: &Enforcer, outgoing: &Outgoing<'_>, everything: &Masker) -> Vec<BoundHeader> {
    let shown = |(name, value): (&HeaderName, Option<&[u8]>)| {
        let fingerprint = value.map(|value| {
            let hash = cx.approvals.digest("header", [name.as_str().as_bytes(), value]).to_hex();
            hash.chars().take(limits::APPROVAL_FINGERPRINT_CHARS).collect()
        });
        BoundHeader { name: masked(name.as_str(), everything), fingerprint }
    };
    bound(outgoing).into_iter().map(shown).collect()
}

fn digest(
    cx: &Enforcer,
    conn: &Conn,
    outgoing: &Outgoing<'_>,
    content: &Content,
    bytes: &[u8],
) -> String {
    let (origin, uri) = (&conn.origin, &content.head.uri);
    let (uid, session) = (origin.process.uid.to_be_bytes(), origin.session.to_string());
    let port = conn.target.port.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![
        &uid,
        session.as_bytes(),
        conn.target.host.as_bytes(),
        &port,
        content.head.method.as_str().as_bytes(),
        uri.path().as_bytes(),
        uri.query().unwrap_or_default().as_bytes(),
        bytes,
    ];
    for (name, value) in bound(outgoing) {
        let is_sent: &[u8] = if value.is_some() { b"sent" } else { b"put in" };
        parts.extend([name.as_str().as_bytes(), is_sent, value.unwrap_or_default()]);
    }
    cx.approvals.digest("request", parts).to_hex().to_string()
}
