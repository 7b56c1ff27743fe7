// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads the committed object: maps from their pins where they exist, then each program.
//!
//! The object is embedded, so that a build needs no eBPF toolchain; `cargo xtask ebpf --check` proves that
//! it is what the source says.

use aya::programs::links::FdLink;
use aya::programs::{CgroupAttachMode, CgroupSkbAttachType, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use enforcer_common::{map, program};

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::{Config, Error, pin, sys};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../enforcer-ebpf/enforcer.bpf.o"
));

/// Maps that outlive the daemon. The ring of aya-log is not among them: it belongs to one generation.
const PINNED: [&str; 21] = [
    map::SETTINGS,
    map::GUARDED,
    map::PROCESSES,
    map::MARKS,
    map::SELECTORS,
    map::SELECTION,
    map::PLACES,
    map::CGROUPS,
    map::SESSIONS,
    map::WATCH,
    map::ENDPOINTS,
    map::DOORS,
    map::ORIGINS,
    map::SOCKET_ORIGIN,
    map::SOCKET_SERVERS,
    map::SOCKET_LABEL,
    map::HARDENING,
    map::UNIX_ALLOWED,
    map::LSM_CALLS,
    map::EVENTS,
    map::EVENTS_LOST,
];

/// Creates or reopens the maps, and has the verifier read every program. Nothing runs yet.
pub(super) fn load(config: &Config) -> Result<(Ebpf, Btf), Error> {
    let btf = types()?;
    let mut loader = EbpfLoader::new();
    loader.btf(Some(&btf));
    for name in PINNED {
        loader.map_pin_path(name, pin::map(config, name));
    }
    let loaded = loader.load(OBJECT);
    let mut ebpf = loaded.map_err(|source| Error::Load { source: Box::new(source) })?;
    for name in program::ALL {
        let program = program_mut(&mut ebpf, name)?;
        verify(program, name, &btf).map_err(|source| Error::program("load", name, source))?;
    }
    Ok((ebpf, btf))
}

/// The kernel's types. Several megabytes: whoever reads them lets go of them again.
pub(super) fn types() -> Result<Btf, Error> {
    Btf::from_sys_fs().map_err(|source| Error::Load { source: Box::new(source.into()) })
}

/// The tracepoint of a program that is attached to one: such a program sees the whole host, and its link
/// cannot be updated.
pub(super) fn tracepoint(name: &str) -> Option<&'static str> {
    match name {
        program::FORK => Some("sched_process_fork"),
        program::EXEC => Some("sched_process_exec"),
        program::MKDIR => Some("cgroup_mkdir"),
        program::EXIT => Some("sched_process_exit"),
        _ => None,
    }
}

fn verify(program: &mut Program, name: &str, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::BtfTracePoint(program) => {
            let tracepoint = tracepoint(name).ok_or(ProgramError::UnexpectedProgramType)?;
            program.load(tracepoint, btf)
        }
        Program::CgroupSockopt(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Attaches a program and pins its link, which keeps it in force: aya would detach it when the object is
/// dropped.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &'static str,
    cgroup: &File,
    pin: &Path,
) -> Result<(), Error> {
    // The kernel takes no flags for a cgroup link: it is always one of several, and a child cgroup
    // cannot override it.
    let mode = CgroupAttachMode::Single;
    let failed = |source| Error::program("attach", name, source);
    let link = match program_mut(ebpf, name)? {
        Program::BtfTracePoint(program) => {
            let id = program.attach().map_err(failed)?;
            Ok(FdLink::from(program.take_link(id).map_err(failed)?))
        }
        Program::Lsm(program) => {
            let id = program.attach().map_err(failed)?;
            Ok(FdLink::from(program.take_link(id).map_err(failed)?))
        }
        Program::CgroupSkb(program) => {
            let direction = if name == program::INGRESS {
                CgroupSkbAttachType::Ingress
            } else {
                CgroupSkbAttachType::Egress
            };
            let id = program.attach(cgroup, direction, mode).map_err(failed)?;
            FdLink::try_from(program.take_link(id).map_err(failed)?)
        }
        Program::CgroupSock(program) => {
            let id = program.attach(cgroup, mode).map_err(failed)?;
            FdLink::try_from(program.take_link(id).map_err(failed)?)
        }
        Program::CgroupSockAddr(program) => {
            let id = program.attach(cgroup, mode).map_err(failed)?;
            FdLink::try_from(program.take_link(id).map_err(failed)?)
        }
        // aya does not give the link of this kind away.
        Program::CgroupSockopt(program) => {
            let fd = program.fd().map_err(failed)?;
            let link = sys::link_setsockopt(fd.as_fd(), cgroup.as_fd());
            let link = link.map_err(|source| Error::syscall("attach program", name, source))?;
            return sys::pin(link.as_fd(), pin)
                .map_err(|source| Error::io("pin link at", pin, source));
        }
        _ => return Err(failed(ProgramError::UnexpectedProgramType)),
    };
    let link =
        link.map_err(|source| Error::syscall("own the link of", name, io::Error::other(source)))?;
    let pinned = link.pin(pin);
    pinned.map(drop).map_err(|source| Error::io("pin link at", pin, io::Error::other(source)))
}

/// The descriptor of a loaded program.
pub(super) fn program_fd<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<BorrowedFd<'a>, Error> {
    let program = program_mut(ebpf, name)?;
    let fd = program.fd().map_err(|source| Error::program("open", name, source))?;
    Ok(fd.as_fd())
}

pub(super) fn program_mut<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut Program, Error> {
    ebpf.program_mut(name).ok_or(Error::Missing { kind: "program", name })
}
