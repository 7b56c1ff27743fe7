// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stock kernel of the distribution, unpacked and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step;

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The package it came in.
    pub(crate) package: String,
    /// What the machine boots.
    pub(crate) image: PathBuf,
    /// `lib/modules/RELEASE` of the package.
    pub(crate) modules: PathBuf,
}

/// Unpacks a kernel of this version (`6.1`) below a folder, or finds it there.
pub(crate) fn ensure(version: &str, below: &Path) -> Result<Kernel> {
    let folder = below.join(version);
    // Written last: an interrupted download is done again.
    let stamp = folder.join("package");
    if !stamp.exists() {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let package = unpack(version, &folder)?;
        fs::write(&stamp, package)?;
    }
    let package = fs::read_to_string(&stamp)?;
    let image = only_entry(&folder.join("boot"), "vmlinuz-")?;
    let modules = only_entry(&folder.join("lib/modules"), "")?;
    step::say(&format!("kernel {version} is package {package}"));
    Ok(Kernel { package, image, modules })
}

fn unpack(version: &str, folder: &Path) -> Result<String> {
    let package = match package_of(version)? {
        Some(package) => package,
        // A fresh machine knows no packages yet.
        None => {
            step::run("apt-get", &["--quiet=2", "update"])?;
            package_of(version)?.with_context(|| {
                format!("the distribution has no package of a kernel {version} for clouds")
            })?
        }
    };
    step::say(&format!("downloading {package}; it is unpacked, not installed"));
    let mut download = Command::new("apt-get");
    // Its own user may not write here.
    download.args(["--quiet=2", "--option", "APT::Sandbox::User=root", "download", &package]);
    step::run_command(download.current_dir(folder))?;
    let archive = only_entry(folder, "linux-image-")?;
    step::run_command(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
    fs::remove_file(archive)?;
    Ok(package)
}

/// The package that one of the distribution's names for "the newest kernel" stands for.
fn package_of(version: &str) -> Result<Option<String>> {
    let wanted = format!("linux-image-{version}.");
    for name in ["linux-image-cloud-amd64".to_owned(), format!("linux-image-{version}-cloud-amd64")]
    {
        let output = Command::new("apt-cache").args(["depends", "--important", &name]).output();
        let output = output.context("`apt-cache` cannot be started; kernels come from Debian")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let packages = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        if let Some(found) = packages.map(str::trim).find(|package| package.starts_with(&wanted)) {
            return Ok(Some(found.to_owned()));
        }
    }
    Ok(None)
}

fn only_entry(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("no `{}`", folder.display()))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    ensure!(found.len() <= 1, "`{}` holds several `{prefix}…`", folder.display());
    match found.pop() {
        Some(path) => Ok(path),
        None => bail!("`{}` holds no `{prefix}…`", folder.display()),
    }
}
