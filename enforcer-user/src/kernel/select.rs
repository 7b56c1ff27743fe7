// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tells the programs which processes become an agent by themselves, and keeps the sessions that begin so.
//!
//! Selectors are replaced as a whole: the half that is not in force is written, then one number says that it
//! is. Names of units and cgroups become bits; a bit means one name for as long as anything uses it, also over
//! a restart of the daemon.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, HashMap, MapData};
use enforcer_common::{
    CGROUP_NAME_BYTES, CgroupName, FileId, Selector, SessionStart, capacity, key, map,
};
use enforcer_core::model::limits::{CGROUP_NAME_BYTES_MAX, PLACES_MAX, SELECTORS_MAX};
use enforcer_core::policy::{SHORT_ID_DIGITS, container_id};

use super::{Config, Error, attach, is_missing, mounts, preflight, text};

/// Both sides count alike; a name that is one byte longer is cut off where it differs.
const _: () = assert!(SELECTORS_MAX == capacity::SELECTORS as usize);
const _: () = assert!(2 * PLACES_MAX <= capacity::PLACES as usize);
const _: () = assert!(CGROUP_NAME_BYTES_MAX + 2 == CGROUP_NAME_BYTES);

/// `BPF_NOEXIST`: only a new element.
const ONLY_NEW: u64 = 1;
/// `BPF_EXIST`: only an element that is there.
const ONLY_OLD: u64 = 2;

/// A file as the programs tell files apart. Symbolic links are followed.
///
/// # Errors
/// When there is no such file, or its file system is not known.
pub fn file_id(path: &Path) -> Result<FileId, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
    // What stat says of the device is another number on btrfs and overlayfs.
    let mount = mounts::mount_of(path)?;
    let device = mount.ok_or(Error::Host { reason: "a file is on no mount" })?.device;
    Ok(FileId { inode: metadata.ino(), device, padding: 0 })
}

/// The maps behind it.
pub(super) struct Selection {
    selectors: Array<MapData, Selector>,
    half: Array<MapData, u32>,
    places: HashMap<MapData, CgroupName, u64>,
    cgroups: HashMap<MapData, u64, u64>,
    sessions: HashMap<MapData, u64, SessionStart>,
}

