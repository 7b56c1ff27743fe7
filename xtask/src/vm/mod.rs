// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test --vm`: the suites that test the kernel side, on stock kernels in a virtual machine.
//!
//! Two reasons: the verifier of each kernel reads the programs differently, and BPF LSM programs may be refused
//! on the host. Nothing is installed on the host but the machine itself; kernels are unpacked below `target/vm`.

mod boot;
mod image;
mod kernel;
mod module;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::distribution::{self, Package, Probe};
use crate::step;

/// The kernels that are promised, by their first two numbers.
const KERNELS: &[&str] = &["6.1", "6.12"];

/// The suites of `enforcer-tests` that test the kernel side, and how many tests at once each of them runs: those of
/// `escape` wait for the kernel most of the time.
const SUITES: &[(&str, u32)] = &[("host", 2), ("held", 2), ("escape", 4)];

/// The program itself, which `held` starts.
const PROGRAM: &str = "enforcer";

const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", probe: Probe::Program("qemu-system-x86_64") },
    Package { name: "busybox-static", probe: Probe::Program("busybox") },
    Package { name: "cpio", probe: Probe::Program("cpio") },
    Package { name: "xz-utils", probe: Probe::Program("xz") },
    Package { name: "binutils", probe: Probe::Program("objcopy") },
    Package { name: "iproute2", probe: Probe::Program("ip") },
    Package { name: "nftables", probe: Probe::Program("nft") },
    Package { name: "python3", probe: Probe::File("/usr/bin/python3") },
    Package { name: "gcc", probe: Probe::Program("cc") },
];

/// What to run, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run the suites that test the kernel side on these kernels, in a virtual machine; all that are promised
    /// when none is named.
    #[arg(long, num_args = 0.., value_name = "VERSION")]
    pub(crate) vm: Option<Vec<String>>,
    /// Only these suites.
    #[arg(long, requires = "vm", value_name = "SUITE")]
    test: Vec<String>,
    /// Only tests whose name contains this.
    #[arg(long, requires = "vm", value_name = "TEXT")]
    filter: Option<String>,
    /// Boot with this list of security modules instead of the kernel's own, as in `lsm=` of the kernel.
    #[arg(long, requires = "vm", value_name = "LIST")]
    lsm: Option<String>,
}

/// What cargo built for the machine.
#[derive(Clone, Debug, Default)]
struct Built {
    suites: Vec<Suite>,
    /// Programs that the suites start.
    programs: Vec<PathBuf>,
}

/// A test program, and the suite it is.
#[derive(Clone, Debug)]
struct Suite {
    name: String,
    program: PathBuf,
    /// How many of its tests run at once.
    threads: u32,
}

/// Runs the suites on each kernel; goes on to the next one when one fails.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    distribution::ensure(PACKAGES)?;
    let named = arguments.vm.as_deref().unwrap_or_default();
    let kernels: Vec<&str> = if named.is_empty() {
        KERNELS.to_vec()
    } else {
        named.iter().map(String::as_str).collect()
    };
    let built = build(&arguments.test)?;
    let mut outcomes = Vec::new();
    for version in kernels {
        let outcome = on_kernel(version, &built, arguments);
        if let Err(cause) = &outcome {
            step::say(&format!("kernel {version}: {cause:#}"));
        }
        outcomes.push((version, outcome));
    }
    for (version, outcome) in &outcomes {
        let text = outcome.as_ref().map_or_else(|cause| format!("FAILED: {cause:#}"), Clone::clone);
        step::say(&format!("kernel {version}: {text}"));
    }
    ensure!(outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "not every kernel passed");
    Ok(())
}

fn on_kernel(version: &str, built: &Built, arguments: &Arguments) -> Result<String> {
    let folder = step::target_folder().join("vm");
    let kernel = kernel::ensure(version, &folder.join("kernels"))?;
    let place = folder.join(version);
    let image = image::make(&kernel, built, arguments.filter.as_deref(), &place)?;
    let lsm = arguments.lsm.as_deref();
    boot::run(&boot::Machine { kernel: &kernel, image: &image, lsm, folder: &place })
}

/// Builds the programs of the suites and finds out where cargo put them.
fn build(wanted: &[String]) -> Result<Built> {
    let known = |name: &String| SUITES.iter().any(|(suite, _)| suite == name);
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        bail!("no suite `{name}` tests the kernel side");
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let suites: Vec<_> = SUITES.iter().filter(|(name, _)| is_wanted(name)).collect();
    let mut built = Built::default();
    // Of another package than the suites, which cargo builds with them only where it runs its tests, too.
    for (_, _, program) in executables(&["build", "--bin", PROGRAM])? {
        built.programs.push(program);
    }
    let mut words = vec!["test", "--no-run"];
    for (name, _) in &suites {
        words.extend(["--test", name]);
    }
    for (kind, name, program) in executables(&words)? {
        match kind.as_str() {
            "bin" => built.programs.push(program),
            "test" => built.suites.extend(suites.iter().filter(|(suite, _)| *suite == name).map(
                |(_, threads)| Suite {
                    name: name.clone(),
                    program: program.clone(),
                    threads: *threads,
                },
            )),
            _ => {}
        }
    }
    ensure!(built.suites.len() == suites.len(), "cargo did not say where it put every suite");
    // The order in which cargo finished them differs from run to run.
    built.suites.sort_by(|one, other| other.name.cmp(&one.name));
    Ok(built)
}

/// What cargo built by this command: of each program its kind, its name and where it is.
fn executables(words: &[&str]) -> Result<Vec<(String, String, PathBuf)>> {
    let mut cargo = step::cargo();
    // With the features that every other build has: nothing is compiled twice.
    cargo.args(words).args(["--locked", "--workspace", "--message-format=json-render-diagnostics"]);
    step::say(&step::show(&cargo));
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "cargo does not build it: {}", output.status);
    let mut found = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let text = |place: &str| message.pointer(place).and_then(serde_json::Value::as_str);
        let of = (text("/target/kind/0"), text("/target/name"), text("/executable"));
        if let (Some(kind), Some(name), Some(program)) = of {
            found.push((kind.to_owned(), name.to_owned(), program.into()));
        }
    }
    Ok(found)
}
