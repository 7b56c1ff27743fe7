// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel modules that the suites need, with what those need, in the order in which they are loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Links, the protocols whose sockets have to be refused, and the means to look at and cut connections. A
/// kernel that has one of them built in, or not at all, is none the worse: a suite says what it misses.
const WANTED: &[&str] = &[
    "veth",
    "dummy",
    "macvlan",
    "tun",
    "sctp",
    "dccp_ipv4",
    "dccp_ipv6",
    "l2tp_ip",
    "l2tp_ip6",
    "vsock",
    "vsock_loopback",
    "tipc",
    "smc",
    "tls",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "nf_tables",
    "nft_nat",
    "nft_chain_nat",
    "ip_tables",
    "iptable_nat",
];

/// A module as the machine loads it.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its name, with underscores.
    pub(crate) name: String,
    /// Its object, not compressed.
    pub(crate) object: Vec<u8>,
}

/// Reads the wanted modules of `lib/modules/RELEASE`; each comes after those it needs.
pub(crate) fn wanted(folder: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(folder, &mut files)?;
    let mut modules = Vec::new();
    for name in WANTED {
        add(name, &files, &mut modules)?;
    }
    Ok(modules)
}

fn index(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no `{}`", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko") {
            files.insert(name.replace('-', "_"), entry.path());
        }
    }
    Ok(())
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, to: &mut Vec<Module>) -> Result<()> {
    let Some(file) = files.get(name) else { return Ok(()) };
    if to.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let object = read(file)?;
    for needed in needs(&object) {
        add(&needed, files, to)?;
    }
    to.push(Module { name: name.to_owned(), object });
    Ok(())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "ko") {
        return fs::read(file).with_context(|| format!("failed to read `{}`", file.display()));
    }
    let unpacked = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output()?;
    ensure!(unpacked.status.success(), "`{}` is not packed with xz", file.display());
    Ok(unpacked.stdout)
}

/// The `depends=` entry of the section `.modinfo`: texts that end with a zero byte.
fn needs(object: &[u8]) -> Vec<String> {
    let texts = object.split(|byte| *byte == 0);
    let listed = texts.filter_map(|text| text.strip_prefix(b"depends=")).next().unwrap_or_default();
    let names = String::from_utf8_lossy(listed);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_tells_what_it_needs() {
        let check = |object: &[u8], expect: &[&str]| assert_eq!(needs(object), expect);
        check(
            b"x\0license=GPL\0depends=libcrc32c,ip6-udp\0retpoline=Y\0",
            &["libcrc32c", "ip6_udp"],
        );
        check(b"\0depends=\0", &[]);
        check(b"none", &[]);
    }
}