impl Selection {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let failed = |name| move |source| Error::map("open", name, source);
        let mut take = |name| attach::take(ebpf, name);
        Ok(Self {
            selectors: take(map::SELECTORS)?.try_into().map_err(failed(map::SELECTORS))?,
            half: take(map::SELECTION)?.try_into().map_err(failed(map::SELECTION))?,
            places: take(map::PLACES)?.try_into().map_err(failed(map::PLACES))?,
            cgroups: take(map::CGROUPS)?.try_into().map_err(failed(map::CGROUPS))?,
            sessions: take(map::SESSIONS)?.try_into().map_err(failed(map::SESSIONS))?,
        })
    }

    /// Puts selectors in force, each with the units and cgroups that it names.
    pub(super) fn replace(
        &mut self,
        config: &Config,
        entries: &[(Selector, Vec<String>)],
    ) -> Result<(), Error> {
        let named = entries.iter().flat_map(|(_, names)| names.iter().cloned());
        let bits = self.remember_places(named)?;
        self.find_cgroups(config)?;
        let half = self.half.get(&0, 0).map_err(failed("read", map::SELECTION))?;
        let next = 1 - (half & 1);
        let first = next * capacity::SELECTORS;
        let ended = entries.iter().map(|(selector, names)| with_places(selector, names, &bits));
        let ended = ended.chain(std::iter::repeat(Selector::END));
        for (index, selector) in (first..first + capacity::SELECTORS).zip(ended) {
            let written = self.selectors.set(index, selector, 0);
            written.map_err(failed("write", map::SELECTORS))?;
        }
        self.half.set(0, next, 0).map_err(failed("write", map::SELECTION))?;
        self.forget_places(&bits)
    }

    /// Gives each name a bit, the one it has where it has one.
    fn remember_places(
        &mut self,
        names: impl Iterator<Item = String>,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let mut known = self.places()?;
        let mut bits = BTreeMap::new();
        for name in names {
            let bit = match known.get(&name) {
                Some(bit) => *bit,
                None => {
                    let used = known.values().fold(0, |used, bit| used | bit);
                    let free = (0..u64::BITS).map(|place| 1 << place).find(|bit| used & bit == 0);
                    let bit = free.ok_or(Error::Host { reason: "too many units and cgroups" })?;
                    let key = cgroup_name(&name).ok_or(TOO_LONG)?;
                    let written = self.places.insert(key, bit, 0);
                    written.map_err(failed("write", map::PLACES))?;
                    bit
                }
            };
            known.insert(name.clone(), bit);
            bits.insert(name, bit);
        }
        Ok(bits)
    }

    /// Forgets what no selector in force names, so that its bit can mean something else.
    fn forget_places(&mut self, wanted: &BTreeMap<String, u64>) -> Result<(), Error> {
        let mut stale = 0;
        for (name, bit) in self.places()? {
            if !wanted.contains_key(&name) {
                stale |= bit;
                let key = cgroup_name(&name).ok_or(TOO_LONG)?;
                self.places.remove(&key).map_err(failed("write", map::PLACES))?;
            }
        }
        if stale == 0 {
            return Ok(());
        }
        let found: Vec<_> = self.cgroups.iter().filter_map(Result::ok).collect();
        for (id, bits) in found.into_iter().filter(|(_, bits)| bits & stale != 0) {
            self.set_cgroup(id, bits & !stale)?;
        }
        Ok(())
    }

    fn places(&self) -> Result<BTreeMap<String, u64>, Error> {
        let entry = |(name, bit): (CgroupName, u64)| (text(&name.bytes), bit);
        let all: Result<_, _> = self.places.iter().map(|item| item.map(entry)).collect();
        all.map_err(failed("read", map::PLACES))
    }

    /// Looks at every cgroup that is there: those made before their name was known, and those that found no
    /// room. Forgets those that are gone.
    pub(super) fn find_cgroups(&mut self, config: &Config) -> Result<(), Error> {
        let places = self.places()?;
        if places.is_empty() {
            return Ok(());
        }
        let path = preflight::below_hierarchy_root(config)?;
        // Read before the walk: what is made meanwhile is the programs' to remember.
        let known: Vec<_> = self.cgroups.iter().filter_map(Result::ok).collect();
        let mut found = BTreeMap::new();
        for above in path.ancestors().skip(1) {
            // A place above what the programs see means all of it; they ask for its id all the same.
            let depth = path.components().count() - above.components().count();
            let folder = config.cgroup.ancestors().nth(depth);
            if let Some(folder) = folder.filter(|_| above != Path::new("/")) {
                note(&mut found, folder, above, &places);
            }
        }
        walk(&mut found, &config.cgroup, &path, &places);
        for (id, _) in known.into_iter().filter(|(id, _)| !found.contains_key(id)) {
            self.set_cgroup(id, 0)?;
        }
        for (id, bits) in found {
            self.set_cgroup(id, bits)?;
        }
        Ok(())
    }

    fn set_cgroup(&mut self, id: u64, bits: u64) -> Result<(), Error> {
        if bits != 0 {
            return self.cgroups.insert(id, bits, 0).map_err(failed("write", map::CGROUPS));
        }
        match self.cgroups.remove(&id) {
            Err(source) if !is_missing(&source) => Err(failed("write", map::CGROUPS)(source)),
            _ => Ok(()),
        }
    }

    /// The sessions that began by a selector and were not forgotten.
    pub(super) fn sessions(&self) -> Result<Vec<SessionStart>, Error> {
        let all: Result<_, _> =
            self.sessions.iter().map(|item| item.map(|(_, start)| start)).collect();
        all.map_err(failed("read", map::SESSIONS))
    }

    pub(super) fn session(&self, id: u64) -> Result<Option<SessionStart>, Error> {
        match self.sessions.get(&id, 0) {
            Ok(start) => Ok(Some(start)),
            Err(source) if is_missing(&source) => Ok(None),
            Err(source) => Err(failed("read", map::SESSIONS)(source)),
        }
    }

    pub(super) fn begin(&mut self, start: &SessionStart) -> Result<(), Error> {
        let written = self.sessions.insert(start.label.session, start, ONLY_NEW);
        written.map_err(failed("add a session to", map::SESSIONS))
    }

    /// Says of a session that it is written down.
    pub(super) fn recorded(&mut self, start: &SessionStart) -> Result<(), Error> {
        let start = SessionStart { recorded: 1, ..*start };
        let written = self.sessions.insert(start.label.session, start, ONLY_OLD);
        written.map_err(failed("write", map::SESSIONS))
    }

    pub(super) fn forget(&mut self, id: u64) -> Result<(), Error> {
        match self.sessions.remove(&id) {
            Err(source) if !is_missing(&source) => {
                Err(failed("remove a session from", map::SESSIONS)(source))
            }
            _ => Ok(()),
        }
    }
}

