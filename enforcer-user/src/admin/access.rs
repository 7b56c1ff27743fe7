// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is let in, and for which route. Errs to refusal.
//!
//! The grade of a peer comes from the credentials that it had when it connected, which are those that the kernel let
//! it in by: no directory is asked, and none can disagree with the kernel.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use enforcer_core::model::SessionId;
use enforcer_core::record::{self, Hook, NetworkRefused, Repeated, Technique};

use super::grade::{AUDIT_GROUP, Needs, USE_GROUP, joining};
use super::host::{Host, Refusal};
use super::peer::{Asker, Peer};
use crate::enforce;
use crate::identity::{self, Witness};

/// What is asked for, and what that needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) needs: Needs,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
}

/// Lets in whoever has a grade that the route takes.
pub(super) async fn admitted(
    State((host, wanted)): State<(Arc<Host>, Wanted)>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let grades = host.groups.grades(peer.uid, &peer.groups);
    if !wanted.needs.any_of().iter().any(|grade| grades.contains(grade)) {
        return not_admitted(peer.uid, wanted).into_response();
    }
    request.extensions_mut().insert(Asker { uid: peer.uid, grades });
    next.run(request).await
}

pub(super) fn not_admitted(uid: u32, wanted: Wanted) -> Refusal {
    let Wanted { needs, method, path } = wanted;
    let holders: Vec<&str> = needs.any_of().iter().map(|grade| grade.holder()).collect();
    let error = format!(
        "user {uid} may not use `{method} {path}` of the daemon: only {} may",
        holders.join(" or ")
    );
    let hint = match needs {
        Needs::Change => "run it as root".to_owned(),
        Needs::Use | Needs::Own => joining(USE_GROUP),
        Needs::Audit => joining(AUDIT_GROUP),
    };
    Refusal::new(StatusCode::FORBIDDEN, error).hint(hint)
}

/// SECURITY: a guarded root could otherwise read the journal, or start a session as another agent.
pub(super) async fn outsiders_only(
    State(host): State<Arc<Host>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    // The id of a process that is gone may be another's by now, so the one that connected has to live.
    let is_the_same = peer.started.is_some() && identity::started(peer.pid) == peer.started;
    // By its label too: a guarded root may have left the cgroup. What cannot be read is not trusted.
    let is_labeled = !matches!(host.kernel.is_agent(peer.pid), Ok(false));
    if !is_the_same || is_labeled || identity::is_guarded(peer.pid, host.sessions.folder()) {
        tracing::warn!(pid = peer.pid, "a guarded process asked the admin API");
        attempted(&host, &peer);
        let refusal = Refusal::new(StatusCode::FORBIDDEN, "a guarded process may not ask")
            .hint("run this command from a shell that is not inside `enforcer run`");
        return refusal.into_response();
    }
    next.run(request).await
}

fn attempted(host: &Host, peer: &Peer) {
    let session = host.kernel.labeled(peer.pid).ok().flatten().unwrap_or(SessionId::HOST);
    let masker = host.enforcer.policy.load().masker_of_everything();
    let refused = NetworkRefused {
        process: identity::process(peer.pid, peer.uid, &masker),
        hook: Hook::Admin.word().into(),
        refusal: record::Refusal::Guarded.word().into(),
        technique: Technique::AdminApi,
        destination: None,
        socket: "unix/stream/0".into(),
        repeated: Repeated::ONCE,
    };
    let witness = peer.started.map(Witness::of_ticks);
    enforce::network_refused(&host.enforcer, session, refused, witness);
}
