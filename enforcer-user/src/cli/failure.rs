// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command ends with: an exit code, and words for people.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use enforcer_core::policy::{Diagnostics, SourceFile};

use super::output;
use crate::runtime::chain;
use crate::{admin, config, daemon, identity, intake, kernel, launch, store};

/// Exit codes; scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is as asked.
    Fine = 0,
    /// A check found a difference, or a denial.
    Difference = 1,
    /// The command or the settings are not right.
    Usage = 2,
    /// The host cannot do it.
    HostCannot = 3,
    /// The policy is invalid.
    PolicyInvalid = 4,
    /// Privilege is missing.
    Privilege = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed, for a person.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    text: String,
    hint: Option<String>,
    problems: Option<(Vec<SourceFile>, Diagnostics)>,
}

impl Failure {
    /// A failure with these words.
    #[must_use]
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), hint: None, problems: None }
    }

    /// A failure of the host.
    #[must_use]
    pub fn host(error: &dyn StdError) -> Self {
        Self::new(Exit::HostCannot, chain(error))
    }

    /// A failure for want of privilege.
    fn privilege(error: &dyn StdError) -> Self {
        Self::new(Exit::Privilege, chain(error)).hint("run it as root")
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Shows problems in the files where they are.
    #[must_use]
    pub fn problems(mut self, files: Vec<SourceFile>, problems: Diagnostics) -> Self {
        self.problems = Some((files, problems));
        self
    }

    /// Tells the person on stderr.
    #[must_use]
    pub fn report(self) -> Exit {
        if let Some((files, problems)) = &self.problems {
            output::diagnostics(files, &problems.0);
        }
        output::error(&self.text, self.hint.as_deref());
        self.exit
    }

    /// Tells the person on a stream that is given; its exit code.
    ///
    /// # Errors
    /// Only if writing fails.
    pub(super) fn tell(&self, err: &mut dyn Write) -> io::Result<u8> {
        writeln!(err, "error: {}", self.text)?;
        if let Some(hint) = &self.hint {
            writeln!(err, "hint: {hint}")?;
        }
        Ok(self.exit as u8)
    }

    /// A daemon that did not start.
    #[must_use]
    pub fn from_start(error: anyhow::Error) -> Self {
        let error = match error.downcast::<daemon::PolicyError>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<kernel::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<store::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let error = match error.downcast::<identity::Error>() {
            Ok(error) => return error.into(),
            Err(error) => error,
        };
        let text = chain(error.as_ref());
        let failure = Self::new(Exit::HostCannot, text);
        match error.downcast_ref::<intake::Error>() {
            Some(_) => failure.hint("another process holds the port; `ss -ltnup` names it"),
            None => failure,
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        match error {
            config::Error::Invalid { ref path, ref text, ref problems } => {
                let file = SourceFile { path: path.display().to_string(), text: text.clone() };
                let problems = problems.clone();
                Self::new(Exit::Usage, error.to_string()).problems(vec![file], problems)
            }
            config::Error::Cgroup(error) => error.into(),
            config::Error::Read { .. } => Self::new(Exit::Usage, chain(&error))
                .hint("name the settings with --config FILE or ENFORCER_CONFIG"),
        }
    }
}

impl From<daemon::PolicyError> for Failure {
    fn from(error: daemon::PolicyError) -> Self {
        let text = error.to_string();
        match error {
            daemon::PolicyError::Read(error) => Self::new(Exit::Usage, chain(&error)).hint(
                "`policies` in the settings, or `--policies`, names the folder of the bundle",
            ),
            daemon::PolicyError::Invalid { sources, problems, .. } => {
                Self::new(Exit::PolicyInvalid, text).problems(sources.files, problems)
            }
        }
    }
}

impl From<kernel::Error> for Failure {
    fn from(error: kernel::Error) -> Self {
        let exit = if error.is_privilege() { Exit::Privilege } else { Exit::HostCannot };
        let failure = Self::new(exit, chain(&error));
        match error.is_privilege() {
            true => failure.hint("run it as root"),
            false => failure,
        }
    }
}

impl From<admin::Error> for Failure {
    fn from(error: admin::Error) -> Self {
        let text = chain(&error);
        match error {
            admin::Error::Absent { .. } => Self::new(Exit::HostCannot, text)
                .hint("start it with `enforcer daemon`, or name its settings with --config"),
            admin::Error::Forbidden { .. } => {
                let hint = format!(
                    "run it as root, or have root add you to the group `{}` (run agents, read your own sessions) or \
                     `{}` (read everything): `usermod -aG GROUP USER`; then log in again",
                    admin::USE_GROUP,
                    admin::AUDIT_GROUP
                );
                Self::new(Exit::Privilege, text).hint(hint)
            }
            admin::Error::Refused { status, problem } => {
                let exit = match status {
                    403 => Exit::Privilege,
                    404 => Exit::Usage,
                    _ => Exit::HostCannot,
                };
                Self { exit, text, hint: problem.hint, problems: None }
            }
            admin::Error::Broken { .. } => Self::new(Exit::HostCannot, text),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::Disk { source, .. } if is_denied(source) => Self::privilege(&error),
            store::Error::Running(_) => Self::host(&error)
                .hint("stop that daemon first, or ask it with the settings it runs with"),
            _ => Self::host(&error),
        }
    }
}

impl From<identity::Error> for Failure {
    fn from(error: identity::Error) -> Self {
        match &error {
            identity::Error::Cgroup { source, .. } if is_denied(source) => Self::privilege(&error),
            identity::Error::Claimed { .. } => {
                Self::host(&error).hint("`enforcer status` asks it; stop it first")
            }
            _ => Self::host(&error),
        }
    }
}

impl From<launch::Error> for Failure {
    fn from(error: launch::Error) -> Self {
        match &error {
            launch::Error::Handed { .. } => {
                Self::host(&error).hint("give it a pipe, a file or a terminal")
            }
            launch::Error::User { .. } => Self::new(Exit::Usage, chain(&error)),
            launch::Error::Path { .. } | launch::Error::Step { .. } => Self::host(&error)
                .hint("`launch = \"plain\"` at the agent in the policy starts it unconfined"),
        }
    }
}

fn is_denied(source: &io::Error) -> bool {
    source.kind() == io::ErrorKind::PermissionDenied
}
