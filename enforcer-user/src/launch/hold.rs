// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holds names: whoever owns a folder may rename it, and put another one behind the same path.
//!
//! A name that is a mount of itself cannot be renamed, exchanged, replaced or removed by anybody in this
//! namespace, on whatever way it is reached: rename(2) looks at the name itself (`EBUSY`). So each name on the way
//! to a file is made one, from the top down, and links are, too. What somebody outside renames is renamed in here
//! as well, and the new name is not held.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use enforcer_core::model::limits::PATH_LINKS_MAX;
use nix::mount::{MsFlags, mount};

use super::Error;

/// What `/proc/self/fdinfo` says about a descriptor's mount, see proc_pid_fdinfo(5).
const MOUNT_ID: &str = "mnt_id:";
const NONE: Option<&str> = None;

/// Holds every name that a path leads through. Those that do not exist need no care: nothing is read by them.
pub(super) fn hold(path: &Path) -> Result<(), Error> {
    let names = names(path).map_err(|source| Error::path("resolve", path, source))?;
    names.iter().try_for_each(|name| hold_name(name))
}

/// Makes one name a mount of itself, with what is mounted below it; a mount already is one.
pub(super) fn hold_name(name: &Path) -> Result<(), Error> {
    let failed = |source| Error::path("hold", name, source);
    let Some(folder) = name.parent() else { return Ok(()) };
    let opened = open(name).map_err(failed)?;
    let is_mount = mount_id(&opened).map_err(failed)?
        != open(folder).and_then(|it| mount_id(&it)).map_err(failed)?;
    if is_mount {
        return Ok(());
    }
    // By its descriptor, because a path to a link leads to what is behind it.
    let place = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(place.as_str()), place.as_str(), NONE, flags, NONE)
        .map_err(|errno| failed(errno.into()))
}

/// Each name after the folder that it stands in; a link before what it leads to.
fn names(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    let (mut here, mut links) = (PathBuf::from("/"), 0);
    let mut left: VecDeque<OsString> = parts(path);
    while let Some(part) = left.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let name = here.join(part);
        let is_link = match fs::symlink_metadata(&name) {
            Ok(found) => found.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            Err(error) => return Err(error),
        };
        names.push(name.clone());
        if !is_link {
            here = name;
            continue;
        }
        links += 1;
        if links > PATH_LINKS_MAX {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        let target = fs::read_link(&name)?;
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        for part in parts(&target).into_iter().rev() {
            left.push_front(part);
        }
    }
    Ok(names)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// The name itself, also if it is a link or a socket; nothing can be done with it but naming it.
fn open(name: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(name)
}

/// Which mount it is on.
fn mount_id(opened: &File) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", opened.as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix(MOUNT_ID)?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel does not say which mount it is on"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_name_on_the_way_is_found_from_the_top_down_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir(top.join("c")).unwrap();
        fs::write(top.join("a/b/file"), "").unwrap();
        symlink("../a/b", top.join("c/relative")).unwrap();
        symlink(top.join("c"), top.join("absolute")).unwrap();
        let above: Vec<PathBuf> = {
            let mut above: Vec<_> = top.ancestors().map(Path::to_owned).collect();
            above.pop();
            above.reverse();
            above
        };
        let found = names(&top.join("absolute/relative/file")).unwrap();
        let inside = |name: &str| top.join(name);
        let mut expect = above.clone();
        expect.push(inside("absolute"));
        expect.extend(above.clone());
        expect.extend(["c", "c/relative", "a", "a/b", "a/b/file"].map(inside));
        assert_eq!(found, expect);
        // What is not there ends it, and going up leaves the names that were passed.
        let mut expect = above;
        expect.extend(["a", "a/b", "c"].map(inside));
        assert_eq!(names(&top.join("a/b/../../c/none/more")).unwrap(), expect);
    }

    #[test]
    fn links_in_a_circle_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        symlink("it", folder.path().join("it")).unwrap();
        let error = names(&folder.path().join("it")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}
