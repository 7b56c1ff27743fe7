// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hardened tier: security hooks, put in force where this kernel loads and calls them.
//!
//! Never inferred from a version or a configuration: a kernel may list `bpf` among its security modules and
//! still refuse such programs, or load them and never call them. So they are loaded, attached, and one of them
//! is asked whether it saw this daemon's own call. All or none are in force; without them the daemon goes on.

use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya::maps::{Array, HashMap};
use aya::programs::Program;
use aya::{Btf, Ebpf, EbpfLoader};
use enforcer_common::{Hardening, UNIX_PATH_BYTES, map, program};

use super::attach::Unpin;
use super::{Config, Error, attach, layout, load, pin, sys};

/// Where programs write their log: no way out by itself, and refusing it would break most of them.
/// The name service cache (`nscd`) is not among them: it would ask for names in place of the agent.
const UNIX_ALLOWED: [&str; 4] = [
    "/dev/log",
    "/run/systemd/journal/dev-log",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/stdout",
];

/// How much of what a guarded process may try is stopped on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tier {
    /// What the cgroup hooks and tracepoints stop.
    Kernel {
        /// Why no more, in words.
        reason: &'static str,
        /// The same as the kernel said it, with the verifier's log where it refused a program.
        detail: String,
    },
    /// What the security hooks stop, too.
    Hardened,
}

impl Tier {
    /// Its name, as commands print it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Hardened => "hardened",
        }
    }

    /// Why it is not the hardened one, in words.
    #[must_use]
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Kernel { reason, .. } => Some(reason),
            Self::Hardened => None,
        }
    }

    /// The same as the kernel said it: several lines where the verifier refused a program.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Kernel { detail, .. } => Some(detail),
            Self::Hardened => None,
        }
    }

    /// Without the hooks, because of this.
    fn without_hooks(error: &Error) -> Self {
        let reason = match error {
            Error::NotCalled => "`bpf` is not in this kernel's list of security modules (`lsm=`)",
            Error::Program { operation: "load", .. } => {
                "this kernel does not load security hooks (BPF LSM)"
            }
            Error::Program { .. } => "this kernel does not attach security hooks (BPF LSM)",
            Error::Layout { .. } => "the security hooks do not know the structures of this kernel",
            _ => "the security hooks cannot be set up",
        };
        Self::Kernel { reason, detail: crate::runtime::chain(error) }
    }
}

/// Puts the security hooks in force, newly or by taking over, and says which tier that makes.
pub(super) fn attach(ebpf: &mut Ebpf, config: &Config, btf: &Btf) -> Tier {
    match try_attach(ebpf, config, btf) {
        Ok(()) => Tier::Hardened,
        Err(error) => {
            let tier = Tier::without_hooks(&error);
            tracing::warn!(detail = tier.detail(), "the security hooks are not in force");
            tier
        }
    }
}

/// Finds out which tier this host can have, with programs that are gone when this returns.
///
/// # Errors
/// When the object as a whole cannot be loaded.
pub fn probe_tier() -> Result<Tier, Error> {
    let btf = load::types()?;
    let loaded = EbpfLoader::new().btf(Some(&btf)).load(load::OBJECT);
    let mut ebpf = loaded.map_err(|source| Error::Load { source: Box::new(source) })?;
    let tried = (|| {
        prepare(&mut ebpf, &btf, 0)?;
        for name in program::HARDENED {
            let program = lsm(&mut ebpf, name)?;
            // Dropped, and by that detached, with the object.
            program.attach().map_err(|source| Error::program("attach", name, source))?;
        }
        check_called(&mut ebpf)
    })();
    Ok(match tried {
        Ok(()) => Tier::Hardened,
        Err(error) => Tier::without_hooks(&error),
    })
}

fn try_attach(ebpf: &mut Ebpf, config: &Config, btf: &Btf) -> Result<(), Error> {
    prepare(ebpf, btf, pins_device(&config.bpffs)?)?;
    let cgroup = File::open(&config.cgroup);
    let cgroup = cgroup.map_err(|source| Error::io("open", &config.cgroup, source))?;
    let mut new = Unpin(Vec::new());
    for name in program::HARDENED {
        let path = pin::link(config, name);
        if path.exists() {
            attach::replace(ebpf, config, name)?;
        } else {
            load::attach(ebpf, name, &cgroup, &path)?;
            new.0.push(path);
        }
    }
    check_called(ebpf)?;
    new.0.clear();
    Ok(())
}

