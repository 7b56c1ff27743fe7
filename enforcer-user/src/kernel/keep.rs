// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps the programs in force: holds every link, program and map by a descriptor, compares them with their
//! pins, and puts back what somebody took away.
//!
//! While the daemon lives, removing a pin or unmounting the bpffs takes nothing out of force. A detached link
//! cannot be revived; its program is attached anew. Between the two nobody guards: whoever may detach is root.
//! Only links of cgroups can be detached or given another program; those of tracepoints and security hooks are in
//! force as long as somebody holds them, so their pins are all there is to put back.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use enforcer_common::map;

use super::sys::LinkInfo;
use super::{Config, Error, Tier, attach, bpffs, hardened, pin, sys};

/// What is held, until it is dropped: nothing can be taken out of force for good before.
#[derive(Debug)]
pub struct Keeper {
    config: Config,
    maps: Vec<(PathBuf, OwnedFd)>,
    links: Vec<Link>,
    tier: Tier,
}

#[derive(Debug)]
struct Link {
    name: &'static str,
    path: PathBuf,
    link: OwnedFd,
    program: OwnedFd,
    program_id: u32,
}

impl Keeper {
    pub(super) fn hold(config: &Config, tier: &Tier) -> Result<Self, Error> {
        let open = |path: PathBuf| {
            let fd = sys::open_link(&path).map_err(|error| Error::io("open", &path, error))?;
            Ok((path, fd))
        };
        let maps: Result<Vec<_>, Error> = pin::maps_pinned(config)?.into_iter().map(open).collect();
        let names = attach::names(tier);
        let links: Result<Vec<_>, Error> = names.map(|name| Link::hold(config, name)).collect();
        Ok(Self { config: config.clone(), maps: maps?, links: links?, tier: tier.clone() })
    }

    /// Compares what the kernel has with its pins and puts back what somebody took away; says what that
    /// was. Blocks shortly.
    ///
    /// # Errors
    /// When something cannot be put back; the next call tries again.
    pub fn repair(&mut self) -> Result<Vec<String>, Error> {
        let config = &self.config;
        let mut done = Vec::new();
        if !bpffs::is_there(config)? {
            bpffs::ensure(config)?;
            done.push("the bpffs".to_owned());
            self.tell_device()?;
        }
        pin::make_folders(config)?;
        for (path, map) in &self.maps {
            if pin_again(map.as_fd(), path)? {
                done.push(format!("the pin of map `{}`", name(path)));
            }
        }
        for link in &mut self.links {
            link.repair(config, &mut done)?;
        }
        Ok(done)
    }

    /// The security hooks know the pins by the device of their file system, and a new one has another.
    fn tell_device(&self) -> Result<(), Error> {
        let hardening = pin::map(&self.config, map::HARDENING);
        match self.maps.iter().find(|(path, _)| *path == hardening) {
            Some((_, map)) if self.tier == Tier::Hardened => {
                hardened::tell_device(map.as_fd(), &self.config)
            }
            _ => Ok(()),
        }
    }
}

impl Link {
    fn hold(config: &Config, name: &'static str) -> Result<Self, Error> {
        let path = pin::link(config, name);
        let link = sys::open_link(&path).map_err(|error| Error::io("open link", &path, error))?;
        let program_id = info(link.as_fd(), name)?.program;
        let program = sys::open_program(program_id);
        let program = program.map_err(|source| Error::syscall("open program", name, source))?;
        Ok(Self { name, path, link, program, program_id })
    }

    fn repair(&mut self, config: &Config, done: &mut Vec<String>) -> Result<(), Error> {
        let name = self.name;
        let found = info(self.link.as_fd(), name)?;
        if !found.is_attached() {
            let cgroup = File::open(&config.cgroup);
            let cgroup = cgroup.map_err(|error| Error::io("open", &config.cgroup, error))?;
            let attached =
                sys::link_cgroup(self.program.as_fd(), cgroup.as_fd(), found.attach_type);
            self.link =
                attached.map_err(|source| Error::syscall("attach program", name, source))?;
            done.push(format!("program `{name}`, which was detached"));
        } else if found.program != self.program_id {
            let updated = sys::update_link(self.link.as_fd(), self.program.as_fd());
            updated.map_err(|source| Error::syscall("replace program", name, source))?;
            done.push(format!("program `{name}`, which was replaced"));
        }
        if pin_again(self.link.as_fd(), &self.path)? {
            done.push(format!("the pin of program `{name}`"));
        }
        Ok(())
    }
}

/// Pins an object where it is not, or where another one is. Says whether it had to.
fn pin_again(object: BorrowedFd<'_>, path: &Path) -> Result<bool, Error> {
    let own = sys::link_info(object);
    let own = own.map_err(|source| Error::syscall("read", &name(path), source))?.id;
    match sys::open_link(path).and_then(|fd| sys::link_info(fd.as_fd())) {
        Ok(pinned) if pinned.id == own => return Ok(false),
        Ok(_another) => {
            fs::remove_file(path).map_err(|error| Error::io("unpin", path, error))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        // Not proof that it is gone: without descriptors nothing can be opened.
        Err(error) => return Err(Error::io("open pin", path, error)),
    }
    sys::pin(object, path).map_err(|error| Error::io("pin at", path, error))?;
    Ok(true)
}

fn info(link: BorrowedFd<'_>, name: &'static str) -> Result<LinkInfo, Error> {
    sys::link_info(link).map_err(|source| Error::syscall("read the link of program", name, source))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
