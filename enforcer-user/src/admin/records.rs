// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is recorded, over the admin API: to whom it belongs, who may read it, and the record of who read what
//! belongs to another.
//!
//! A session belongs to the user that its root process ran as when it began. What has no known owner belongs to
//! nobody, and only who may read everything reads it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use enforcer_core::model::{SessionId, limits};
use enforcer_core::record::{Audited, BodyRef, Event, EventBody, Hash};
use tokio::time::Instant;

use super::Status;
use super::audit::Audit;
use super::grade::{AUDIT_GROUP, joining};
use super::host::{Host, Refusal, blocking};
use super::peer::Asker;
use super::people::users;
use crate::store::{self, EventPage, SessionSummary, VerifyReport};

/// Records that somebody reads what belongs to another; an error if it cannot be recorded, and then it is not read.
pub(super) async fn audited(
    host: &Host,
    asker: &Asker,
    session: Option<SessionId>,
    what: Audited,
) -> Result<(), Refusal> {
    // Held until it is durable: whoever reads the same meanwhile waits for that, too.
    let mut acts = host.audit.0.lock().await;
    let now = Instant::now();
    let Some(act) = Audit::due(&mut acts, (asker.uid, session, what), now) else { return Ok(()) };
    let named = users(BTreeSet::from([asker.uid])).await?.remove(&asker.uid);
    let by = named.unwrap_or_else(|| asker.uid.to_string());
    let (uid, of_session, what) = act;
    let body = EventBody::Audited { by, uid, of_session, what };
    let cx = &host.enforcer;
    cx.journal.append_durable(SessionId::HOST, cx.clock.now(), body).await?;
    acts.insert(act, now + limits::AUDIT_WINDOW);
    Ok(())
}

/// To whom a session belongs; none if nobody knows.
pub(super) async fn owner(host: &Host, session: SessionId) -> Result<Option<u32>, Refusal> {
    if let Some(uid) = host.owners.known(session) {
        return Ok(Some(uid));
    }
    let first = read(host, move |reader| reader.events(session, 0).next().transpose()).await?;
    let Some(EventBody::SessionOpened(opened)) = first.map(|event| event.body) else {
        return Ok(None);
    };
    host.owners.learn(session, opened.process.uid);
    Ok(Some(opened.process.uid))
}

/// Lets somebody read a session who may: its owner, and whoever may read everything, which is recorded as `what`.
async fn readable(
    host: &Host,
    asker: &Asker,
    session: SessionId,
    what: Option<Audited>,
) -> Result<(), Refusal> {
    if owner(host, session).await? == Some(asker.uid) {
        return Ok(());
    }
    if !asker.reads_all() {
        // Whether there is such a session is nothing to tell either.
        let error = format!("no session `{session}` of user {} is recorded", asker.uid);
        let hint = format!("for sessions of other users, {}", joining(AUDIT_GROUP));
        return Err(Refusal::new(StatusCode::FORBIDDEN, error).hint(hint));
    }
    match what.filter(|_| session != SessionId::HOST) {
        Some(what) => audited(host, asker, Some(session), what).await,
        None => Ok(()),
    }
}

/// Takes out of the state what belongs to others. The state is shown also while nothing can be read: what is not
/// known to be theirs is left out.
pub(super) async fn leave_own(host: &Host, status: &mut Status, uid: u32) {
    for session in std::mem::take(&mut status.sessions) {
        if matches!(owner(host, session.id).await, Ok(Some(found)) if found == uid) {
            status.sessions.push(session);
        } else {
            status.sessions_of_others = status.sessions_of_others.saturating_add(1);
        }
    }
}

pub(super) async fn sessions(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
) -> Result<Json<Vec<SessionSummary>>, Refusal> {
    let mut found = read(&host, |reader| reader.sessions()).await?;
    let is_own = |session: &SessionSummary| {
        session.process.as_ref().is_some_and(|process| process.uid == asker.uid)
    };
    if !asker.reads_all() {
        found.retain(is_own);
    } else if found.iter().any(|session| session.id != SessionId::HOST && !is_own(session)) {
        audited(&host, &asker, None, Audited::Sessions).await?;
    }
    Ok(Json(found))
}

