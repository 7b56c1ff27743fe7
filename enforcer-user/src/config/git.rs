// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a bundle as it stands in a git revision, with the `git` program.
//!
//! What is read is exactly what [`super::bundle`] would read of the same files in a folder. Nothing of the
//! repository is executed: only trees and blobs are printed, no filter, hook or text conversion runs, and
//! nothing is fetched. Which repository that is, git says once; afterwards it does not look for one. Bounded by [`limits::BUNDLE_BYTES_MAX`], [`limits::BUNDLE_FILES_MAX`] and
//! [`limits::GIT_TIMEOUT`].

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use enforcer_core::model::limits;
use enforcer_core::policy::{CASES_FOLDER, INVENTORY_FILE, RULES_SUFFIX, SourceFile, Sources};

use super::bundle;

/// Why a bundle cannot be read from git.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files are there and are no bundle.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// The program did not run.
    #[error("failed to run `git`")]
    Run(#[source] io::Error),
    /// It did not come to an end.
    #[error("git took longer than {} s to read `{what}`", limits::GIT_TIMEOUT.as_secs())]
    TookTooLong {
        /// What was asked for.
        what: String,
    },
    /// It refused.
    #[error("failed to read `{what}` with git: {why}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its own words, the first line.
        why: String,
    },
}

/// Bytes of a listing: a line of a tree is shorter than this for each file of a bundle.
const LISTING_BYTES_MAX: u64 = limits::BUNDLE_FILES_MAX as u64 * 1024;
/// Bytes of git's complaint that are read.
const COMPLAINT_BYTES_MAX: u64 = 4096;
/// Bytes of a path that git prints, with the end of its line; `PATH_MAX` of `linux/limits.h`.
const PATH_BYTES_MAX: u64 = 4096;
/// Variables by which git is told of another repository; `git rev-parse --local-env-vars` lists them.
const OF_REPOSITORIES: [&str; 8] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_REPLACE_REF_BASE",
    "GIT_WORK_TREE",
];
/// Mode of a symbolic link in a tree.
const LINK: &str = "120000";

/// One file of a tree.
struct Blob {
    is_link: bool,
    id: String,
    bytes: u64,
    path: String,
}

/// Where git keeps what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Of a working tree: its `HEAD` and what else is its own.
    pub git_dir: PathBuf,
    /// Of all working trees: branches, objects, settings.
    pub common_dir: PathBuf,
    /// From the top of the working tree to the folder that was asked about: empty, or with a `/` at its end.
    pub prefix: String,
}

impl Repository {
    /// The repository that a folder is in, as git finds it.
    ///
    /// # Errors
    /// If it is in none that git may read.
    pub fn around(dir: &Path) -> Result<Self, Error> {
        let ask = |option: &str| {
            let mut command = command();
            command.arg("-C").arg(dir).args(["rev-parse", "--path-format=absolute", option]);
            let what = format!("{} of `{}`", option.trim_start_matches('-'), dir.display());
            let mut printed = done(command, PATH_BYTES_MAX, &what)?;
            printed.pop_if(|last| *last == b'\n');
            Ok::<_, Error>(OsString::from_vec(printed))
        };
        let prefix = ask("--show-prefix")?.into_string();
        let prefix = prefix.map_err(|prefix| bundle::Error::NotText(PathBuf::from(prefix)))?;
        let [git_dir, common_dir] = ["--git-dir", "--git-common-dir"].map(ask);
        Ok(Self { git_dir: git_dir?.into(), common_dir: common_dir?.into(), prefix })
    }

    /// Folders of objects that this repository borrows.
    ///
    /// # Errors
    /// If git does not say.
    pub fn borrowed(&self) -> Result<Vec<PathBuf>, Error> {
        let words = ["count-objects", "-v"];
        let printed = self.git(&words, LISTING_BYTES_MAX, "the objects")?;
        let lines = printed.split(|byte| *byte == b'\n');
        let borrowed = lines.filter_map(|line| line.strip_prefix(b"alternate: "));
        Ok(borrowed.map(|path| OsString::from_vec(path.to_vec()).into()).collect())
    }

