// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The signed statement at the top of the journal about how far it goes: which period is the newest, and
//! how often was signed. Shows that the newest period, or all of them, are gone, and that an older copy
//! of it was put back, which no period shows by itself.
//!
//! It is written right after each checkpoint, so the newest checkpoint is as old as this says or one
//! signature newer (a crash in between); anything else is a finding. Who puts a whole older folder back,
//! this file with it, is seen only by an anchor outside: someone who noted the counter, or the host that
//! records are exported to.

use std::path::Path;

use enforcer_core::model::UnixMillis;
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Key, Statement};
use super::period::ENGINE_DIR;
use super::{Error, files};

const FILE_NAME: &str = "latest";

/// How far the journal goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Latest {
    /// Name of the newest period; none before the first.
    pub(super) newest: Option<String>,
    /// The run of the writer that signed.
    pub(super) epoch: u32,
    /// How often was signed; only grows.
    pub(super) counter: u64,
    /// When.
    pub(super) at: UnixMillis,
}

/// What is there, next to what was signed.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// What was signed, if it can be trusted.
    pub(super) latest: Option<Latest>,
    /// The counter in the checkpoint of the newest period, if it can be trusted.
    counter: Option<u64>,
    /// What does not fit.
    pub(super) finding: Option<String>,
}

impl Latest {
    /// What a journal says before its first period.
    pub(super) const fn none() -> Self {
        Self { newest: None, epoch: 0, counter: 0, at: UnixMillis(0) }
    }

    /// True if there is a statement that is not the one from before the first key: then there was one.
    pub(super) fn is_of_a_used_journal(dir: &Path) -> bool {
        let text = std::fs::read_to_string(dir.join(FILE_NAME));
        let none =
            serde_json::to_string(&Self::none()).and_then(|none| serde_json::to_string(&none));
        text.is_ok_and(|text| !none.is_ok_and(|none| text.contains(&none)))
    }

    pub(super) fn write(&self, dir: &Path, key: &Key) -> Result<(), Error> {
        key.write_signed(&dir.join(FILE_NAME), self)
    }
}

impl Reach {
    /// How far the journal at `dir` goes.
    ///
    /// # Errors
    /// If it cannot be read. What cannot be trusted is a finding.
    pub(super) fn of(dir: &Path, public: &[u8]) -> Result<Self, Error> {
        // Before the checkpoint, so that a running daemon makes that one newer, not older.
        let latest = match checkpoint::read_signed::<Latest>(&dir.join(FILE_NAME), public) {
            Ok(latest) => latest.ok_or_else(|| {
                "the statement about the newest period, `latest`, is gone".to_owned()
            }),
            Err(error @ Error::Checkpoint { .. }) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        let mut names = files::periods(dir)?;
        // A folder that was emptied is as gone as one that was removed.
        names.retain(|name| files::is_aside(name) || is_used(&files::period_dir(dir, name)));
        let newest = newest(dir, &names, public)?;
        let counter = newest.as_ref().map(|(_, statement)| statement.counter);
        Ok(match latest {
            Err(finding) => Self { latest: None, counter, finding: Some(finding) },
            Ok(latest) => {
                let finding = compare(&latest, &names, newest.as_ref());
                Self { latest: Some(latest), counter, finding }
            }
        })
    }

    /// The counter that the next signature gets. What a crash left half signed is signed again.
    pub(super) fn next_counter(&self) -> u64 {
        let signed = self.latest.as_ref().map_or(0, |latest| latest.counter);
        let seen = match self.finding {
            Some(_) => signed.max(self.counter.unwrap_or(0)),
            None => signed,
        };
        seen.saturating_add(1)
    }

    /// The last run that signed.
    pub(super) fn epoch(&self) -> u32 {
        self.latest.as_ref().map_or(0, |latest| latest.epoch)
    }
}

/// The newest period that was not moved aside and whose checkpoint can be trusted. That one cannot be is
/// a finding about that period.
fn newest(
    dir: &Path,
    names: &[String],
    public: &[u8],
) -> Result<Option<(String, Statement)>, Error> {
    let Some(name) = names.iter().rfind(|name| !files::is_aside(name)) else { return Ok(None) };
    match checkpoint::read(&files::period_dir(dir, name), name, public) {
        Ok(statement) => Ok(statement.map(|statement| (name.clone(), statement))),
        Err(Error::Checkpoint { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// False for a folder that a crash left before its first checkpoint.
fn is_used(period: &Path) -> bool {
    period.join(checkpoint::FILE_NAME).exists() || period.join(ENGINE_DIR).exists()
}

fn compare(
    latest: &Latest,
    names: &[String],
    newest: Option<&(String, Statement)>,
) -> Option<String> {
    if let Some(signed) = &latest.newest {
        let aside = format!("{signed}.");
        if !names.iter().any(|name| name == signed || name.starts_with(&aside)) {
            return Some(format!("the newest period `{signed}` is gone"));
        }
    }
    let (name, statement) = newest?;
    let (signed, found) = (latest.counter, statement.counter);
    if found == signed.saturating_add(1) {
        return None;
    }
    let is_newest = latest.newest.as_ref() == Some(name);
    match found.cmp(&signed) {
        std::cmp::Ordering::Equal if is_newest => None,
        // It is an older one, and the newest was moved aside.
        std::cmp::Ordering::Less if latest.newest.as_ref().is_some_and(|newest| name < newest) => {
            None
        }
        std::cmp::Ordering::Less | std::cmp::Ordering::Equal => Some(format!(
            "an older copy of the period `{name}` was put back: it was signed as number {found}, \
             the last signature is number {signed}"
        )),
        std::cmp::Ordering::Greater => Some(format!(
            "an older copy of `latest` was put back: it knows {signed} signatures, the period \
             `{name}` has number {found}"
        )),
    }
}
