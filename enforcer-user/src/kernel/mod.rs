// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel side: loads the eBPF programs, attaches and pins them, and speaks with their maps.
//!
//! The only room that says `aya` and the only one with `unsafe`. It decides nothing: who is guarded is
//! told to it, what was attempted is read from it. Links and maps are pinned, so that a daemon that dies
//! leaves the programs in force with nobody behind the proxy's port: guarded connects are refused until
//! the next daemon takes over. It errs towards refusing. One daemon at a time may use a pin folder.

mod agents;
mod attach;
mod bpffs;
mod cut;
mod detach;
mod error;
mod events;
mod hardened;
mod keep;
mod layout;
mod load;
mod mounts;
mod origins;
mod pin;
mod preflight;
mod select;
mod syn;
#[expect(unsafe_code, reason = "a few bpf(2) commands that aya does not offer")]
mod sys;
mod watch;

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya_log::EbpfLogger;
use enforcer_common::{AGENT_NAME_BYTES, Door, Label, ProcessLabel, capacity, capture, map};
use enforcer_core::model::{AgentName, Capture, SessionId};

pub use self::attach::recorded_ports;
pub use self::detach::detach;
pub use self::error::Error;
pub use self::events::Events;
pub use self::hardened::{Tier, probe_tier};
pub use self::keep::Keeper;
pub use self::mounts::find_cgroup2;
pub use self::origins::{OriginSeen, Origins};
pub use self::select::file_id;
pub use self::syn::keep_syn;

/// A name that a bundle may use has room in a label.
const _: () = assert!(enforcer_core::model::limits::NAME_BYTES_MAX <= AGENT_NAME_BYTES);

/// Where the programs attach and where they are pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A cgroup v2 folder; what is below it can be guarded. The root outside of tests.
    pub cgroup: PathBuf,
    /// The folder for pins; a bpffs is mounted when there is none.
    pub bpffs: PathBuf,
}

/// Where the daemon listens on 127.0.0.1 and ::1 of one network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// TCP port of the proxy.
    pub proxy: u16,
    /// First UDP port of the resolver; it has [`enforcer_common::RESOLVER_PORTS`] in a row.
    pub resolver: u16,
}

/// Processes that are agents by their labels, as an earlier daemon or the programs left them; none where nothing
/// is in force. Those that a connection to an endpoint alone made agents are left out.
#[must_use]
pub fn recorded_labels(config: &Config) -> Vec<(u32, SessionId)> {
    let Ok(pinned) = MapData::from_pin(pin::map(config, map::PROCESSES)) else { return Vec::new() };
    let found = HashMap::<_, u32, ProcessLabel>::try_from(aya::maps::Map::HashMap(pinned));
    let Ok(labels) = found else { return Vec::new() };
    let labels = labels.iter().filter_map(Result::ok);
    let labels = labels.filter(|(_, label)| label.capture != capture::ANY);
    labels.map(|(pid, label)| (pid, SessionId::from_u64(label.session))).collect()
}

/// Checks everything that must be so before programs are loaded; changes nothing.
///
/// # Errors
/// What this host or this user lacks.
pub fn check(config: &Config) -> Result<(), Error> {
    preflight::check(config).map(|_host| ())
}

/// One program, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramState {
    /// Name in the object and of the pin.
    pub name: &'static str,
    /// Id of its link while it is attached.
    pub link: Option<u32>,
    /// Id of the loaded program while it is attached.
    pub program: Option<u32>,
}

/// The cookie by which the programs know the network namespace of this thread.
///
/// # Errors
/// When no socket can be made on its loopback addresses.
pub fn netns_cookie() -> Result<u64, Error> {
    sys::netns_cookie()
        .map_err(|source| Error::syscall("read the cookie of", "/proc/thread-self/ns/net", source))
}

/// The programs in force. Dropping it changes nothing in the kernel.
pub struct Kernel {
    config: Config,
    guarded: Mutex<HashMap<MapData, u64, Label>>,
    processes: Mutex<HashMap<MapData, u32, ProcessLabel>>,
    selection: Mutex<select::Selection>,
    watched: Mutex<watch::Watched>,
    doors: Mutex<HashMap<MapData, u64, Door>>,
    lost: PerCpuArray<MapData, u64>,
    /// Cookie of the daemon's own network namespace.
    netns: u64,
    origins: Origins,
    log: Mutex<Option<EbpfLogger<&'static dyn log::Log>>>,
    tier: Tier,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the programs and puts them in force; takes over from an earlier daemon where its pins are
    /// there, without a moment in which a connect is not seen.
    ///
    /// The listeners for `ports` must be open already, and the subscriber for `log` installed.
    ///
    /// # Errors
    /// When the host cannot do it, or it is already done for another cgroup. What this call attached
    /// newly is detached again; what an earlier daemon left in force stays in force.
    pub fn attach(config: &Config, ports: Ports) -> Result<Self, Error> {
        attach::attach(config, ports)
    }