    /// Reads the bundle at `REVISION:PATH`; a path that begins with `./` begins at [`Self::prefix`].
    ///
    /// # Errors
    /// See [`Error`]. Nothing is read partially.
    pub fn read_revision(&self, revision: &str, path: &str) -> Result<Sources, Error> {
        let tree = self.named(revision, path);
        let words = ["ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", tree.as_str()];
        let listing = self.git(&words, LISTING_BYTES_MAX, &tree)?;
        let listing = String::from_utf8(listing)
            .map_err(|_not_text| bundle::Error::NotText(PathBuf::from(&tree)))?;
        let mut files = Vec::new();
        let mut left = limits::BUNDLE_BYTES_MAX;
        let too_large = || bundle::Error::TooLarge(PathBuf::from(&tree));
        for blob in listing.split('\0').filter_map(blob) {
            let place = PathBuf::from(format!("{}/{}", tree.trim_end_matches('/'), blob.path));
            match part(&blob.path) {
                Part::None => continue,
                Part::Misplaced => return Err(bundle::Error::Misplaced(place).into()),
                Part::File if blob.is_link => {
                    return Err(bundle::Error::NotAPlainFile(place).into());
                }
                Part::File => {}
            }
            left = left.checked_sub(blob.bytes).ok_or_else(too_large)?;
            if files.len() == limits::BUNDLE_FILES_MAX {
                return Err(too_large().into());
            }
            let text = self.git(&["cat-file", "blob", &blob.id], blob.bytes, &tree)?;
            let text =
                String::from_utf8(text).map_err(|_not_text| bundle::Error::NotText(place))?;
            files.push(SourceFile { path: blob.path, text });
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Sources { files })
    }

    /// Reads one file as it stands in a revision; for the path see [`Self::read_revision`].
    ///
    /// # Errors
    /// See [`Error`]; also if it is larger than `bytes_max`.
    pub fn read_file(&self, revision: &str, path: &str, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let what = self.named(revision, path);
        self.git(&["cat-file", "blob", "--end-of-options", &what], bytes_max, &what)
    }

    fn named(&self, revision: &str, path: &str) -> String {
        match path.strip_prefix("./") {
            Some(inside) => format!("{revision}:{}{inside}", self.prefix),
            None => format!("{revision}:{path}"),
        }
    }

    fn git(&self, words: &[&str], bytes_max: u64, what: &str) -> Result<Vec<u8>, Error> {
        let mut command = command();
        command.env("GIT_DIR", &self.git_dir).env("GIT_COMMON_DIR", &self.common_dir);
        command.args(words);
        done(command, bytes_max, what)
    }
}

/// Reads the bundle at `REVISION:PATH`, in the repository that `dir` is in.
///
/// # Errors
/// See [`Error`]. Nothing is read partially.
pub fn read_revision(dir: &Path, revision: &str, path: &str) -> Result<Sources, Error> {
    Repository::around(dir)?.read_revision(revision, path)
}

/// What a path of the tree is for the bundle.
enum Part {
    File,
    Misplaced,
    None,
}

fn part(path: &str) -> Part {
    let mut names = path.split('/');
    let (first, second, more) = (names.next().unwrap_or_default(), names.next(), names.next());
    if path.split('/').any(|name| name.starts_with('.')) || more.is_some() {
        return Part::None;
    }
    match second {
        None if first == INVENTORY_FILE || first.ends_with(RULES_SUFFIX) => Part::File,
        None => Part::None,
        Some(name) if name.ends_with(RULES_SUFFIX) => Part::Misplaced,
        Some(name) if format!("{first}/") == CASES_FOLDER && name.ends_with(".toml") => Part::File,
        Some(_) => Part::None,
    }
}

/// `MODE blob ID SIZE<tab>PATH`; a submodule is no blob and belongs to no bundle.
fn blob(line: &str) -> Option<Blob> {
    let (about, path) = line.split_once('\t')?;
    let mut words = about.split_ascii_whitespace();
    let (mode, kind, id, bytes) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_blob = kind == "blob";
    is_blob.then_some(Blob {
        is_link: mode == LINK,
        id: id.to_owned(),
        bytes: bytes.parse().ok()?,
        path: path.to_owned(),
    })
}

/// Git without what the environment says about repositories: the folder alone decides.
fn command() -> Command {
    let mut command = Command::new("git");
    for variable in OF_REPOSITORIES {
        command.env_remove(variable);
    }
    command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0");
    command.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command
}

/// Runs git and gives what it prints, if that is not more than `bytes_max`.
fn done(command: Command, bytes_max: u64, what: &str) -> Result<Vec<u8>, Error> {
    let done = run_within(command, bytes_max, limits::GIT_TIMEOUT).map_err(Error::Run)?;
    let done = done.ok_or_else(|| Error::TookTooLong { what: what.to_owned() })?;
    if done.printed.len() as u64 > bytes_max {
        return Err(bundle::Error::TooLarge(PathBuf::from(what)).into());
    }
    if done.is_success {
        return Ok(done.printed);
    }
    let complaint = String::from_utf8_lossy(&done.complaint);
    let why = complaint.lines().next().unwrap_or("no reason given");
    let why = why.strip_prefix("fatal: ").unwrap_or(why).to_owned();
    Err(Error::Refused { what: what.to_owned(), why })
}

