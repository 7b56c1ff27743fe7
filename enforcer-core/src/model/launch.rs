// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the command of an agent is started, and what the kernel lacked for it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How `enforcer run` starts the command of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchMode {
    /// Without capabilities, with a filter on system calls, apart from other processes.
    #[default]
    Confined,
    /// As it was called; only the programs in the kernel guard it.
    Plain,
}

/// A mechanism that a confined start uses and this kernel does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// Filters on system calls.
    Seccomp,
    /// Domains of processes, with cross-directory renames (Linux 5.19).
    Landlock,
    /// Domains that hold back signals and abstract Unix sockets (Linux 6.12).
    LandlockScopes,
}

/// How a session was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// As the policy says.
    pub mode: LaunchMode,
    /// What a confined start went without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Lack>,
}

impl LaunchMode {
    /// The word in a bundle.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confined => "confined",
            Self::Plain => "plain",
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seccomp => "seccomp filters",
            Self::Landlock => "Landlock",
            Self::LandlockScopes => "Landlock scopes",
        })
    }
}

impl fmt::Display for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mode.as_str())?;
        for (index, lack) in self.lacks.iter().enumerate() {
            write!(f, "{}{lack}", if index == 0 { "; the kernel lacks " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lacking_is_said_in_words() {
        let mut launch = Launch { mode: LaunchMode::Confined, lacks: Vec::new() };
        assert_eq!(launch.to_string(), "confined");
        launch.lacks = vec![Lack::Landlock, Lack::LandlockScopes];
        assert_eq!(launch.to_string(), "confined; the kernel lacks Landlock, Landlock scopes");
    }
}
