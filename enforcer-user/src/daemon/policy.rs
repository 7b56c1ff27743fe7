// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life of the bundle: loaded at the start, compared with its folder now and then, swapped whole. A
//! bundle that does not compile never replaces one that did, and neither does another folder that stands at its
//! path: that one is opened when the daemon is told to (SIGHUP).

use std::path::Path;
use std::sync::{Arc, PoisonError};

use enforcer_core::model::{PolicyVersion, SessionId, limits};
use enforcer_core::policy::{Policy, compile};
use enforcer_core::record::EventBody;

use super::signals::Reload;
use crate::admin::Host;
use crate::config::place::{self, Held, Place};

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error(transparent)]
    Read(#[from] place::Error),
    /// The bundle is not valid.
    #[error("the bundle `{folder}` is not valid")]
    Invalid {
        /// Its folder.
        folder: std::path::PathBuf,
        /// Its files, to show the places in.
        sources: enforcer_core::policy::Sources,
        /// All problems.
        #[source]
        problems: enforcer_core::policy::Diagnostics,
    },
}

/// Reads and compiles the bundle in a folder.
///
/// # Errors
/// See [`Error`]; all problems at once.
pub fn load(folder: &Path) -> Result<Policy, Error> {
    load_from(&Place::folder(folder))
}

/// Reads and compiles a bundle from where the settings say.
///
/// # Errors
/// See [`Error`]; all problems at once.
pub fn load_from(place: &Place) -> Result<Policy, Error> {
    load_held(&place.open()?)
}

/// Reads and compiles the bundle in what is held of its place.
///
/// # Errors
/// As [`load_from`].
pub(super) fn load_held(held: &Held) -> Result<Policy, Error> {
    let (sources, folder) = (held.read()?, held.path());
    match compile(&sources) {
        Ok(compiled) => {
            for warning in compiled.warnings {
                tracing::warn!("{}", warning.log_text());
            }
            Ok(compiled.policy)
        }
        Err(problems) => Err(Error::Invalid { folder: folder.to_owned(), sources, problems }),
    }
}

/// Looks at the folder every [`limits::RELOAD_INTERVAL`]; swaps what is valid and new.
pub(super) async fn watch(host: Arc<Host>, held: Held, mut reload: Reload) {
    let mut interval = tokio::time::interval(limits::RELOAD_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut held = Arc::new(held);
    let mut seen: Option<PolicyVersion> = Some(host.enforcer.policy.load().version().clone());
    let mut settling: Option<PolicyVersion> = None;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = reload.asked() => {
                held = open_anew(held).await;
                // What is half written may be the same in two folders.
                settling = None;
            }
        }
        let place = Arc::clone(&held);
        let (known, before) = (seen.clone(), settling.take());
        let look = move || look(&place, known.as_ref(), before.as_ref());
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(Looked::Settling(version))) => settling = Some(version),
            Ok(Ok(Looked::Same)) => {
                // The folder may have been gone for a while and be back as it was.
                if seen.as_ref() == Some(host.enforcer.policy.load().version()) {
                    *host.policy_refused.write().unwrap_or_else(PoisonError::into_inner) = None;
                }
            }
            Ok(Ok(Looked::Fresh(policy))) => {
                seen = Some(policy.version().clone());
                swap(&host, *policy);
            }
            Ok(Err((version, error))) => {
                // Told once for each state of the folder, not once a second.
                let text = crate::runtime::chain(&error);
                let mut refused =
                    host.policy_refused.write().unwrap_or_else(PoisonError::into_inner);
                if version.is_some() || refused.as_deref() != Some(text.as_str()) {
                    tracing::error!(
                        error = text,
                        "bundle refused; the last good one stays in force"
                    );
                }
                seen = version.or(seen);
                *refused = Some(text);
            }
            Err(error) => tracing::error!(%error, "the bundle could not be looked at"),
        }
    }
}

/// Holds what stands at the path by now. Where nothing can be opened, the next look says why.
async fn open_anew(held: Arc<Held>) -> Arc<Held> {
    let before = Arc::clone(&held);
    match tokio::task::spawn_blocking(move || before.open_anew()).await {
        Ok(Ok(opened)) => {
            tracing::info!(folder = %opened.path().display(), "the folder of the bundle is opened anew");
            return Arc::new(opened);
        }
        Ok(Err(error)) => {
            let error = crate::runtime::chain(&error);
            tracing::error!(error, "the folder of the bundle is not opened anew");
        }
        Err(error) => tracing::error!(%error, "the folder of the bundle is not opened anew"),
    }
    held
}

/// What a look at the folder found.
enum Looked {
    /// Something new, and the same as at the last look.
    Fresh(Box<Policy>),
    /// What was seen last.
    Same,
    /// Something new that may still be being written.
    Settling(PolicyVersion),
}

/// SECURITY: files are written one after the other, and half a bundle may be valid: the permits without
/// the forbids. So what is new has to be the same in two looks. An error carries the version it belongs to.
fn look(
    held: &Held,
    known: Option<&PolicyVersion>,
    before: Option<&PolicyVersion>,
) -> Result<Looked, (Option<PolicyVersion>, Error)> {
    let sources = held.read().map_err(|error| (None, error.into()))?;
    let version = sources.version();
    if Some(&version) == known {
        return Ok(Looked::Same);
    }
    if Some(&version) != before {
        return Ok(Looked::Settling(version));
    }
    match compile(&sources) {
        Ok(compiled) => Ok(Looked::Fresh(Box::new(compiled.policy))),
        Err(problems) => {
            let folder = held.path().to_owned();
            Err((Some(version), Error::Invalid { folder, sources, problems }))
        }
    }
}

fn swap(host: &Host, policy: Policy) {
    let cx = &host.enforcer;
    let policy = policy.with_hash_key(cx.policy.load().hash_key());
    let policy_version = policy.version().clone();
    tracing::info!(policy = %policy_version, "bundle in force");
    cx.policy.store(Arc::new(policy));
    *host.policy_refused.write().unwrap_or_else(PoisonError::into_inner) = None;
    let loaded = EventBody::PolicyLoaded { policy: policy_version };
    cx.journal.append_or_count(SessionId::HOST, cx.clock.now(), loaded);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bundle_that_is_still_being_written_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let inventory = "version = 1\nmode = \"enforce\"\n[agents.a]\n";
        fs::write(folder.path().join("policy.toml"), inventory).unwrap();
        let place = Place::folder(folder.path()).open().unwrap();
        let Ok(Looked::Settling(first)) = look(&place, None, None) else { panic!() };
        fs::write(folder.path().join("policy.toml"), format!("{inventory}[agents.b]\n")).unwrap();
        let Ok(Looked::Settling(second)) = look(&place, None, Some(&first)) else { panic!() };
        assert!(matches!(look(&place, None, Some(&second)), Ok(Looked::Fresh(_))));
        assert!(matches!(look(&place, Some(&second), None), Ok(Looked::Same)));
    }
}
