// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the demo plays on: two stand-in servers, a datagram listener, a host of its own.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use enforcer_tests::command::{Interrupt, poll};
use enforcer_tests::host::{HostOptions, NAME_PREFIX};
use enforcer_tests::provider::Options;
use enforcer_tests::{Authority, FakeUpstream, TestHost, repository, residue};

use crate::screen::Screen;

/// Pause between the events of a streamed answer: long enough to see them arrive one by one.
const PACE: Duration = Duration::from_millis(40);
/// A loopback address that nothing else uses, for the datagram on port 443.
const DATAGRAM_ADDRESS: &str = "127.0.0.43:443";
/// Lines of the daemon's log that a failure shows.
const LOG_TAIL_LINES: usize = 30;
/// Time for the kernel to let go of programs whose links are gone.
const KERNEL_LIMIT: Duration = Duration::from_secs(10);

/// Everything that runs during the demo.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) screen: &'a Screen,
    pub(crate) host: TestHost,
    /// Answers as `api.openai.com`.
    pub(crate) openai: FakeUpstream,
    /// Answers as a host that no endpoint names.
    pub(crate) other: FakeUpstream,
    pub(crate) datagrams: UdpSocket,
    pub(crate) python: PathBuf,
}

impl<'a> Stage<'a> {
    /// Sets everything up and starts the daemon.
    pub(crate) fn set(screen: &'a Screen, interrupt: &Interrupt) -> Result<Self> {
        screen.heading("Setting the stage");
        for folder in TestHost::sweep()? {
            screen.pair("removed", &format!("{}, left by a killed run", folder.display()));
        }
        let python = enforcer_tests::python()?;
        let authority = Authority::new("Stand-in provider CA")?;
        let openai =
            FakeUpstream::start(&authority, &Options { pace: PACE, ..Options::default() })?;
        let other = FakeUpstream::start(
            &authority,
            &Options { names: vec![OTHER_HOST.to_owned()], ..Options::default() },
        )?;
        let datagrams = UdpSocket::bind(DATAGRAM_ADDRESS)
            .with_context(|| format!("failed to listen on UDP `{DATAGRAM_ADDRESS}`"))?;
        datagrams.set_nonblocking(true)?;
        let host = TestHost::start(&HostOptions {
            policies: bundle("openai-agents"),
            upstream_ca: authority.pem().to_owned(),
            resolve: vec![("api.openai.com".to_owned(), vec![openai.address()])],
            interrupt: interrupt.clone(),
        })?;
        screen.pair("provider", &format!("a stand-in for api.openai.com on {}", openai.address()));
        screen.pair("daemon", &format!("enforcer daemon --config {}", host.config().display()));
        screen.pair("bundle", "policies/openai-agents");
        Ok(Self { screen, host, openai, other, datagrams, python })
    }

    /// Ends and removes everything.
    pub(crate) fn clear(&mut self) -> Result<()> {
        self.screen.heading("Cleaning up");
        self.host.finish()
    }

    pub(crate) fn datagram_address(&self) -> &'static str {
        DATAGRAM_ADDRESS
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.host.daemon_log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines.get(from..).unwrap_or_default().join("\n")
    }
}

/// A host that the bundle does not name.
pub(crate) const OTHER_HOST: &str = "other.example";

/// Folder of a bundle.
pub(crate) fn bundle(name: &str) -> PathBuf {
    repository().join("policies").join(name)
}

/// Programs and links in the kernel, to be compared before and after.
#[derive(Debug)]
pub(crate) struct KernelView {
    programs: BTreeSet<(u32, String)>,
    links: BTreeSet<u32>,
}

impl KernelView {
    pub(crate) fn now() -> Self {
        Self { programs: residue::programs(), links: residue::links() }
    }

    /// Fails if something is there that was not there before.
    pub(crate) fn compare(&self, interrupt: &Interrupt) -> Result<()> {
        // Programs go a grace period after their last link.
        let gone = poll("an empty kernel", KERNEL_LIMIT, &Interrupt::default(), || {
            let now = Self::now();
            let is_clean =
                now.programs.is_subset(&self.programs) && now.links.is_subset(&self.links);
            Ok(is_clean.then_some(()))
        });
        if gone.is_err() && !interrupt.is_raised() {
            let now = Self::now();
            let programs: Vec<_> = now.programs.difference(&self.programs).collect();
            let links: Vec<_> = now.links.difference(&self.links).collect();
            bail!("left in the kernel: programs {programs:?}, links {links:?}");
        }
        let cgroups = residue::cgroups_named(&format!("{NAME_PREFIX}-{}-", std::process::id()));
        if !cgroups.is_empty() {
            bail!("left on the host: {cgroups:?}");
        }
        Ok(())
    }
}
