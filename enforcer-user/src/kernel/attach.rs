// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Puts the programs in force, newly or by taking over from an earlier daemon.
//!
//! Settings are written before the first program is attached. Taking over replaces the program behind each
//! pinned link in one step; it never detaches first, so no connect goes unseen. A failure detaches only
//! what this call attached: what was in force stays in force.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya_log::EbpfLogger;
use enforcer_common::{Door, Settings, map, program};
use nix::time::{ClockId, clock_gettime};

use super::preflight::Host;
use super::select::Selection;
use super::watch::Watched;
use super::{
    Config, Error, Kernel, Origins, Ports, ProgramState, Tier, bpffs, hardened, layout, load, pin,
    preflight, sys,
};
use crate::runtime::Clock;

/// See [`Kernel::attach`].
pub(super) fn attach(config: &Config, ports: Ports) -> Result<Kernel, Error> {
    let host = preflight::check(config)?;
    bpffs::ensure(config)?;
    pin::make_folders(config)?;
    let (mut ebpf, btf) = load::load(config)?;
    write_settings(&mut ebpf, host)?;
    let mut kernel_maps = handle(&mut ebpf, config, host)?;
    if kernel_maps.is_agent(std::process::id())? {
        return Err(Error::GuardedProcess);
    }
    kernel_maps.open_door(host.netns_cookie, ports)?;
    attach_all(&mut ebpf, config, host)?;
    kernel_maps.tier = hardened::attach(&mut ebpf, config, &btf);
    Ok(kernel_maps)
}

/// The ports that an earlier daemon told the programs, so that the next one listens on the same.
#[must_use]
pub fn recorded_ports(config: &Config) -> Option<Ports> {
    let pinned = MapData::from_pin(pin::map(config, map::DOORS)).ok()?;
    let doors: HashMap<_, u64, Door> = Map::HashMap(pinned).try_into().ok()?;
    let door = doors.get(&sys::netns_cookie().ok()?, 0).ok()?;
    Some(Ports { proxy: door.proxy_port, resolver: door.resolver_port })
}

/// What the pinned links say.
pub(super) fn programs(config: &Config, tier: &Tier) -> Vec<ProgramState> {
    let state = |name| {
        let info =
            sys::open_link(&pin::link(config, name)).and_then(|fd| sys::link_info(fd.as_fd()));
        let attached = info.ok().filter(sys::LinkInfo::is_attached);
        ProgramState {
            name,
            link: attached.map(|info| info.id),
            program: attached.map(|info| info.program),
        }
    };
    names(tier).map(state).collect()
}

/// The programs that are in force in a tier.
pub(super) fn names(tier: &Tier) -> impl Iterator<Item = &'static str> {
    let hardened = match tier {
        Tier::Hardened => program::HARDENED.as_slice(),
        Tier::Kernel { .. } => &[],
    };
    program::ALL.iter().chain(hardened).copied()
}

fn write_settings(ebpf: &mut Ebpf, host: Host) -> Result<(), Error> {
    let name = map::SETTINGS;
    let found = ebpf.map_mut(name).ok_or(Error::Missing { kind: "map", name })?;
    let mut array: Array<_, Settings> =
        found.try_into().map_err(|source| Error::map("open", name, source))?;
    let settings = Settings {
        session_level: host.session_level,
        attach_cgroup: host.cgroup_id,
        booted_unix_ms: booted_unix_ms()?,
        ..layout::settings()?
    };
    array.set(0, settings, 0).map_err(|source| Error::map("write", name, source))
}

/// The clock may be set later: then new ids of sessions begin with a time that is wrong by as much, and stay
/// unique.
fn booted_unix_ms() -> Result<u64, Error> {
    let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_err(|errno| Error::syscall("read the clock", "CLOCK_BOOTTIME", errno.into()))?;
    let since_boot = Duration::from(since_boot).as_millis();
    let now = Clock::system().now().0;
    Ok(now.saturating_sub(u64::try_from(since_boot).unwrap_or(u64::MAX)))
}