    /// Takes hold of everything that is in force, so that removing pins takes nothing out of force.
    ///
    /// # Errors
    /// When something is not pinned.
    pub fn keep(&self) -> Result<Keeper, Error> {
        Keeper::hold(&self.config, &self.tier)
    }

    /// True if the kernel takes no more sessions.
    #[must_use]
    pub fn is_full_of_sessions(&self) -> bool {
        let guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        guarded.keys().count() >= capacity::GUARDED as usize
    }

    /// Guards every process in a session's cgroup from now on. To be called before the first one enters.
    ///
    /// # Errors
    /// When the name is too long for a label or the kernel takes no more sessions.
    pub fn guard(
        &self,
        cgroup_id: u64,
        session: SessionId,
        agent: &AgentName,
    ) -> Result<(), Error> {
        let label = label(session, agent)?;
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        let inserted = guarded.insert(cgroup_id, label, 0);
        inserted.map_err(|source| Error::map("add a session to", map::GUARDED, source))
    }

    /// Forgets a session's cgroup. To be called after its last process is gone.
    ///
    /// # Errors
    /// When the kernel refuses; an unknown cgroup is no error.
    pub fn unguard(&self, cgroup_id: u64) -> Result<(), Error> {
        let mut guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        match guarded.remove(&cgroup_id) {
            Err(source) if !is_missing(&source) => {
                Err(Error::map("remove a session from", map::GUARDED, source))
            }
            _ => Ok(()),
        }
    }

    /// Labels a process that runs already; its later children inherit the label. To be called while the process
    /// cannot fork, or again until nothing new is found.
    ///
    /// # Errors
    /// When the kernel takes no more labels: the process must not go on then.
    pub fn label(&self, pid: u32, session: SessionId) -> Result<(), Error> {
        self.label_as(pid, session, Capture::All)
    }

    /// The same, for a process of whose egress this much is taken.
    ///
    /// # Errors
    /// As [`Self::label`].
    pub fn label_as(&self, pid: u32, session: SessionId, capture: Capture) -> Result<(), Error> {
        let capture = match capture {
            Capture::All => capture::ALL,
            Capture::Endpoints => capture::ENDPOINTS,
        };
        let label = ProcessLabel { session: session.as_u64(), capture, padding: 0 };
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let inserted = processes.insert(pid, label, 0);
        inserted.map_err(|source| Error::map("add a process to", map::PROCESSES, source))
    }

