// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine's only file system: an initramfs with the test programs and what they run, at the same paths as
//! on the host.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::kernel::Kernel;
use super::module;
use super::{Built, Suite};
use crate::step;

/// Programs that the suites start. The shell of busybox would run its own `ip`, which cannot do half of it.
const PROGRAMS: &[&str] = &["/bin/busybox", "/bin/sh", "/usr/bin/python3"];
/// Programs by name: distributions keep them in different folders.
const PROGRAMS_BY_NAME: &[&str] = &["ip", "ss", "nft", "setpriv", "setsid"];
/// What suites start and read below `tests`.
const SCRIPTS: &str = "host/scripts";
/// Where the sources of programs are that techniques run, below the tests, and where they are in the image: the
/// machine has no compiler.
const SOURCES: &str = "escape/programs";
const COMPILED: &str = "programs";
/// The parts of Python's library that no script here uses.
const LEFT_OUT: &[&str] = &[
    "pydoc_data",
    "idlelib",
    "lib2to3",
    "ensurepip",
    "distutils",
    "test",
    "tkinter",
    "turtledemo",
];
/// How much slower than a host the machine is: every wait of the suites is multiplied by this.
const SLOWNESS: u32 = 8;

/// Makes the image in a folder and returns its path.
pub(crate) fn make(
    kernel: &Kernel,
    built: &Built,
    filter: Option<&str>,
    folder: &Path,
) -> Result<PathBuf> {
    let root = folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for empty in ["proc", "sys", "dev", "tmp", "run", "root", "bin", "modules", COMPILED] {
        fs::create_dir_all(root.join(empty))?;
    }
    let mut files = BTreeSet::new();
    files.extend(PROGRAMS.iter().map(PathBuf::from));
    files.extend(PROGRAMS_BY_NAME.iter().filter_map(|name| on_path(name)));
    let programs = built.suites.iter().map(|suite| &suite.program).chain(&built.programs);
    files.extend(programs.clone().cloned());
    add_folder(&step::repository().join("tests").join(SCRIPTS), &mut files)?;
    python_library(&mut files)?;
    let libraries = libraries(&files)?;
    for file in files.iter().chain(&libraries) {
        place(file, &root)?;
    }
    for program in programs {
        strip(program, &root)?;
    }
    compile(&root)?;
    for (number, module) in module::wanted(&kernel.modules)?.into_iter().enumerate() {
        let name = format!("modules/{number:02}-{}.ko", module.name);
        fs::write(root.join(name), module.object)?;
    }
    fs::create_dir_all(below(&root, &step::repository().join("tests"))?)?;
    let init = root.join("init");
    fs::write(&init, script(built, filter))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let image = folder.join("initramfs.cpio");
    pack(&root, &image)?;
    fs::remove_dir_all(root)?;
    Ok(image)
}

/// What the first process of the machine runs.
fn script(built: &Built, filter: Option<&str>) -> String {
    let mut run = String::new();
    let filter = filter.unwrap_or_default();
    for Suite { name, program, threads } in &built.suites {
        let program = program.display();
        run += &format!("echo 'vm: suite {name}'\n");
        run +=
            &format!("{program} --include-ignored --nocapture --test-threads={threads} {filter}\n");
        run += &format!("echo \"vm: suite {name} ended with $?\"\n");
    }
    include_str!("init.sh")
        .replace("@SLOWNESS@", &SLOWNESS.to_string())
        .replace("@PROGRAMS@", &format!("/{COMPILED}"))
        .replace("@REPOSITORY@", &step::repository().display().to_string())
        .replace("@RUN@", &run)
}

/// Compiles what techniques run, as the suite does it on a host.
fn compile(root: &Path) -> Result<()> {
    for entry in fs::read_dir(step::repository().join("tests").join(SOURCES))? {
        let source = entry?.path();
        let name = source.file_stem().context("a source has no name")?;
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-pthread", "-o"]).arg(root.join(COMPILED).join(name)).arg(&source);
        step::run_command(&mut cc)?;
    }
    Ok(())
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The standard library of the interpreter that the suites use.
fn python_library(files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"]);
    let output = python.output().context("failed to start `/usr/bin/python3`")?;
    ensure!(output.status.success(), "`/usr/bin/python3` does not work");
    let library = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    add_folder(&library, files)
}

fn add_folder(folder: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no `{}`", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() {
            files.insert(entry.path());
        } else if entry.path().is_dir()
            && !LEFT_OUT.contains(&name.as_str())
            && !name.starts_with("config-")
        {
            add_folder(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// The libraries that programs and extensions are linked with.
fn libraries(files: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let linked = files
        .iter()
        .filter(|file| file.extension().is_none_or(|extension| extension == "so") && is_elf(file));
    let output = Command::new("ldd").args(linked).output().context("failed to start `ldd`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.lines().filter(|line| line.starts_with('\t')).flat_map(str::split_whitespace);
    Ok(words.filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

fn is_elf(file: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 4];
    File::open(file).and_then(|mut file| file.read_exact(&mut head)).is_ok() && &head == b"\x7fELF"
}

/// Where a file of the host is in the image.
fn below(root: &Path, file: &Path) -> Result<PathBuf> {
    let inside = file.strip_prefix("/").with_context(|| format!("`{}`", file.display()))?;
    Ok(root.join(inside))
}

/// Puts a file, or what a symbolic link leads to, at its own path.
fn place(file: &Path, root: &Path) -> Result<()> {
    let to = below(root, file)?;
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(file, &to).with_context(|| format!("failed to copy `{}`", file.display()))?;
    // Python takes what it compiled earlier only if the source is as old as it was then.
    let modified = fs::metadata(file)?.modified()?;
    Ok(File::options().append(true).open(&to)?.set_modified(modified)?)
}

/// Debug information makes most of a test program, and fills the machine's memory.
fn strip(program: &Path, root: &Path) -> Result<()> {
    let mut objcopy = Command::new("objcopy");
    step::run_command(objcopy.arg("--strip-debug").arg(below(root, program)?))
}

fn pack(root: &Path, image: &Path) -> Result<()> {
    let mut names = String::new();
    list(root, root, &mut names)?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "--create", "--format=newc", "--owner=0:0"]).current_dir(root);
    cpio.stdin(Stdio::piped()).stdout(File::create(image)?);
    let mut child = cpio.spawn().context("failed to start `cpio`")?;
    let mut input = child.stdin.take().context("`cpio` has no stdin")?;
    std::io::Write::write_all(&mut input, names.as_bytes())?;
    drop(input);
    ensure!(child.wait()?.success(), "`cpio` failed");
    Ok(())
}

/// The paths below a folder, each folder before what is in it.
fn list(folder: &Path, root: &Path, names: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?;
        names.push_str(name.to_str().context("a path is not UTF-8")?);
        names.push('\n');
        if path.is_dir() {
            list(&path, root, names)?;
        }
    }
    Ok(())
}
