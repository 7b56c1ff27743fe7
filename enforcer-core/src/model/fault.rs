// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be broken on a host while the daemon runs, and what its operator can do about it.
//!
//! A closed list: a fault has a name that never changes, so that a monitor can wait for it.

use serde::{Deserialize, Serialize};

use super::UnixMillis;

/// One thing that can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The counters of budgets cannot be written.
    Budgets,
    /// The wall clock jumped.
    Clock,
    /// The daemon does not answer; said by the command line, which cannot ask it.
    Daemon,
    /// No file descriptors are left.
    Descriptors,
    /// Kernel events found the ring full.
    EventsLost,
    /// The journal cannot be written.
    Journal,
    /// The events of the kernel cannot be read.
    KernelEvents,
    /// The kernel has no room for the label of another guarded process.
    Labels,
    /// A listener cannot take connections.
    Listener,
    /// The memory for bodies that are held whole is spent.
    Memory,
    /// Network namespaces of guarded processes cannot be served.
    Namespaces,
    /// The kernel has no room for the origins of more connections.
    Origins,
    /// What is in the folder of the bundle is not in force.
    Policy,
    /// Programs are detached, or their pins are gone.
    Programs,
    /// The resolvers of the host do not answer.
    Resolver,
    /// The kernel has no room for another session.
    Sessions,
    /// Bodies of an agent are not stored: it stored as much as one may.
    Unstored,
    /// The roots for upstream certificates cannot be read.
    UpstreamRoots,
}

impl Fault {
    /// Every fault, by name.
    pub const ALL: [Self; 18] = [
        Self::Budgets,
        Self::Clock,
        Self::Daemon,
        Self::Descriptors,
        Self::EventsLost,
        Self::Journal,
        Self::KernelEvents,
        Self::Labels,
        Self::Listener,
        Self::Memory,
        Self::Namespaces,
        Self::Origins,
        Self::Policy,
        Self::Programs,
        Self::Resolver,
        Self::Sessions,
        Self::Unstored,
        Self::UpstreamRoots,
    ];

    /// The name in `status`, the log and the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Budgets => "budgets",
            Self::Clock => "clock",
            Self::Daemon => "daemon",
            Self::Descriptors => "descriptors",
            Self::EventsLost => "events_lost",
            Self::Journal => "journal",
            Self::KernelEvents => "kernel_events",
            Self::Labels => "labels",
            Self::Listener => "listener",
            Self::Memory => "memory",
            Self::Namespaces => "namespaces",
            Self::Origins => "origins",
            Self::Policy => "policy",
            Self::Programs => "programs",
            Self::Resolver => "resolver",
            Self::Sessions => "sessions",
            Self::Unstored => "unstored",
            Self::UpstreamRoots => "upstream_roots",
        }
    }

    /// What it means for guarded processes and what to do, in one sentence for the operator.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Budgets => {
                "budgets hold, but a restart would forget what was charged since; make room on the disk of the state folder"
            }
            Self::Clock => {
                "records keep their order whatever their times say; look at the time service of this host"
            }
            Self::Daemon => {
                "guarded processes have no way out; start it, or continue the process (SIGCONT) if it was stopped"
            }
            Self::Descriptors => {
                "new connections of guarded processes are refused; raise `LimitNOFILE` of the daemon"
            }
            Self::EventsLost => {
                "refusals held and are counted, but not each was recorded; look for the process that causes them"
            }
            Self::Journal => {
                "everything is refused until records can be written; make room on the disk of the state folder"
            }
            Self::KernelEvents => {
                "refusals hold, but are not recorded; the reader is started again by itself, else restart the daemon"
            }
            Self::Labels => {
                "more guarded processes are refused everything; end some of those that run"
            }
            Self::Listener => {
                "connections wait until they can be taken, nothing passes meanwhile; look at the memory of this host"
            }
            Self::Memory => {
                "requests that must be read whole are refused until others end; look for agents that send slowly"
            }
            Self::Namespaces => {
                "guarded processes in network namespaces that are not served are refused; end some, else restart the daemon"
            }
            Self::Origins => {
                "connections whose origin was evicted are refused; look for the process that opens so many"
            }
            Self::Policy => {
                "the last good bundle stays in force; repair the folder, `enforcer policy check` shows the problems"
            }
            Self::Programs => "the daemon puts them back by itself; find out who removed them",
            Self::Resolver => {
                "names and providers are refused until it answers; look at `/etc/resolv.conf` and its servers"
            }
            Self::Sessions => "`enforcer run` is refused; end some of the sessions that run",
            Self::Unstored => {
                "its exchanges are judged and recorded, without their bodies; look for what the agent sends"
            }
            Self::UpstreamRoots => {
                "the last good roots stay in force, and a restart would fail; repair the files of `[upstream] roots`"
            }
        }
    }
}

/// A fault that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What is broken.
    pub name: Fault,
    /// Since when, by the daemon's clock; missing if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<UnixMillis>,
    /// How it shows, in words.
    pub detail: String,
    /// What it means and what to do about it.
    pub advice: String,
}

impl Alarm {
    /// An alarm about this fault.
    #[must_use]
    pub fn new(name: Fault, since: Option<UnixMillis>, detail: impl Into<String>) -> Self {
        Self { name, since, detail: detail.into(), advice: name.advice().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_one_name_everywhere() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            assert!(!fault.advice().is_empty());
        }
        let names: Vec<&str> = Fault::ALL.map(Fault::name).to_vec();
        assert!(names.is_sorted(), "{names:?}");
    }
}
