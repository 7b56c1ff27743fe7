// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds a compiler and a linker for eBPF, and installs Debian's where there are none.
//!
//! Needed only to change the programs: a build of the product embeds the committed object. The compiler
//! comes from the system (Debian's with the source of `core`, or rustup's nightly with `rust-src`); the
//! linker is built into the target folder, never globally.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Version of bpf-linker; another one may lay the object out differently.
const BPF_LINKER: &str = "0.13.0";
/// LLVM of Debian's compiler and of the linker built for it; the two must agree.
const DEBIAN_LLVM: &str = "22";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 7] = [
    "rustc-web",
    "rust-web-src",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
];

/// A compiler, a linker and a tool that strips debug information.
pub(crate) struct Toolchain {
    pub(crate) rustc: PathBuf,
    /// Folder that holds `bpf-linker`.
    pub(crate) linker_folder: PathBuf,
    pub(crate) objcopy: PathBuf,
    /// Where the source of `core` is, under each name that the compiler may write down.
    pub(crate) sources: Vec<PathBuf>,
    /// The three versions, as recorded beside the object.
    pub(crate) versions: String,
}

/// The toolchain at hand; installs Debian's where there is none.
pub(crate) fn toolchain(target: &Path) -> Result<Toolchain> {
    if debian_sources().is_none()
        && let Some(nightly) = nightly()?
    {
        return Ok(nightly);
    }
    install_missing()?;
    debian(target)
}

/// The source of `core` for Debian's compiler, when its LLVM is the one the linker is built for.
fn debian_sources() -> Option<PathBuf> {
    let rustc = Path::new(DEBIAN_RUSTC);
    let is_ours = llvm_of(rustc).ok()?.split('.').next() == Some(DEBIAN_LLVM);
    let sources = sources_of(rustc).ok()?;
    is_ours.then_some(sources)
}

fn debian(target: &Path) -> Result<Toolchain> {
    let rustc = PathBuf::from(DEBIAN_RUSTC);
    let sources = debian_sources().with_context(|| {
        format!("Debian's compiler has moved on from LLVM {DEBIAN_LLVM}: `xtask/src/packages.rs`")
    })?;
    let llvm = PathBuf::from(format!("/usr/lib/llvm-{DEBIAN_LLVM}"));
    let root = target.join("bpf-tools");
    let linker = root.join("bin/bpf-linker");
    if version_of(&linker).ok().as_deref() != Some(&format!("bpf-linker {BPF_LINKER}")) {
        build_linker(&llvm, &root)?;
    }
    Ok(Toolchain {
        versions: versions(&rustc, &linker)?,
        objcopy: llvm.join("bin/llvm-objcopy"),
        linker_folder: root.join("bin"),
        sources: names_of(sources),
        rustc,
    })
}

/// Rustup's nightly, when it has the source of `core` and a released linker is on the path.
fn nightly() -> Result<Option<Toolchain>> {
    let print = ["run", "nightly", "rustc", "--print", "sysroot"];
    let Ok(sysroot) = output(Command::new("rustup").args(print)) else {
        return Ok(None);
    };
    let rustc = Path::new(&sysroot).join("bin/rustc");
    let Ok(sources) = sources_of(&rustc) else {
        return Ok(None);
    };
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).find(|folder| folder.join("bpf-linker").is_file());
    let Some(linker_folder) = found else {
        bail!("nightly has `rust-src`, but there is no `bpf-linker` {BPF_LINKER} on the path");
    };
    let host = host_of(&rustc)?;
    Ok(Some(Toolchain {
        versions: versions(&rustc, &linker_folder.join("bpf-linker"))?,
        objcopy: Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-objcopy"),
        linker_folder,
        sources: names_of(sources),
        rustc,
    }))
}

fn install_missing() -> Result<()> {
    let is_missing = |package: &&str| {
        let query = ["--show", "--showformat=${db:Status-Status}", package];
        output(Command::new("dpkg-query").args(query)).ok().as_deref() != Some("installed")
    };
    let missing: Vec<_> = DEBIAN_PACKAGES.iter().copied().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {} with apt-get: no compiler here can build eBPF", missing.join(", "));
    let is_root = output(Command::new("id").arg("-u"))? == "0";
    ensure!(is_root, "installing packages needs root; or install nightly with `rust-src`");
    run(Command::new("apt-get").args(["update", "--quiet=2"]))?;
    let install = ["install", "--yes", "--quiet=2", "--no-install-recommends"];
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(install)
        .args(missing))
}

fn build_linker(llvm: &Path, root: &Path) -> Result<()> {
    eprintln!("building bpf-linker {BPF_LINKER} into `{}`, once", root.display());
    let mut cargo = cargo();
    cargo.args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{DEBIAN_LLVM}")]);
    cargo.arg("--root").arg(root).arg("--target-dir").arg(root.join("build"));
    cargo.env("LLVM_PREFIX", llvm).env(format!("LLVM_SYS_{DEBIAN_LLVM}1_PREFIX"), llvm);
    run(&mut cargo)
}

/// The cargo that runs this command, without what it or a person set for the host's build.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in
        ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(name);
    }
    command
}

/// `PATH` with a folder put first.
pub(crate) fn path_with(folder: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&path));
    env::join_paths(folders).context("`PATH` cannot be extended")
}

/// Runs a command whose output a person may want to see.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn version_of(program: &Path) -> Result<String> {
    output(Command::new(program).arg("--version"))
}

fn versions(rustc: &Path, linker: &Path) -> Result<String> {
    let (rustc_version, linker) = (version_of(rustc)?, version_of(linker)?);
    Ok(format!("{rustc_version}\n{linker}\nLLVM {}\n", llvm_of(rustc)?))
}

fn llvm_of(rustc: &Path) -> Result<String> {
    verbose(rustc, "LLVM version: ")
}

fn host_of(rustc: &Path) -> Result<String> {
    verbose(rustc, "host: ")
}

fn verbose(rustc: &Path, field: &str) -> Result<String> {
    let text = output(Command::new(rustc).arg("-vV"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    value.map(str::to_owned).with_context(|| format!("`{}` names no {field}", rustc.display()))
}

fn sources_of(rustc: &Path) -> Result<PathBuf> {
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]))?;
    let sources = Path::new(&sysroot).join("lib/rustlib/src/rust");
    ensure!(sources.join("library/core").is_dir(), "`{sysroot}` has no source of `core`");
    Ok(sources)
}

fn names_of(sources: PathBuf) -> Vec<PathBuf> {
    let resolved = sources.canonicalize().ok();
    std::iter::once(sources).chain(resolved).collect()
}
