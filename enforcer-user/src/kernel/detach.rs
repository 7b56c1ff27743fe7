// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Takes the programs out of force and leaves no residue. Only `enforcer uninstall` and tests do this:
//! a daemon that ends leaves everything in force.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Instant;

use aya::programs::loaded_programs;
use enforcer_core::model::limits::{PROGRAMS_GONE_POLL, PROGRAMS_GONE_WAIT};

use super::{Config, Error, bpffs, pin, sys};

/// Detaches every program of every generation, removes the pins, and unmounts what we mounted. Says what it
/// did; does nothing the second time.
///
/// # Errors
/// When something could not be removed; another call goes on from there.
pub fn detach(config: &Config) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    if bpffs::is_there(config)? {
        let mut programs = Vec::new();
        for generation in pin::entries(&config.bpffs)? {
            if is_generation(&generation) {
                remove_generation(&generation, &mut programs, &mut done)?;
            }
        }
        wait_until_gone(&programs)?;
    }
    bpffs::undo(config, &mut done)?;
    Ok(done)
}

/// `v1`, `v2`, …: a folder that is none of ours is left alone.
fn is_generation(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn remove_generation(
    generation: &Path,
    programs: &mut Vec<u32>,
    done: &mut Vec<String>,
) -> Result<(), Error> {
    let links = generation.join("links");
    let maps = generation.join("maps");
    for path in pin::entries(&links)? {
        programs.push(remove_link(&path)?);
        done.push(format!("detached `{}`", path.display()));
    }
    for path in pin::entries(&maps)? {
        fs::remove_file(&path).map_err(|source| Error::io("unpin", &path, source))?;
        done.push(format!("unpinned `{}`", path.display()));
    }
    for folder in [links.as_path(), maps.as_path(), generation] {
        if folder.is_dir() {
            bpffs::remove_folder(folder, done)?;
        }
    }
    Ok(())
}

/// Unpins a link and detaches it, so that a descriptor held elsewhere cannot keep it in force.
fn remove_link(path: &Path) -> Result<u32, Error> {
    let link = sys::open_link(path).map_err(|source| Error::io("open link", path, source))?;
    let info = sys::link_info(link.as_fd());
    let info = info.map_err(|source| Error::io("read link", path, source))?;
    fs::remove_file(path).map_err(|source| Error::io("unpin", path, source))?;
    // The link of a tracepoint cannot be detached, only let go of.
    if info.cgroup().is_some() {
        let detached = sys::detach_link(link.as_fd());
        detached.map_err(|source| Error::io("detach link", path, source))?;
    }
    Ok(info.program)
}

/// The kernel frees a program a moment after its last user; there is no event to wait on.
fn wait_until_gone(programs: &[u32]) -> Result<(), Error> {
    let deadline = Instant::now() + PROGRAMS_GONE_WAIT;
    while let Some(id) = still_loaded(programs) {
        if Instant::now() >= deadline {
            return Err(Error::StillLoaded { id });
        }
        thread::sleep(PROGRAMS_GONE_POLL);
    }
    Ok(())
}

fn still_loaded(programs: &[u32]) -> Option<u32> {
    loaded_programs().filter_map(Result::ok).map(|info| info.id()).find(|id| programs.contains(id))
}