const TOO_LONG: Error = Error::Host { reason: "the name of a unit or cgroup is too long" };

fn failed(operation: &'static str, name: &'static str) -> impl Fn(aya::maps::MapError) -> Error {
    move |source| Error::map(operation, name, source)
}

fn with_places(selector: &Selector, names: &[String], bits: &BTreeMap<String, u64>) -> Selector {
    let places = names.iter().filter_map(|name| bits.get(name)).fold(0, |all, bit| all | bit);
    let keys = if places == 0 { selector.keys } else { selector.keys | key::PLACES };
    Selector { keys, places, ..*selector }
}

/// The key of a name; none if it does not fit.
fn cgroup_name(name: &str) -> Option<CgroupName> {
    let mut bytes = [0; CGROUP_NAME_BYTES];
    let is_short = name.len() <= CGROUP_NAME_BYTES_MAX;
    let place = is_short.then(|| bytes.get_mut(..name.len())).flatten()?;
    place.copy_from_slice(name.as_bytes());
    Some(CgroupName { bytes })
}

fn walk(
    found: &mut BTreeMap<u64, u64>,
    folder: &Path,
    path: &Path,
    places: &BTreeMap<String, u64>,
) {
    let mut waiting: Vec<(PathBuf, PathBuf)> = vec![(folder.to_owned(), path.to_owned())];
    while let Some((folder, path)) = waiting.pop() {
        note(found, &folder, &path, places);
        // One that is removed meanwhile has no processes any more.
        for child in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if child.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push((child.path(), path.join(child.file_name())));
            }
        }
    }
}

/// Notes a cgroup that is one of the places.
fn note(
    found: &mut BTreeMap<u64, u64>,
    folder: &Path,
    path: &Path,
    places: &BTreeMap<String, u64>,
) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = container_id(name).unwrap_or_default();
    let short = id.get(..SHORT_ID_DIGITS).unwrap_or_default();
    let names = [name, path.to_str().unwrap_or_default(), id, short];
    let bits = names.iter().filter_map(|name| places.get(*name)).fold(0, |all, bit| all | bit);
    if bits != 0
        && let Ok(metadata) = fs::metadata(folder)
    {
        found.insert(metadata.ino(), bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_kernel_would_cut_is_not_taken() {
        assert!(cgroup_name(&"a".repeat(CGROUP_NAME_BYTES_MAX)).is_some());
        assert!(cgroup_name(&"a".repeat(CGROUP_NAME_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn a_selector_carries_the_bits_of_all_its_places() {
        let bits = BTreeMap::from([("a.service".to_owned(), 1), ("/b".to_owned(), 4)]);
        let names = ["a.service".to_owned(), "/b".to_owned()];
        let with = with_places(&Selector { keys: key::UID, ..Selector::END }, &names, &bits);
        assert_eq!((with.keys, with.places), (key::UID | key::PLACES, 5));
        assert_eq!(with_places(&Selector::END, &[], &bits), Selector::END);
    }
}