/// Has the verifier read every program, and tells them what they need to know. Nothing runs yet.
fn prepare(ebpf: &mut Ebpf, btf: &Btf, pins_device: u32) -> Result<(), Error> {
    let hardening = known(pins_device)?;
    for name in program::HARDENED {
        let loaded = lsm(ebpf, name)?.load(name, btf);
        loaded.map_err(|source| Error::program("load", name, source))?;
    }
    let name = map::HARDENING;
    let found = ebpf.map_mut(name).ok_or(Error::Missing { kind: "map", name })?;
    let array = Array::<_, Hardening>::try_from(found);
    array
        .and_then(|mut array| array.set(0, hardening, 0))
        .map_err(|source| Error::map("write", name, source))?;
    let name = map::UNIX_ALLOWED;
    let found = ebpf.map_mut(name).ok_or(Error::Missing { kind: "map", name })?;
    let mut paths = HashMap::<_, [u8; UNIX_PATH_BYTES], u8>::try_from(found)
        .map_err(|source| Error::map("open", name, source))?;
    for path in UNIX_ALLOWED {
        paths.insert(padded(path), 1, 0).map_err(|source| Error::map("write", name, source))?;
    }
    Ok(())
}

/// What the programs need to know of this daemon, its pins and this kernel.
fn known(pins_device: u32) -> Result<Hardening, Error> {
    let namespace = mount_namespace()?;
    let daemon = std::process::id();
    layout::hardening(Hardening { daemon, pins_device, namespace, ..Hardening::default() })
}

/// Tells the programs on which device the pins are now.
pub(super) fn tell_device(map: BorrowedFd<'_>, config: &Config) -> Result<(), Error> {
    let hardening = known(pins_device(&config.bpffs)?)?;
    let written = sys::set_element(map, &0_u32, &hardening);
    written.map_err(|source| Error::syscall("write", map::HARDENING, source))
}

/// A kernel without `bpf` in its list of security modules attaches the programs and never calls them.
fn check_called(ebpf: &mut Ebpf) -> Result<(), Error> {
    let name = map::LSM_CALLS;
    let found = ebpf.map_mut(name).ok_or(Error::Missing { kind: "map", name })?;
    let read = |source| Error::map("read", name, source);
    let calls = Array::<_, u64>::try_from(found).map_err(read)?;
    // Each look is a call of bpf(2) by this very process.
    let before = calls.get(&0, 0).map_err(read)?;
    let after = calls.get(&0, 0).map_err(read)?;
    if after > before { Ok(()) } else { Err(Error::NotCalled) }
}

fn lsm<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::programs::Lsm, Error> {
    match load::program_mut(ebpf, name)? {
        Program::Lsm(program) => Ok(program),
        _ => Err(Error::Missing { kind: "security hook", name }),
    }
}

/// The number of this thread's mount namespace.
fn mount_namespace() -> Result<u32, Error> {
    let path = Path::new("/proc/thread-self/ns/mnt");
    let metadata = fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
    u32::try_from(metadata.ino())
        .map_err(|source| Error::io("read", path, std::io::Error::other(source)))
}

/// The device of the pins, as the kernel itself writes it (`MKDEV`).
fn pins_device(bpffs: &Path) -> Result<u32, Error> {
    let metadata = fs::metadata(bpffs).map_err(|source| Error::io("read", bpffs, source))?;
    Ok((libc::major(metadata.dev()) << 20) | libc::minor(metadata.dev()))
}

fn padded(path: &str) -> [u8; UNIX_PATH_BYTES] {
    let mut bytes = [0; UNIX_PATH_BYTES];
    for (to, from) in bytes.iter_mut().zip(path.bytes()) {
        *to = from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_padded_as_the_programs_read_it() {
        let bytes = padded("/dev/log");
        assert_eq!(bytes.get(..9), Some(b"/dev/log\0".as_slice()));
        assert!(bytes.get(9..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0)));
    }
}
