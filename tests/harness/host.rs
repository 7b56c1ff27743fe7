// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A host of one's own for one test: state folder, cgroup, pins and daemon, and nothing left afterwards.
//!
//! The daemon and the command line are the built programs, used as a person would use them. Needs root.
//! Dropping a host ends and removes everything; [`TestHost::finish`] does the same and reports what is
//! left.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::command::{self, Interrupt, Output};
use crate::{residue, terminal};

/// First part of the name of every cgroup and folder that the harness makes.
pub const NAME_PREFIX: &str = "enforcer-test";
/// Folder of all hosts, below the target folder.
const HOSTS: &str = "hosts";
/// Time for one command of a test.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// Time for the daemon to answer after its start.
pub const READY_LIMIT: Duration = Duration::from_secs(60);
/// Time for the daemon to end after SIGTERM; longer than its own drain.
pub const STOP_LIMIT: Duration = Duration::from_secs(60);
/// The admin socket, in a folder of its own, which agents of root find read-only.
const SOCKET: &str = "enforcer/enforcer.sock";
/// Bytes that a Unix socket path may have (`sun_path`, with its final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How a host is set up.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// The bundle.
    pub policies: PathBuf,
    /// PEM text of the CA that upstream certificates are verified against.
    pub upstream_ca: String,
    /// Names answered by `[upstream.resolve]`.
    pub resolve: Vec<(String, Vec<SocketAddr>)>,
    /// Ends every wait when raised.
    pub interrupt: Interrupt,
}

/// A host of one's own.
#[derive(Debug)]
pub struct TestHost {
    folder: PathBuf,
    cgroup: Cgroup,
    daemon: Option<Child>,
    /// Words in front of the daemon's command line.
    prefix: Vec<String>,
    interrupt: Interrupt,
}