    /// The session of a process by its own label.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn labeled(&self, pid: u32) -> Result<Option<SessionId>, Error> {
        Ok(self.label_of(pid)?.map(|label| SessionId::from_u64(label.session)))
    }

    /// Whether a process has a label that a connection to an endpoint alone does not bring.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn is_agent(&self, pid: u32) -> Result<bool, Error> {
        Ok(self.label_of(pid)?.is_some_and(|label| label.capture != capture::ANY))
    }

    fn label_of(&self, pid: u32) -> Result<Option<ProcessLabel>, Error> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        match processes.get(&pid, 0) {
            Ok(label) => Ok(Some(label)),
            Err(source) if is_missing(&source) => Ok(None),
            Err(source) => Err(Error::map("read", map::PROCESSES, source)),
        }
    }

    /// Every labeled process.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn labeled_processes(&self) -> Result<Vec<u32>, Error> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Result<Vec<_>, _> = processes.keys().collect();
        keys.map_err(|source| Error::map("read", map::PROCESSES, source))
    }

    /// Where guarded processes of a network namespace are sent.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn door(&self, netns: u64) -> Result<Option<Ports>, Error> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match doors.get(&netns, 0) {
            Ok(door) => Ok(Some(Ports { proxy: door.proxy_port, resolver: door.resolver_port })),
            Err(source) if is_missing(&source) => Ok(None),
            Err(source) => Err(Error::map("read", map::DOORS, source)),
        }
    }

    /// The namespaces that have a door, without the daemon's own.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn doors_elsewhere(&self) -> Result<Vec<u64>, Error> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Result<Vec<_>, _> = doors.keys().collect();
        let keys = keys.map_err(|source| Error::map("read", map::DOORS, source))?;
        Ok(keys.into_iter().filter(|netns| *netns != self.netns).collect())
    }

    /// Points guarded processes of a network namespace at `ports` there. To be called when the listeners are
    /// open.
    ///
    /// # Errors
    /// When the kernel takes no more namespaces.
    pub fn open_door(&self, netns: u64, ports: Ports) -> Result<(), Error> {
        let door = Door { proxy_port: ports.proxy, resolver_port: ports.resolver };
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        let inserted = doors.insert(netns, door, 0);
        inserted.map_err(|source| Error::map("add a namespace to", map::DOORS, source))
    }

    /// Refuses guarded processes of a network namespace again.
    ///
    /// # Errors
    /// When the kernel refuses; an unknown namespace is no error.
    pub fn close_door(&self, netns: u64) -> Result<(), Error> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match doors.remove(&netns) {
            Err(source) if !is_missing(&source) => {
                Err(Error::map("remove a namespace from", map::DOORS, source))
            }
            _ => Ok(()),
        }
    }

    /// Every guarded cgroup, with whom it belongs to: what a daemon rebuilds its sessions from.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn guarded(&self) -> Result<Vec<(u64, SessionId, AgentName)>, Error> {
        let guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(cgroup, label): (u64, Label)| {
            (cgroup, SessionId::from_u64(label.session), agent_name(&label))
        };
        let entries: Result<Vec<_>, _> = guarded.iter().map(|item| item.map(entry)).collect();
        entries.map_err(|source| Error::map("read", map::GUARDED, source))
    }

    /// Where the proxy and the resolver look up who their peer is.
    #[must_use]
    pub fn origins(&self) -> Origins {
        self.origins.clone()
    }

    /// The reader of what the programs refused. One at a time: readers share one position.
    ///
    /// # Errors
    /// When the ring cannot be mapped, or there is no runtime to poll it.
    pub fn events(&self) -> Result<Events, Error> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).take();
        Events::open(&self.config, log)
    }

    /// How many events found the ring full since it was made.
    ///
    /// # Errors
    /// When the counter cannot be read.
    pub fn events_lost(&self) -> Result<u64, Error> {
        let slots = self.lost.get(&0, 0);
        let slots = slots.map_err(|source| Error::map("read", map::EVENTS_LOST, source))?;
        Ok(slots.iter().sum())
    }

    /// How much is stopped on this host.
    #[must_use]
    pub fn tier(&self) -> &Tier {
        &self.tier
    }

    /// Each program, with the link that keeps it attached.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramState> {
        attach::programs(&self.config, &self.tier)
    }
}

fn is_missing(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound => true,
        MapError::SyscallError(error) => error.io_error.kind() == ErrorKind::NotFound,
        _ => false,
    }
}

/// The label of a session.
///
/// # Errors
/// When it has no room for the name.
pub fn label(session: SessionId, agent: &AgentName) -> Result<Label, Error> {
    let name = agent.as_str().as_bytes();
    let mut padded = [0; AGENT_NAME_BYTES];
    let Some(place) = padded.get_mut(..name.len()) else {
        return Err(Error::AgentName { agent: agent.clone() });
    };
    place.copy_from_slice(name);
    Ok(Label { session: session.as_u64(), agent: padded })
}

/// The agent's name in a label.
#[must_use]
pub fn agent_name(label: &Label) -> AgentName {
    AgentName::new(text(&label.agent))
}

/// The text of a field that is padded with zero bytes.
fn text(padded: &[u8]) -> String {
    let end = padded.iter().position(|byte| *byte == 0).unwrap_or(padded.len());
    String::from_utf8_lossy(padded.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_carries_the_name_and_refuses_one_that_does_not_fit() {
        let session = SessionId::from_u64(7);
        let read = |name: &str| {
            label(session, &AgentName::new(name)).map(|label| agent_name(&label).to_string()).ok()
        };
        assert_eq!(read("support"), Some("support".into()));
        assert_eq!(read(&"a".repeat(AGENT_NAME_BYTES)), Some("a".repeat(AGENT_NAME_BYTES)));
        assert_eq!(read(&"a".repeat(AGENT_NAME_BYTES + 1)), None);
    }
}
