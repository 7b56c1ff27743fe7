// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the selectors of a bundle mean on this host: files, users, groups.
//!
//! Looked at again and again, because files are replaced and users made. A selector that means nothing here
//! is left out and told; it takes part as soon as it means something. It errs towards selecting: between a
//! change of a file in its place and the next look, a process that starts it still becomes the agent.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use enforcer_common::{FileId, Selector as KernelSelector, capture, key};
use enforcer_core::model::{AgentName, Capture, SessionId, limits};
use enforcer_core::policy::{Container, Policy, Selector, machine_scope};
use nix::unistd::{Group, User};

use super::containers::Containers;
use super::{Guard, GuardError};

/// A selector, as this host understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub agent: AgentName,
    /// For the kernel; its places are in `places`.
    pub selector: KernelSelector,
    /// Names of units and paths of cgroups that a process has to be below, all of them.
    pub places: Vec<String>,
    /// Device and inode of the program, as `stat` tells them.
    pub(super) exe: Option<(u64, u64)>,
    /// The same of the parent's program.
    pub(super) parent: Option<(u64, u64)>,
}

/// Tells a file's content apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Files that were hashed, so that they are read once for each of their states.
#[derive(Debug, Default)]
pub struct Files {
    hashes: HashMap<String, (Stamp, [u8; 32])>,
    containers: Containers,
}

/// Selectors of a bundle that mean nothing on this host, each with its agent and why; asks no kernel and reads no
/// file.
#[must_use]
pub fn selectors_without(policy: &Policy) -> Vec<String> {
    let there = |path: &str| match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(format!("`{path}` is no file")),
        Err(error) => Err(format!("`{path}`: {error}")),
    };
    let check = |selector: &Selector| -> Result<(), String> {
        for path in [&selector.exe, &selector.parent].into_iter().flatten() {
            there(path)?;
        }
        selector.user.as_deref().map(user_id).transpose()?;
        selector.group.as_deref().map(group_id).transpose()?;
        Ok(())
    };
    let selectors = policy.selectors().iter();
    let told = selectors.filter_map(|(agent, selector)| {
        check(selector).err().map(|why| format!("agent `{agent}`: {why}"))
    });
    told.collect()
}

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

impl Files {
    /// Each selector that means something on this host, in their order; of the others, why not.
    pub fn resolve(&mut self, guard: &dyn Guard, policy: &Policy) -> (Vec<Entry>, Vec<String>) {
        let selectors = policy.selectors();
        let is_named = |(_, selector): &(AgentName, Selector)| {
            matches!(selector.container, Some(Container::Name(_)))
        };
        self.containers.look(selectors.iter().any(is_named));
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        self.hashes.retain(|path, _| {
            selectors.iter().any(|(_, selector)| selector.exe.as_ref() == Some(path))
        });
        for (agent, selector) in selectors {
            match self.entry(guard, agent, selector) {
                Ok(mut entry) => {
                    entry.selector.capture = match policy.capture(agent) {
                        Capture::All => capture::ALL,
                        Capture::Endpoints => capture::ENDPOINTS,
                    };
                    entries.extend(self.of_containers(entry, selector.container.as_ref()));
                }
                Err(why) => problems.push(format!("agent `{agent}`: {why}")),
            }
        }
        (entries, problems)
    }

    fn entry(
        &mut self,
        guard: &dyn Guard,
        agent: &AgentName,
        selector: &Selector,
    ) -> Result<Entry, String> {
        // The session is another one each time; only the name is taken from this.
        let label = guard.label_of(SessionId::HOST, agent).map_err(|error| error.to_string())?;
        let mut found = KernelSelector { agent: label.agent, ..KernelSelector::END };
        let exe = selector.exe.as_deref().map(|path| file(guard, path)).transpose()?;
        if let (Some(wanted), Some(path)) = (selector.sha256, selector.exe.as_deref())
            && self.hash(path)? != wanted
        {
            return Err(format!("`{path}` does not have the hash that the bundle asks for"));
        }
        if let Some((id, _)) = exe {
            found.exe = id;
            found.keys |= key::EXE;
        }
        let parent = selector.parent.as_deref().map(|path| file(guard, path)).transpose()?;
        if let Some((id, _)) = parent {
            found.parent = id;
            found.keys |= key::PARENT;
        }
        if let Some(user) = &selector.user {
            found.uid = user_id(user)?;
            found.keys |= key::UID;
        }
        if let Some(group) = &selector.group {
            found.gid = group_id(group)?;
            found.keys |= key::GID;
        }
        let places: Vec<String> =
            [&selector.unit, &selector.cgroup].into_iter().flatten().cloned().collect();
        if !places.is_empty() || selector.container.is_some() {
            found.keys |= key::PLACES;
        }
        let stat = |file: Option<(FileId, (u64, u64))>| file.map(|(_, stat)| stat);
        Ok(Entry {
            agent: agent.clone(),
            selector: found,
            places,
            exe: stat(exe),
            parent: stat(parent),
        })
    }