impl TestHost {
    /// Makes the folder, the cgroup and the configuration; starts nothing.
    ///
    /// # Errors
    /// If one of them cannot be made.
    pub fn new(options: &HostOptions) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{NAME_PREFIX}-{}-{number}", std::process::id());
        let folder = folder_for(&name)?;
        fs::create_dir_all(folder.join("bpf"))
            .with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
        let cgroup = Cgroup::new(&name)?;
        let interrupt = options.interrupt.clone();
        let host = Self { folder, cgroup, daemon: None, prefix: Vec::new(), interrupt };
        fs::write(host.folder.join("upstream-ca.pem"), &options.upstream_ca)?;
        fs::write(host.config(), host.config_text(&options.policies, &options.resolve))?;
        Ok(host)
    }

    /// [`Self::new`] and [`Self::start_daemon`].
    ///
    /// # Errors
    /// As those two.
    pub fn start(options: &HostOptions) -> Result<Self> {
        let mut host = Self::new(options)?;
        host.start_daemon()?;
        Ok(host)
    }

    /// Removes hosts whose run was killed before it could; returns their folders.
    ///
    /// # Errors
    /// If it is not known where hosts would be.
    pub fn sweep() -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(crate::target_folder()?.join(HOSTS)).into_iter().flatten();
        let left: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|folder| maker(folder).is_some_and(|pid| !is_alive(pid)))
            .collect();
        for folder in &left {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let cgroup = Cgroup::left(&name)?;
            for (pid, _) in residue::enforcers_naming(folder) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
            // Dropping it cleans up.
            drop(Self {
                folder: folder.clone(),
                cgroup,
                daemon: None,
                prefix: Vec::new(),
                interrupt: Interrupt::default(),
            });
        }
        Ok(left)
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// If it ends or does not answer in time; the text holds its log.
    pub fn start_daemon(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = self.prefixed(self.enforcer(&["daemon"])?);
        command::in_own_group(&mut command);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("failed to start `enforcer daemon`")?;
        self.daemon = Some(child);
        let interrupt = self.interrupt.clone();
        command::poll("an answer of the daemon", READY_LIMIT, &interrupt, || {
            if let Some(code) = self.daemon_exit()? {
                bail!("the daemon ended with {code:?} before it answered");
            }
            let status = self.cli(&["status", "--output", "json"])?;
            Ok(status.is_success().then_some(()))
        })
        .with_context(|| format!("log of the daemon:\n{}", self.daemon_log()))
    }

    /// Has the daemon started by another program, which has to become it: `env`, `unshare` and their like.
    pub fn start_daemon_by(&mut self, words: &[&str]) {
        self.prefix = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Process id of the daemon.
    ///
    /// # Errors
    /// If it does not run.
    pub fn daemon_pid(&self) -> Result<Pid> {
        pid(self.daemon.as_ref().context("the daemon does not run")?)
    }

    fn prefixed(&self, command: Command) -> Command {
        let Some((program, words)) = self.prefix.split_first() else { return command };
        let mut whole = Command::new(program);
        whole.args(words).arg(command.get_program()).args(command.get_args());
        whole
    }

    /// Exit code of the daemon if it has ended; the inner value is none if a signal ended it.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub fn daemon_exit(&mut self) -> Result<Option<Option<i32>>> {
        let Some(child) = &mut self.daemon else { return Ok(None) };
        Ok(child.try_wait()?.map(|status| status.code()))
    }

    /// Asks the daemon to end and waits for it.
    ///
    /// # Errors
    /// If it does not end in time or not with 0.
    pub fn stop_daemon(&mut self) -> Result<()> {
        let Some(mut child) = self.daemon.take() else { return Ok(()) };
        // One that a test has ended by itself is only asked for its exit code.
        if child.try_wait()?.is_none() {
            kill(pid(&child)?, Signal::SIGTERM).context("failed to signal the daemon")?;
        }
        // An interrupted test still stops its daemon in order.
        let ended = command::wait(&mut child, STOP_LIMIT, &Interrupt::default());
        if ended.is_err() {
            command::kill_group(&mut child);
        }
        match ended.context("the daemon got SIGTERM")? {
            Some(0) => Ok(()),
            code => bail!("the daemon ended with {code:?}; its log:\n{}", self.daemon_log()),
        }
    }

    /// Kills the daemon as a crash would: `SIGKILL`, no drain.
    ///
    /// # Errors
    /// If it does not run.
    pub fn kill_daemon(&mut self) -> Result<()> {
        let mut child = self.daemon.take().context("the daemon does not run")?;
        kill(pid(&child)?, Signal::SIGKILL).context("failed to kill the daemon")?;
        child.wait()?;
        Ok(())
    }

    /// An `enforcer` command with `--config` of this host.
    ///
    /// # Errors
    /// If the program is not built.
    pub fn enforcer(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(crate::built("enforcer")?);
        let (name, rest) = arguments.split_first().context("a subcommand is needed")?;
        // `session list` and the like take the option after the second word as well.
        command.arg(name).arg("--config").arg(self.config()).args(rest);
        Ok(command)
    }

    /// Runs an `enforcer` command to its end.
    ///
    /// # Errors
    /// If it cannot be started or does not end in time.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        self.to_end(self.enforcer(arguments)?)
    }

    /// Runs an `enforcer` command at a terminal, at which this text is typed.
    ///
    /// # Errors
    /// If it cannot be started or does not end in time.
    pub fn at_terminal(&self, arguments: &[&str], typed: &str) -> Result<Output> {
        terminal::run(self.enforcer(arguments)?, typed, COMMAND_LIMIT, &self.interrupt)
    }

    /// Runs a command as an agent.
    ///
    /// # Errors
    /// If it cannot be started or does not end in time.
    pub fn run(&self, agent: &str, words: &[&str]) -> Result<Output> {
        self.to_end(self.agent(agent, words)?)
    }

    /// The command that [`Self::run`] runs, to be started by the caller.
    ///
    /// # Errors
    /// If the program is not built.
    pub fn agent(&self, agent: &str, words: &[&str]) -> Result<Command> {
        let mut command = self.enforcer(&["run", "--agent", agent, "--"])?;
        command.args(words).env("OPENAI_API_KEY", "sk-not-a-real-key");
        Ok(command)
    }

    /// Runs a command beside the agents, with nothing of Enforcer around it.
    ///
    /// # Errors
    /// If it cannot be started or does not end in time.
    pub fn unguarded(&self, words: &[&str]) -> Result<Output> {
        let (program, arguments) = words.split_first().context("a command is needed")?;
        let mut command = Command::new(program);
        command.args(arguments).env("OPENAI_API_KEY", "sk-not-a-real-key");
        self.to_end(command)
    }

    fn to_end(&self, command: Command) -> Result<Output> {
        command::run(command, COMMAND_LIMIT, &self.interrupt)
    }

    /// Ends everything, removes everything, and reports what is left.
    ///
    /// # Errors
    /// If something cannot be ended or removed, or is left.
    pub fn finish(&mut self) -> Result<()> {
        self.stop_daemon()?;
        self.interrupt = Interrupt::default();
        self.cli(&["uninstall"])?.checked()?;
        let left = self.left();
        if !left.is_empty() {
            bail!("left on the host after `enforcer uninstall`:\n  {}", left.join("\n  "));
        }
        self.cgroup.remove()?;
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("failed to remove `{}`", self.folder.display()))
    }

    /// What of this host is outside its state folder: mounts, cgroups, processes.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let show = |path: PathBuf| path.display().to_string();
        let mounts = residue::mounts_below(&self.folder).into_iter();
        let cgroups = self.cgroup.children().into_iter();
        let processes = residue::enforcers_naming(&self.folder).into_iter();
        mounts
            .map(|path| format!("mount {}", show(path)))
            .chain(cgroups.map(|path| format!("cgroup {}", show(path))))
            .chain(processes.map(|(pid, line)| format!("process {pid}: {line}")))
            .collect()
    }

    /// Folder of everything this host writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of journal, CA and counters.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The admin socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// Folder of the pins.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.folder.join("bpf")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("enforcer.toml")
    }

    /// The cgroup below which the programs are attached.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// What the daemon wrote to stdout and stderr, over all its starts.
    #[must_use]
    pub fn daemon_log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("daemon.log")
    }

    fn config_text(&self, policies: &Path, resolve: &[(String, Vec<SocketAddr>)]) -> String {
        use std::fmt::Write as _;
        let folder = self.folder.display();
        let mut text = format!(
            "policies = {:?}\nstate = \"{folder}/state\"\nsocket = \"{folder}/{SOCKET}\"\n\
             cgroup = {:?}\nbpffs = \"{folder}/bpf\"\n\n[upstream]\n\
             roots = [\"{folder}/upstream-ca.pem\"]\n\n[upstream.resolve]\n",
            policies.display().to_string(),
            self.cgroup.path().display().to_string(),
        );
        for (name, addresses) in resolve {
            let quoted: Vec<String> =
                addresses.iter().map(|address| format!("\"{address}\"")).collect();
            // Writing to a string does not fail.
            writeln!(text, "\"{name}\" = [{}]", quoted.join(", ")).ok();
        }
        text
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        // The way out of a failed test: do all of it, whatever fails; `finish` is where errors count.
        if !self.folder.exists() {
            return;
        }
        // Agents first: while one is alive, uninstalling refuses to set it free.
        self.cgroup.kill().ok();
        self.stop_daemon().ok();
        // Not through the interrupt: cleaning up is what an interrupted test does.
        self.interrupt = Interrupt::default();
        self.cli(&["uninstall"]).ok();
        for mount in residue::mounts_below(&self.folder) {
            nix::mount::umount2(&mount, nix::mount::MntFlags::MNT_DETACH).ok();
        }
        self.cgroup.remove().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn pid(child: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(child.id())?))
}

/// The process that made a host's folder, from its name.
fn maker(folder: &Path) -> Option<u32> {
    let name = folder.file_name()?.to_str()?;
    name.strip_prefix(NAME_PREFIX)?.strip_prefix('-')?.split('-').next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Below the target folder, unless a Unix socket in there would have too long a path.
fn folder_for(name: &str) -> Result<PathBuf> {
    let folder = crate::target_folder()?.join(HOSTS).join(name);
    let socket = folder.join(SOCKET);
    if socket.as_os_str().len() < SOCKET_PATH_BYTES_MAX {
        return Ok(folder);
    }
    Ok(std::env::temp_dir().join(name))
}
