// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask ebpf`: compiles the programs into `enforcer-ebpf/enforcer.bpf.o`, and proves that the
//! committed object is what the source says.
//!
//! The object is committed, so that nobody needs a BPF toolchain to build the product. It does not depend on
//! where it was built: paths are remapped, and debug sections are stripped (BTF stays).

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{self, Toolchain};
use crate::step;

const TARGET: &str = "bpfel-unknown-none";
const OBJECT: &str = "enforcer-ebpf/enforcer.bpf.o";
const RECORD: &str = "enforcer-ebpf/enforcer.bpf.toolchain";
/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\u{1f}";

/// Arguments of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Rebuild elsewhere and compare with the committed object instead of replacing it.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = root()?;
    let target = target_folder(&root);
    let toolchain = packages::toolchain(&target)?;
    if arguments.check {
        check(&root, &target, &toolchain)
    } else {
        write(&root, &target, &toolchain)
    }
}

fn write(root: &Path, target: &Path, toolchain: &Toolchain) -> Result<()> {
    let object = build(root, &target.join("bpf"), toolchain)?;
    fs::write(root.join(OBJECT), &object).with_context(|| format!("cannot write `{OBJECT}`"))?;
    fs::write(root.join(RECORD), &toolchain.versions)?;
    eprintln!("wrote `{OBJECT}`, {} bytes, with\n{}", object.len(), toolchain.versions.trim_end());
    Ok(())
}

/// Builds from nothing: an object from an earlier build would prove nothing.
fn check(root: &Path, target: &Path, toolchain: &Toolchain) -> Result<()> {
    let folder = target.join("bpf-check");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let rebuilt = build(root, &folder, toolchain)?;
    fs::remove_dir_all(&folder)?;
    let committed = fs::read(root.join(OBJECT)).with_context(|| format!("no `{OBJECT}`"))?;
    let recorded =
        fs::read_to_string(root.join(RECORD)).with_context(|| format!("no `{RECORD}`"))?;
    if rebuilt == committed {
        eprintln!("`{OBJECT}` is what the source compiles to: {} bytes, all equal", rebuilt.len());
        return Ok(());
    }
    if recorded == toolchain.versions {
        let at = rebuilt.iter().zip(&committed).position(|(new, old)| new != old);
        bail!(
            "`{OBJECT}` is not what the source compiles to: {} bytes committed, {} rebuilt, first \
             difference at byte {}; run `cargo xtask ebpf` and commit both files",
            committed.len(),
            rebuilt.len(),
            at.unwrap_or_else(|| rebuilt.len().min(committed.len())),
        );
    }
    check_by_tests(root, toolchain, &recorded, &committed, &rebuilt)
}

/// Another compiler makes other bytes of the same source; then the programs must pass the same tests.
fn check_by_tests(
    root: &Path,
    toolchain: &Toolchain,
    recorded: &str,
    committed: &[u8],
    rebuilt: &[u8],
) -> Result<()> {
    eprintln!(
        "`{OBJECT}` was made with\n{recorded}and here is\n{}so the bytes cannot be compared. Running the \
         kernel tests on the rebuilt object instead.",
        toolchain.versions
    );
    let object = root.join(OBJECT);
    fs::write(&object, rebuilt)?;
    let mut cargo = packages::cargo();
    cargo.current_dir(root).args(["test", "--package", "enforcer-tests", "--test", "host"]);
    let tested = packages::run(cargo.args(["--", "--include-ignored"]));
    fs::write(&object, committed).with_context(|| format!("cannot restore `{OBJECT}`"))?;
    tested.context("the rebuilt object fails the kernel tests (they need root)")?;
    eprintln!(
        "the rebuilt object passes the kernel tests; `cargo xtask ebpf` would record the new toolchain"
    );
    Ok(())
}

/// Compiles, links and strips; returns the object.
fn build(root: &Path, folder: &Path, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let programs = root.join("enforcer-ebpf");
    // The folders to remap are there only after the crates are.
    packages::run(packages::cargo().current_dir(&programs).args(["fetch", "--locked"]))?;
    let mut cargo = packages::cargo();
    cargo.current_dir(&programs);
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "-Zbuild-std=core"]);
    cargo.arg("--target-dir").arg(folder);
    cargo.env("RUSTC", &toolchain.rustc).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("PATH", packages::path_with(&toolchain.linker_folder)?);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(root, toolchain)?.join(SEPARATOR));
    packages::run(&mut cargo)?;
    let linked = folder.join(TARGET).join("release/enforcer");
    let stripped = folder.join("stripped.o");
    let mut strip = Command::new(&toolchain.objcopy);
    packages::run(strip.arg("--strip-debug").arg(&linked).arg(&stripped))?;
    let object = folder.join("enforcer.bpf.o");
    let mut rename = Command::new(&toolchain.objcopy);
    for symbol in mangled(&fs::read(&stripped)?) {
        rename.arg(format!("--redefine-sym={symbol}={}", without_disambiguators(&symbol)));
    }
    packages::run(rename.arg(&stripped).arg(&object))?;
    let object = fs::read(&object).with_context(|| format!("no `{}`", object.display()))?;
    if let Some(name) = told_by(&object) {
        bail!(
            "the type information of the object names `{name}`, which depends on the folder of the build; give that \
             static a name of its own with `#[unsafe(no_mangle)]`"
        );
    }
    Ok(object)
}