fn attach_all(ebpf: &mut Ebpf, config: &Config, host: Host) -> Result<(), Error> {
    let cgroup = File::open(&config.cgroup);
    let cgroup = cgroup.map_err(|source| Error::io("open", &config.cgroup, source))?;
    let mut new = Unpin(Vec::new());
    for name in program::ALL {
        let path = pin::link(config, name);
        if !take_over(ebpf, config, name, host)? {
            load::attach(ebpf, name, &cgroup, &path)?;
            new.0.push(path);
        }
    }
    new.0.clear();
    Ok(())
}

/// Replaces the program behind a pinned link; false when there is none to take over.
fn take_over(
    ebpf: &mut Ebpf,
    config: &Config,
    name: &'static str,
    host: Host,
) -> Result<bool, Error> {
    let path = pin::link(config, name);
    let link = match sys::open_link(&path) {
        Ok(link) => link,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::io("open link", &path, source)),
    };
    let info = sys::link_info(link.as_fd());
    let info = info.map_err(|source| Error::syscall("read the link of program", name, source))?;
    if load::tracepoint(name).is_some() {
        return replace(ebpf, config, name).map(|()| true);
    }
    if !info.is_attached() {
        // Its cgroup was removed or somebody detached it: it enforces nothing, and nothing can revive it.
        fs::remove_file(&path).map_err(|source| Error::io("unpin", &path, source))?;
        return Ok(false);
    }
    if info.cgroup() != Some(host.cgroup_id) {
        return Err(Error::OtherCgroup { name, cgroup: config.cgroup.clone() });
    }
    let program = load::program_fd(ebpf, name)?;
    let updated = sys::update_link(link.as_fd(), program);
    updated.map_err(|source| Error::syscall("replace program", name, source))?;
    Ok(true)
}

/// Attaches the new program of a tracepoint beside the old one, then drops that: a moment with both labels
/// twice, which is harmless; one with neither would lose a label.
pub(super) fn replace(ebpf: &mut Ebpf, config: &Config, name: &'static str) -> Result<(), Error> {
    let path = pin::link(config, name);
    // A pin's name may have no dot.
    let next = pin::link(config, &format!("{name}_next"));
    // What a crash left here was never relied on.
    match fs::remove_file(&next) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::io("unpin", &next, error));
        }
        _ => {}
    }
    let cgroup = File::open(&config.cgroup);
    let cgroup = cgroup.map_err(|source| Error::io("open", &config.cgroup, source))?;
    load::attach(ebpf, name, &cgroup, &next)?;
    fs::rename(&next, &path).map_err(|source| Error::io("pin link at", &path, source))
}

/// Unpins what this call attached when it does not come to its end.
pub(super) struct Unpin(pub(super) Vec<PathBuf>);

impl Drop for Unpin {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_file(path) {
                tracing::error!(path = %path.display(), %error, "failed to unpin");
            }
        }
    }
}

/// Keeps what the daemon needs; programs and links live on by their pins alone.
fn handle(ebpf: &mut Ebpf, config: &Config, host: Host) -> Result<Kernel, Error> {
    let guarded = HashMap::try_from(take(ebpf, map::GUARDED)?);
    let processes = HashMap::try_from(take(ebpf, map::PROCESSES)?);
    let doors = HashMap::try_from(take(ebpf, map::DOORS)?);
    let lost = PerCpuArray::try_from(take(ebpf, map::EVENTS_LOST)?);
    let selection = Selection::open(ebpf)?;
    let watched = Watched::open(ebpf)?;
    let log = EbpfLogger::init(ebpf);
    let log = log.inspect_err(|error| tracing::warn!(%error, "the programs' log is not read")).ok();
    Ok(Kernel {
        config: config.clone(),
        guarded: Mutex::new(guarded.map_err(|source| Error::map("open", map::GUARDED, source))?),
        processes: Mutex::new(
            processes.map_err(|source| Error::map("open", map::PROCESSES, source))?,
        ),
        selection: Mutex::new(selection),
        watched: Mutex::new(watched),
        doors: Mutex::new(doors.map_err(|source| Error::map("open", map::DOORS, source))?),
        lost: lost.map_err(|source| Error::map("open", map::EVENTS_LOST, source))?,
        netns: host.netns_cookie,
        origins: Origins::open(config, host.netns_cookie)?,
        log: Mutex::new(log),
        tier: Tier::Kernel { reason: "not tried yet", detail: String::new() },
    })
}

pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, Error> {
    ebpf.take_map(name).ok_or(Error::Missing { kind: "map", name })
}
