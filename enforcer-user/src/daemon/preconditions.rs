// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the settings name and a daemon does not start without: each looked at by the code that uses it afterwards.
//!
//! Changes nothing. The daemon asks before it takes or makes anything, so that one that cannot start leaves no
//! trace; `enforcer doctor` asks the same and says all of it. The host itself is looked at by `kernel::check`, the
//! bundle by [`super::load_policy_from`].

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{AccessFlags, access};

use super::{mask_key, watch};
use crate::approval::Approvals;
use crate::budget::Budgets;
use crate::config::Config;
use crate::store::Store;
use crate::tls::{Anchors, Ca};

/// One thing that has to be as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The roots of `[upstream]`.
    Roots,
    /// The resolvers of the host.
    Resolver,
    /// The state folder, and what is kept there: journal, CA, keys, counters.
    State,
    /// The socket of the admin API.
    Socket,
    /// The folder of the pins.
    Pins,
}

/// Bytes that a Unix socket path may have (`sun_path` of `unix(7)`, with its final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Precondition {
    /// All of them, in the order in which a start meets them.
    pub const ALL: [Self; 5] = [Self::Roots, Self::Resolver, Self::State, Self::Socket, Self::Pins];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roots => "roots",
            Self::Resolver => "resolver",
            Self::State => "state",
            Self::Socket => "socket",
            Self::Pins => "pins",
        }
    }

    /// What is fine about it where it is.
    #[must_use]
    pub const fn fine(self) -> &'static str {
        match self {
            Self::Roots => "upstream certificates can be verified",
            Self::Resolver => "the host's resolvers are known",
            Self::State => "journal, certificate authority, keys and counters can be used",
            Self::Socket => "the admin API can be opened",
            Self::Pins => "the programs can be pinned",
        }
    }

    /// Looks at it.
    ///
    /// # Errors
    /// Whatever would keep a daemon from starting.
    pub fn check(self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Roots => drop(Anchors::read(&config.upstream.roots)?),
            Self::Resolver => drop(watch::host_resolvers()?),
            Self::State => state(config)?,
            Self::Socket => socket(&config.socket)?,
            Self::Pins => folder(&config.bpffs)?,
        }
        Ok(())
    }
}

/// Looks at all of them.
///
/// # Errors
/// The first that is not as it should be; the others are logged.
pub(super) fn require(config: &Config) -> anyhow::Result<()> {
    let failed = Precondition::ALL.into_iter().filter_map(|one| one.check(config).err());
    let mut failed = failed.collect::<Vec<_>>().into_iter();
    let Some(first) = failed.next() else { return Ok(()) };
    for error in failed {
        tracing::error!(error = crate::runtime::chain(error.as_ref()), "cannot start");
    }
    Err(first)
}

fn state(config: &Config) -> anyhow::Result<()> {
    folder(&config.state)?;
    folder(&config.journal())?;
    Store::examine(&config.journal())?;
    Ca::examine(&config.state)?;
    mask_key::examine(&config.state)?;
    Budgets::open(&config.budgets())?;
    let numbers = config.questions();
    Approvals::examine(&numbers).with_context(|| format!("failed to read `{}`", numbers.display()))
}

fn socket(path: &Path) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    if path.is_dir() {
        anyhow::bail!("`{}` is a folder, and the admin API needs a socket there", path.display());
    }
    // The socket is made under another name and renamed.
    let bytes = crate::admin::fresh_name(path).as_os_str().as_bytes().len();
    if bytes.max(path.as_os_str().as_bytes().len()) > SOCKET_PATH_BYTES_MAX {
        anyhow::bail!(
            "`{}` is too long for a socket: {SOCKET_PATH_BYTES_MAX} bytes at most",
            path.display()
        );
    }
    Ok(())
}

/// A folder that is there and can be written, or that can be made.
fn folder(path: &Path) -> anyhow::Result<()> {
    let failed = |source: io::Error, at: &Path| {
        anyhow::Error::new(source).context(format!("failed to use `{}`", at.display()))
    };
    for at in path.ancestors() {
        match std::fs::metadata(at) {
            Ok(found) if !found.is_dir() => {
                anyhow::bail!(
                    "failed to use `{}`: `{}` is no folder",
                    path.display(),
                    at.display()
                );
            }
            Ok(_) => {
                return access(at, AccessFlags::W_OK | AccessFlags::X_OK)
                    .map_err(|errno| failed(errno.into(), at));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error, at)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::Upstream;
    use crate::config::place::Place;
    use crate::tls::Root;

    fn config(folder: &Path) -> Config {
        Config {
            policies: Place::folder(&folder.join("policies")),
            state: folder.join("state"),
            socket: folder.join("run/enforcer.sock"),
            cgroup: PathBuf::from("/nowhere"),
            bpffs: folder.join("bpf"),
            upstream: Upstream { roots: vec![Root::System], resolve: BTreeMap::new() },
        }
    }

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    /// What is told of a host of which one thing is not as it should be.
    fn told(one: Precondition, spoil: impl Fn(&mut Config, &Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        spoil(&mut config, folder.path());
        let before = entries(folder.path());
        let others = Precondition::ALL.into_iter().filter(|other| *other != one);
        // Not the resolvers, which are those of whoever runs the tests.
        for other in others.filter(|other| *other != Precondition::Resolver) {
            other.check(&config).unwrap_or_else(|error| panic!("{other:?}: {error:#}"));
        }
        let error = one.check(&config).expect_err("not fine");
        assert_eq!(entries(folder.path()), before, "something was made");
        format!("{error:#}")
    }

    #[test]
    fn what_would_keep_a_daemon_from_starting_is_told_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        for one in [Precondition::State, Precondition::Socket, Precondition::Pins] {
            one.check(&config(folder.path())).unwrap();
        }
        assert_eq!(entries(folder.path()), 0);

        let roots = told(Precondition::Roots, |config, folder| {
            config.upstream.roots = vec![Root::File(folder.join("missing.pem"))];
        });
        assert!(roots.contains("missing.pem"), "{roots}");
        let in_the_way = told(Precondition::State, |config, folder| {
            fs::write(folder.join("file"), "").unwrap();
            config.state = folder.join("file/state");
        });
        assert!(in_the_way.contains("file"), "{in_the_way}");
        for (name, content) in [
            ("mask.key", "short"),
            ("budgets.json", "{"),
            ("journal/checkpoint.key", "no key"),
            ("ca/unknown", ""),
        ] {
            let state = told(Precondition::State, |config, _| {
                let file = config.state.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, content).unwrap();
            });
            let part = name.split('/').next_back().unwrap();
            assert!(state.contains(part) || name.starts_with("ca"), "{name}: {state}");
        }
        let questions = told(Precondition::State, |config, _| {
            fs::create_dir_all(config.questions()).unwrap();
        });
        assert!(questions.contains("questions"), "{questions}");
        let socket = told(Precondition::Socket, |config, folder| {
            config.socket = folder.join("s".repeat(100)).join("enforcer.sock");
        });
        assert!(socket.contains("too long"), "{socket}");
        let socket = told(Precondition::Socket, |config, _| {
            fs::create_dir_all(&config.socket).unwrap();
        });
        assert!(socket.contains("is a folder"), "{socket}");
        let pins = told(Precondition::Pins, |config, folder| {
            fs::write(folder.join("file"), "").unwrap();
            config.bpffs = folder.join("file");
        });
        assert!(pins.contains("is no folder"), "{pins}");
    }
}
