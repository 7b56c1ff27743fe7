// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The SDKs that the demo and the suites run, unchanged, in a virtual environment below the target folder.

use std::fs;

use anyhow::{Context as _, Result};

use crate::distribution::{self, Package, Probe};
use crate::step;

const PACKAGES: &[Package] = &[
    Package { name: "python3", probe: Probe::Program("python3") },
    Package { name: "python3-venv", probe: Probe::PythonModules("venv, ensurepip") },
];

/// Makes the environment, or leaves it alone if it holds what the list of requirements says.
pub(crate) fn ensure() -> Result<()> {
    distribution::ensure(PACKAGES)?;
    let wanted = step::repository().join("tests/fixtures/agents/requirements.txt");
    let wanted_text = fs::read_to_string(&wanted)
        .with_context(|| format!("failed to read `{}`", wanted.display()))?;
    let folder = step::target_folder().join("clients/python");
    // Written last: an interrupted installation is done again.
    let stamp = folder.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|text| text == wanted_text) {
        return Ok(());
    }
    step::say(&format!("installing Python packages into {}", folder.display()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    step::run("python3", &["-m", "venv", &folder.display().to_string()])?;
    let pip = folder.join("bin/pip");
    let wanted = wanted.display().to_string();
    step::run(pip, &["install", "--quiet", "--disable-pip-version-check", "-r", &wanted])?;
    fs::write(&stamp, wanted_text)?;
    Ok(())
}