/// A name in an object that tells where it was built. Symbols are renamed; names in BTF cannot be.
fn told_by(object: &[u8]) -> Option<String> {
    mangled(object).into_iter().find(|name| without_disambiguators(name) != *name)
}

/// The mangled names in an object.
fn mangled(object: &[u8]) -> BTreeSet<String> {
    let texts = object.split(|byte| *byte == 0).filter(|text| text.starts_with(b"_R"));
    texts.filter_map(|text| String::from_utf8(text.to_vec()).ok()).collect()
}

/// `Cs3nQBFWnVt03_8enforcer` becomes `C8enforcer`: cargo hashes the folder of a path dependency into the
/// disambiguator of every crate that uses it, and nothing else in the object tells where it was built.
fn without_disambiguators(symbol: &str) -> String {
    let (mut name, mut rest) = (String::new(), symbol);
    // From the left: a hash may hold a `Cs` itself.
    while let Some((before, after)) = rest.split_once("Cs") {
        name.push_str(before);
        match after.split_once('_') {
            Some((hash, tail)) if hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                name.push('C');
                rest = tail;
            }
            _ => {
                name.push_str("Cs");
                rest = after;
            }
        }
    }
    name.push_str(rest);
    name
}

fn flags(root: &Path, toolchain: &Toolchain) -> Result<Vec<String>> {
    // BTF is made from debug information.
    let mut flags = vec!["-Cdebuginfo=2".to_owned(), "-Clink-arg=--btf".to_owned()];
    let mut remap =
        |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    remap(root, "/enforcer");
    for registry in registries()? {
        remap(&registry, "/registry");
    }
    for sources in &toolchain.sources {
        remap(sources, "/rust");
    }
    Ok(flags)
}

/// The folders into which cargo unpacks crates: one for each registry or mirror.
fn registries() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let sources = home.context("neither `CARGO_HOME` nor `HOME` is set")?.join("registry/src");
    let entries = fs::read_dir(&sources).into_iter().flatten().flatten();
    Ok(entries.map(|entry| entry.path()).collect())
}

fn root() -> Result<PathBuf> {
    let root = step::repository();
    ensure!(root.join("enforcer-ebpf").is_dir(), "no `enforcer-ebpf` in `{}`", root.display());
    Ok(root)
}

fn target_folder(root: &Path) -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").map(|folder| root.join(folder));
    set.unwrap_or_else(|| root.join("target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_tell_where_it_was_compiled() {
        let check = |symbol: &str, expect: &str| {
            assert_eq!(without_disambiguators(symbol), expect, "{symbol}");
        };
        check("_RNvNtCs3nQBFWnVt03_8enforcer5event7refused", "_RNvNtC8enforcer5event7refused");
        check("_RINvCsa_1aNvCsb1_1bE", "_RINvC1aNvC1bE");
        check("_RNvC8enforcer7mapCs", "_RNvC8enforcer7mapCs");
        let holds_it = "_RNvNtCsja4sgEtCs1x_8enforcer5event7no_room";
        check(holds_it, "_RNvNtC8enforcer5event7no_room");
    }

    #[test]
    fn a_name_that_tells_where_it_was_compiled_is_found() {
        let told =
            told_by(b"\0connect4\0_RNvNtC8enforcer4task3one\0_RNvNtCs9CSyMnvMIci_8enforcer4NONE\0");
        assert_eq!(told.as_deref(), Some("_RNvNtCs9CSyMnvMIci_8enforcer4NONE"));
        assert_eq!(told_by(b"\0connect4\0_RNvNtC8enforcer4task3one\0"), None);
    }

    #[test]
    fn only_mangled_names_are_renamed() {
        let found = mangled(b"\0connect4\0_RNvC1a1b\0x_RNvC1a1c\0_RNvC1a1b\0");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["_RNvC1a1b"]);
    }
}