/// What a program said that came to its end.
struct Done {
    /// At most one byte more than allowed, which tells an output that ends there from one that goes on.
    printed: Vec<u8>,
    complaint: Vec<u8>,
    is_success: bool,
}

/// Runs a program; nothing comes back if it took too long, and then it is gone.
fn run_within(mut command: Command, bytes_max: u64, timeout: Duration) -> io::Result<Option<Done>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    // Disconnected when both readers are done; both at once, so that neither pipe fills up.
    let (reading, is_read) = mpsc::channel::<Infallible>();
    let (printed, complaint, is_late) = thread::scope(|scope| {
        let reading_too = reading.clone();
        let printed = scope.spawn(move || read_up_to(out, bytes_max.saturating_add(1), reading));
        let complaint = scope.spawn(move || read_up_to(err, COMPLAINT_BYTES_MAX, reading_too));
        let is_late = is_read.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
        if is_late {
            child.kill()?;
        }
        let read = |reader: ScopedJoinHandle<'_, io::Result<Vec<u8>>>| {
            reader.join().unwrap_or_else(|_panic| Err(io::Error::other("a reader panicked")))
        };
        io::Result::Ok((read(printed)?, read(complaint)?, is_late))
    })?;
    let is_success = child.wait()?.success();
    Ok((!is_late).then_some(Done { printed, complaint, is_success }))
}

fn read_up_to(
    pipe: Option<impl Read>,
    bytes_max: u64,
    _reading: mpsc::Sender<Infallible>,
) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(bytes_max).read_to_end(&mut read)?;
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn run(dir: &Path, words: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let done = Command::new("git").arg("-C").arg(dir).args(identity).args(words).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("policies/one");
        fs::create_dir_all(bundle.join("cases")).unwrap();
        fs::write(bundle.join("policy.toml"), "version = 1\n").unwrap();
        fs::write(bundle.join("a.cedar"), "// ä\n").unwrap();
        fs::write(bundle.join("cases/a.toml"), "").unwrap();
        fs::write(bundle.join("README.md"), [0xff]).unwrap();
        run(folder.path(), &["init", "-q"]);
        run(folder.path(), &["add", "-A"]);
        run(folder.path(), &["commit", "-qm", "one"]);
        folder
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_and_a_talkative_one_is_not_waited_for() {
        let of = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let never = run_within(of("exec sleep 600"), 10, Duration::from_millis(20)).unwrap();
        assert!(never.is_none());
        // More than a pipe holds, first where nobody looks.
        let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 3";
        let done = run_within(of(script), 10, limits::GIT_TIMEOUT).unwrap().unwrap();
        assert_eq!((done.printed.len(), done.complaint.len()), (11, 4096));
        assert!(!done.is_success);
    }

    #[test]
    fn a_revision_is_read_as_the_folder_was() {
        let folder = repository();
        let bundle = folder.path().join("policies/one");
        let from_folder = bundle::read_sources(&bundle).unwrap();
        fs::write(bundle.join("a.cedar"), "// later\n").unwrap();
        assert_eq!(read_revision(folder.path(), "HEAD", "policies/one").unwrap(), from_folder);
        assert_eq!(read_revision(&bundle, "HEAD", "./").unwrap(), from_folder);
    }

    #[test]
    fn links_stray_rules_and_unknown_revisions_are_refused() {
        let folder = repository();
        let bundle = folder.path().join("policies/one");
        let read = || read_revision(folder.path(), "HEAD", "policies/one");
        let commit = || {
            run(folder.path(), &["add", "-A"]);
            run(folder.path(), &["commit", "-qm", "more"]);
        };
        symlink("a.cedar", bundle.join("b.cedar")).unwrap();
        commit();
        assert!(matches!(read(), Err(Error::Bundle(bundle::Error::NotAPlainFile(_)))));
        fs::remove_file(bundle.join("b.cedar")).unwrap();
        fs::create_dir(bundle.join("more")).unwrap();
        fs::write(bundle.join("more/b.cedar"), "").unwrap();
        commit();
        assert!(matches!(read(), Err(Error::Bundle(bundle::Error::Misplaced(_)))));
        for (revision, path) in [("nothing", "policies/one"), ("HEAD", "x"), ("--help", "x")] {
            let refused = read_revision(folder.path(), revision, path).unwrap_err();
            assert!(matches!(refused, Error::Refused { .. }), "{revision}:{path}: {refused}");
        }
    }
}
