// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Serves guarded processes in network namespaces of their own: opens the doors inside, and closes them when
//! no guarded process is left there.
//!
//! The listeners belong to the namespace, everything else (the resolver's questions, upstream connections) stays
//! in the daemon's own. Until the doors of a namespace are open, and if they cannot be opened, the programs
//! refuse there. A namespace is served only while a labeled process is in it: nobody else's is touched. One in
//! which a connection to an endpoint alone made an agent is served while anybody is in it, because the next one
//! there would be refused otherwise.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use enforcer_core::model::{Fault, limits};
use nix::sched::{CloneFlags, setns};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::reception::Reception;
use crate::intake::Doors;
use crate::kernel::{self, Kernel, Ports};
use crate::runtime;

/// The namespaces that are served besides the daemon's own.
pub(super) struct Namespaces {
    kernel: Arc<Kernel>,
    reception: Reception,
    /// Inode of the daemon's own namespace.
    own: u64,
    /// By the inode of the namespace, which lives as long as the doors in it.
    served: HashMap<u64, Served>,
    /// How many there are, for the status.
    count: Arc<AtomicUsize>,
}

struct Served {
    cookie: u64,
    /// Opened for a process that a connection to an endpoint alone made an agent.
    is_anybodys: bool,
    tasks: Vec<JoinHandle<()>>,
}

impl Namespaces {
    /// Serves none yet.
    ///
    /// # Errors
    /// When the daemon's own namespace cannot be read.
    pub(super) fn new(
        kernel: Arc<Kernel>,
        reception: Reception,
        count: Arc<AtomicUsize>,
    ) -> anyhow::Result<Self> {
        let own = inode_of(std::process::id()).context("cannot read the own network namespace")?;
        Ok(Self { kernel, reception, own, served: HashMap::new(), count })
    }

    /// Serves the namespaces of processes that are announced, and those that are found by looking, until the
    /// drain begins.
    pub(super) async fn serve(mut self, mut wanted: mpsc::Receiver<u32>) {
        let mut interval = tokio::time::interval(limits::NAMESPACE_SWEEP_INTERVAL);
        let mut draining = self.reception.draining.clone();
        loop {
            tokio::select! {
                // A drain is over when nobody holds it any more, so this may not outlive its begin.
                () = draining.begun() => return,
                pid = wanted.recv() => match pid {
                    Some(pid) => self.open_wanted(pid).await,
                    None => return,
                },
                _tick = interval.tick() => self.sweep().await,
            }
            self.count.store(self.served.len(), Ordering::Relaxed);
        }
    }

    /// Opens what guarded processes need, closes what none needs any more; doors that an earlier daemon
    /// announced and nobody serves are taken back.
    async fn sweep(&mut self) {
        let alarms = self.reception.enforcer.alarms.clone();
        match self.look().await {
            Ok(()) => alarms.clear(Fault::Namespaces),
            Err(problem) => alarms.raise(Fault::Namespaces, format!("{problem:#}")),
        }
    }

    /// The first thing that went wrong; the rest is done nevertheless.
    async fn look(&mut self) -> anyhow::Result<()> {
        let pids = self.kernel.labeled_processes().context("they are not looked at")?;
        let mut all_served = Ok(());
        let mut live = HashSet::new();
        for pid in pids {
            // A process that is gone needs nothing.
            let Some(inode) = inode_of(pid) else { continue };
            if live.insert(inode) {
                let served = self.open_for(pid).await;
                all_served = all_served.and(served);
            }
        }
        let is_left =
            |(inode, served): (&u64, &Served)| served.is_anybodys && !live.contains(inode);
        let inhabited = if self.served.iter().any(is_left) { inhabited() } else { HashSet::new() };
        self.served.retain(|inode, served| {
            let is_live = live.contains(inode) || (served.is_anybodys && inhabited.contains(inode));
            if !is_live {
                served.close(&self.kernel);
            }
            is_live
        });
        let served: HashSet<u64> = self.served.values().map(|served| served.cookie).collect();
        let recorded = self.kernel.doors_elsewhere();
        for cookie in recorded.context("doors that nobody serves are not taken back")? {
            if !served.contains(&cookie) {
                close_door(&self.kernel, cookie);
            }
        }
        all_served
    }

    /// Serves the namespace of a process that was refused there.
    async fn open_wanted(&mut self, pid: u32) {
        if let Err(problem) = self.open_for(pid).await {
            let alarms = &self.reception.enforcer.alarms;
            alarms.raise(Fault::Namespaces, format!("{problem:#}"));
        }
    }

    async fn open_for(&mut self, pid: u32) -> anyhow::Result<()> {
        // A process that is gone needs nothing.
        let Ok(namespace) = File::open(format!("/proc/{pid}/ns/net")) else { return Ok(()) };
        let Ok(inode) = namespace.metadata().map(|found| found.ino()) else { return Ok(()) };
        if inode == self.own || self.served.contains_key(&inode) {
            return Ok(());
        }
        // Only now: the id may have been given to another process before its namespace was opened.
        if self.kernel.labeled(pid)?.is_none() {
            return Ok(());
        }
        let most = limits::NAMESPACES_MAX;
        ensure!(self.served.len() < most, "{most} are served already; others stay refused");
        let is_anybodys = matches!(self.kernel.is_agent(pid), Ok(false));
        let opened = self.open(namespace, is_anybodys).await;
        let opened = opened.with_context(|| format!("that of process {pid} is not served"))?;
        if let Some(served) = opened {
            tracing::info!(pid, cookie = served.cookie, "a network namespace is served");
            self.served.insert(inode, served);
        }
        Ok(())
    }

    /// Nothing as long as its loopback device is down: the next attempt of the process asks again.
    async fn open(&self, namespace: File, is_anybodys: bool) -> anyhow::Result<Option<Served>> {
        let (kernel, runtime) = (Arc::clone(&self.kernel), Handle::current());
        let opened = runtime::apart(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("cannot enter it")?;
            let Ok(cookie) = kernel::netns_cookie() else { return anyhow::Ok(None) };
            let recorded = kernel.door(cookie)?.map(|ports| (ports.proxy, ports.resolver));
            let doors = match runtime.block_on(Doors::open(recorded)) {
                Err(_taken) if recorded.is_some() => runtime.block_on(Doors::open(None)),
                opened => opened,
            };
            Ok(Some((cookie, doors?)))
        });
        let Some((cookie, doors)) = opened.await?? else { return Ok(None) };
        let ports = Ports { proxy: doors.proxy_port, resolver: doors.resolver_port };
        let tasks = self.reception.serve(doors, Some(cookie));
        let served = Served { cookie, is_anybodys, tasks };
        if let Err(error) = self.kernel.open_door(cookie, ports) {
            served.abort();
            return Err(error.into());
        }
        Ok(Some(served))
    }
}

impl Served {
    fn close(&self, kernel: &Kernel) {
        close_door(kernel, self.cookie);
        self.abort();
        tracing::info!(cookie = self.cookie, "a network namespace is not served any more");
    }

    /// Lets go of the listeners; connections that run go on to their end.
    fn abort(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn close_door(kernel: &Kernel, cookie: u64) {
    if let Err(error) = kernel.close_door(cookie) {
        tracing::warn!(cookie, error = runtime::chain(&error), "a door is not taken back");
    }
}

/// The network namespaces that some process is in.
fn inhabited() -> HashSet<u64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(inode_of).collect()
}

/// The network namespace of a process; none when it is gone.
fn inode_of(pid: u32) -> Option<u64> {
    fs::metadata(format!("/proc/{pid}/ns/net")).map(|found| found.ino()).ok()
}