pub(super) async fn begun(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
    Query(bound): Query<Begun>,
) -> Result<Json<Vec<SessionId>>, Refusal> {
    let most = limits::FOLLOW_SESSIONS_MAX;
    let (mut shown, mut after, mut has_others) = (Vec::new(), bound.after, false);
    // Sessions of others do not keep one's own from being found.
    for _ in 0..limits::BEGUN_ROUNDS_MAX {
        let found = read(&host, move |reader| reader.begun_after(after, most)).await?;
        let is_last = found.len() < most;
        for session in found {
            after = session;
            let is_own = owner(&host, session).await? == Some(asker.uid);
            if is_own || asker.reads_all() {
                has_others |= !is_own;
                shown.push(session);
            }
        }
        if is_last || shown.len() >= most {
            break;
        }
    }
    shown.truncate(most);
    if has_others {
        audited(&host, &asker, None, Audited::Sessions).await?;
    }
    Ok(Json(shown))
}

pub(super) async fn events(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
    Path(id): Path<SessionId>,
    Query(start): Query<Start>,
) -> Result<Json<EventPage>, Refusal> {
    readable(&host, &asker, id, Some(Audited::Events)).await?;
    let found = read(&host, move |reader| reader.page(id, start.from)).await?;
    Ok(Json(found))
}

/// A body is asked for by the event that names it: to whom it belongs is known by the session of that event.
pub(super) async fn body(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
    Path((id, sequence, hash)): Path<(SessionId, u64, String)>,
) -> Result<Vec<u8>, Refusal> {
    let hash: Hash = hash
        .parse()
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, format!("not a hash: {error}")))?;
    readable(&host, &asker, id, Some(Audited::Bodies)).await?;
    let found = read(&host, move |reader| {
        let event = reader.events(id, sequence).next().transpose()?;
        match event.filter(|event| event.sequence == sequence && names(event, &hash)) {
            Some(_) => reader.body_of(&hash).map(Some),
            None => Ok(None),
        }
    });
    found.await?.ok_or_else(|| {
        let error = format!("event {sequence} of session {id} names no such body");
        Refusal::new(StatusCode::NOT_FOUND, error)
    })
}

/// Whether an event names this body.
fn names(event: &Event, hash: &Hash) -> bool {
    let bodies = match &event.body {
        EventBody::ExchangeClosed(closed) => [closed.request.as_ref(), closed.response.as_ref()],
        EventBody::ExchangeOpened(opened) => [opened.request.as_ref(), None],
        _ => [None, None],
    };
    let is_it = |body: &BodyRef| body.hash.parse::<Hash>().is_ok_and(|named| named == *hash);
    bodies.into_iter().flatten().any(is_it)
}

pub(super) async fn verify(
    State(host): State<Arc<Host>>,
    Extension(asker): Extension<Asker>,
    Query(only): Query<Only>,
) -> Result<Json<VerifyReport>, Refusal> {
    match only.session {
        Some(session) => readable(&host, &asker, session, None).await?,
        None if asker.reads_all() => {}
        None => {
            let error = format!("user {} may verify single sessions of their own only", asker.uid);
            return Err(Refusal::new(StatusCode::FORBIDDEN, error).hint(joining(AUDIT_GROUP)));
        }
    }
    let found = read(&host, move |reader| reader.verify(only.session, &mut |_| {})).await?;
    Ok(Json(found))
}

/// Where a page of events starts.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    #[serde(default)]
    from: u64,
}

/// Which sessions are listed.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    after: SessionId,
}

/// Which session is verified; all without one.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Only {
    session: Option<SessionId>,
}

/// Reads what is durable, on a thread that may wait for the disk.
async fn read<T: Send + 'static>(
    host: &Host,
    work: impl FnOnce(&store::Reader) -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Refusal> {
    let journal = host.enforcer.journal.clone();
    journal.sync().await?;
    Ok(blocking(move || journal.reader().and_then(|reader| work(&reader))).await??)
}
