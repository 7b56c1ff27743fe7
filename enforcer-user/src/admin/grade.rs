// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may do what: three grades, what a route needs of them, and the groups of the host that give them.

use nix::unistd::Group;
use serde::{Deserialize, Serialize};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Group `enforcer`.
    Use,
    /// Group `enforcer` for what belongs to the asking user; group `enforcer-audit` for everything.
    Own,
    /// Group `enforcer-audit`.
    Audit,
    /// Root.
    Change,
}

/// Members may start agents and read their own sessions.
pub const USE_GROUP: &str = "enforcer";
/// Members may read everything.
pub const AUDIT_GROUP: &str = "enforcer-audit";

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Start agents, read one's own sessions, answer what the bundle lets one answer.
    Use,
    /// Read everything.
    Audit,
    /// Change something.
    Change,
}

impl Grade {
    /// Who has it.
    #[must_use]
    pub const fn holder(self) -> &'static str {
        match self {
            Self::Use => "a member of the group `enforcer`",
            Self::Audit => "a member of the group `enforcer-audit`",
            Self::Change => "root",
        }
    }
}

impl Needs {
    /// The grades of which one is enough.
    #[must_use]
    pub const fn any_of(self) -> &'static [Grade] {
        match self {
            Self::Use => &[Grade::Use],
            Self::Own => &[Grade::Use, Grade::Audit],
            Self::Audit => &[Grade::Audit],
            Self::Change => &[Grade::Change],
        }
    }
}

/// The groups of this host that give a grade, where they exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// [`USE_GROUP`].
    pub users: Option<u32>,
    /// [`AUDIT_GROUP`].
    pub auditors: Option<u32>,
}

impl Groups {
    /// The groups as they are on this host now.
    #[must_use]
    pub fn of_host() -> Self {
        let find = |name| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        Self { users: find(USE_GROUP), auditors: find(AUDIT_GROUP) }
    }

    /// The grades of somebody with this user id and these groups.
    #[must_use]
    pub fn grades(&self, uid: u32, groups: &[u32]) -> Vec<Grade> {
        if uid == 0 {
            return vec![Grade::Use, Grade::Audit, Grade::Change];
        }
        let is_in = |group: Option<u32>| group.is_some_and(|group| groups.contains(&group));
        let grades = [(self.users, Grade::Use), (self.auditors, Grade::Audit)];
        let held = grades.into_iter().filter(|(group, _)| is_in(*group));
        held.map(|(_, grade)| grade).collect()
    }
}

/// Names of the members that a group names; none if there is no such group. Whose primary group it is, is not
/// among them.
#[must_use]
pub fn members(group: &str) -> Option<Vec<String>> {
    Group::from_name(group).ok().flatten().map(|group| group.mem)
}

/// How somebody gets into a group.
pub(super) fn joining(group: &str) -> String {
    format!("run it as root, or have root add you: `usermod -aG {group} USER`; then log in again")
}
