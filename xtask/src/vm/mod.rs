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

use anyhow::{Context as _, Result, bail, ensure};

use crate::distribution::{self, Package, Probe};
use crate::step;

/// The kernels that are promised, by their first two numbers.
const KERNELS: &[&str] = &["6.1", "6.12"];

/// The suites of `enforcer-tests` that test the kernel side.
const SUITES: &[&str] = &["host"];

const PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", probe: Probe::Program("qemu-system-x86_64") },
    Package { name: "busybox-static", probe: Probe::Program("busybox") },
    Package { name: "cpio", probe: Probe::Program("cpio") },
    Package { name: "xz-utils", probe: Probe::Program("xz") },
    Package { name: "binutils", probe: Probe::Program("objcopy") },
    Package { name: "iproute2", probe: Probe::Program("ip") },
    Package { name: "python3", probe: Probe::File("/usr/bin/python3") },
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

/// A test program, and the suite it is.
#[derive(Clone, Debug)]
struct Suite {
    name: String,
    program: PathBuf,
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
    let suites = build(&arguments.test)?;
    let mut outcomes = Vec::new();
    for version in kernels {
        let outcome = on_kernel(version, &suites, arguments);
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

fn on_kernel(version: &str, suites: &[Suite], arguments: &Arguments) -> Result<String> {
    let folder = step::target_folder().join("vm");
    let kernel = kernel::ensure(version, &folder.join("kernels"))?;
    let place = folder.join(version);
    let image = image::make(&kernel, suites, arguments.filter.as_deref(), &place)?;
    let lsm = arguments.lsm.as_deref();
    boot::run(&boot::Machine { kernel: &kernel, image: &image, lsm, folder: &place })
}

/// Builds the programs of the suites and finds out where cargo put them.
fn build(wanted: &[String]) -> Result<Vec<Suite>> {
    let mut names: Vec<&str> = wanted.iter().map(String::as_str).collect();
    if names.is_empty() {
        names = SUITES.to_vec();
    }
    let mut cargo = step::cargo();
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(["-p", "enforcer-tests"]);
    for name in &names {
        cargo.args(["--test", name]);
    }
    step::say(&step::show(&cargo));
    let built = cargo.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(built.status.success(), "the suites do not build: {}", built.status);
    let mut suites = Vec::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let (Some(name), Some(program)) =
            (message.pointer("/target/name"), message.pointer("/executable"))
            && let (Some(name), Some(program)) = (name.as_str(), program.as_str())
            && names.contains(&name)
        {
            suites.push(Suite { name: name.to_owned(), program: program.into() });
        }
    }
    for name in names {
        suites
            .iter()
            .find(|suite| suite.name == name)
            .with_context(|| format!("no suite `{name}`"))?;
    }
    if suites.is_empty() {
        bail!("there is no suite to run");
    }
    Ok(suites)
}
