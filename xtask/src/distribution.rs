// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of the distribution that the commands need; missing ones are installed, aloud.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::step;

/// A package of the distribution and how to see that it is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Its name in Debian and its descendants.
    pub(crate) name: &'static str,
    /// How to see that it is there.
    pub(crate) probe: Probe,
}

/// How to see that a package is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    /// A file.
    File(&'static str),
    /// A program on the path.
    Program(&'static str),
    /// Modules that Python can import.
    PythonModules(&'static str),
}

impl Probe {
    fn is_there(self) -> bool {
        match self {
            Self::File(path) => Path::new(path).exists(),
            Self::Program(name) => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
            }
            Self::PythonModules(names) => Command::new("python3")
                .args(["-c", &format!("import {names}")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }
}

/// Installs those that are missing and says so.
pub(crate) fn ensure(packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !package.probe.is_there()).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !step::is_root() || !Path::new("/usr/bin/apt-get").exists() {
        bail!("these packages are missing: {names}; install them and run this again");
    }
    step::say(&format!("installing packages of the distribution: {names}"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2").args(arguments);
        step::run_command(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat())
}