    /// The entry once for each container on this host that it may mean.
    fn of_containers(&mut self, entry: Entry, container: Option<&Container>) -> Vec<Entry> {
        let places = match container {
            None => return vec![entry],
            Some(Container::Id(id)) => vec![id.clone()],
            Some(Container::Name(name)) => {
                let ids = self.containers.ids_of(name).into_iter();
                ids.chain([machine_scope(name)]).take(limits::CONTAINER_PLACES).collect()
            }
        };
        let within = |place: String| {
            let mut entry = entry.clone();
            entry.places.push(place);
            entry
        };
        places.into_iter().map(within).collect()
    }

    /// SHA-256 of a file; read again when it is not what it was.
    fn hash(&mut self, path: &str) -> Result<[u8; 32], String> {
        let failed = |error: io::Error| format!("`{path}`: {error}");
        let mut opened = File::open(path).map_err(failed)?;
        let stamp = Stamp::of(&opened.metadata().map_err(failed)?);
        match self.hashes.get(path) {
            Some((known, hash)) if *known == stamp => Ok(*hash),
            _ => {
                let hash = sha256(&mut opened).map_err(failed)?;
                self.hashes.insert(path.to_owned(), (stamp, hash));
                Ok(hash)
            }
        }
    }
}

fn sha256(file: &mut File) -> io::Result<[u8; 32]> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = file.read(&mut chunk)?;
        if bytes == 0 {
            break;
        }
        context.update(chunk.get(..bytes).unwrap_or_default());
    }
    context.finish().as_ref().try_into().map_err(io::Error::other)
}

/// A file for the kernel, and its device and inode for who looks from outside.
fn file(guard: &dyn Guard, path: &str) -> Result<(FileId, (u64, u64)), String> {
    let failed = |error: &GuardError| format!("`{path}`: {}", crate::runtime::chain(&**error));
    let id = guard.file(Path::new(path)).map_err(|error| failed(&error))?;
    let metadata = fs::metadata(path).map_err(|error| format!("`{path}`: {error}"))?;
    if metadata.is_file() {
        return Ok((id, (metadata.dev(), metadata.ino())));
    }
    Err(format!("`{path}` is no file"))
}

fn user_id(user: &str) -> Result<u32, String> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    match User::from_name(user) {
        Ok(Some(found)) => Ok(found.uid.as_raw()),
        Ok(None) => Err(format!("this host has no user `{user}`")),
        Err(error) => Err(format!("user `{user}` cannot be looked up: {error}")),
    }
}

fn group_id(group: &str) -> Result<u32, String> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    match Group::from_name(group) {
        Ok(Some(found)) => Ok(found.gid.as_raw()),
        Ok(None) => Err(format!("this host has no group `{group}`")),
        Err(error) => Err(format!("group `{group}` cannot be looked up: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_again_only_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent");
        let path = path.to_str().unwrap();
        let mut files = Files::default();
        fs::write(path, "").unwrap();
        let empty = files.hash(path).unwrap();
        assert_eq!(empty.first(), Some(&0xe3), "the hash of nothing");
        fs::write(path, "more").unwrap();
        assert_ne!(files.hash(path).unwrap(), empty);
        assert!(files.hash("/nowhere/at/all").is_err());
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_by_number() {
        assert_eq!(user_id("root"), Ok(0));
        assert_eq!(group_id("root"), Ok(0));
        assert_eq!(user_id("65534"), Ok(65534));
        assert!(user_id("nobody-of-this-name").is_err());
    }
}
