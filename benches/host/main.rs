// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the programs cost a process that nobody guards: its `connect()`, its packets, and starting processes.
//!
//! With and without alternate in one run, and what counts is the median of the differences of neighbors: a busy
//! machine disturbs both alike. Two ways of "without": beside the attached cgroup (many short rounds, but the
//! kernel's switch for cgroup programs is on), and with everything detached (few rounds, and nothing is on).
#![forbid(unsafe_code)]

mod client;
mod place;
mod result;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use enforcer_core::model::AgentName;
use enforcer_user::kernel::Kernel;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use serde_json::{Value, json};

use crate::client::{Client, Kind};
use crate::place::Place;
use crate::result::{Comparison, Hook, Report};

/// What a `connect()` may cost more, in nanoseconds.
const CONNECT_MORE_MAX: f64 = 1000.0;
/// Rounds that are gone through in each comparison, and how often each does it.
const ROUNDS_BESIDE: u32 = 400;
const REPEATS: u32 = 250;
const ROUNDS_DETACHED: u32 = 20;
const REPEATS_DETACHED: u32 = 2000;
const SPAWNS: u32 = 100;
/// How often each thing is done while the kernel measures the programs.
const STATS_REPEATS: u32 = 20_000;
const STATS_SPAWNS: u32 = 500;
/// Addresses of endpoints while everybody is watched; nothing that is measured goes there.
const ENDPOINTS: u32 = 1000;
const FIRST_ENDPOINT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("client") {
        return client::run();
    }
    let out = std::env::args().nth(1).context("usage: bench-host RESULT.json")?;
    ensure!(geteuid().is_root(), "needs root");
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    place::set_up_namespaces()?;
    let place = Place::new()?;
    let mut client = Client::start()?;
    let kernel = place.attach()?;
    let beside = compare_beside(&place, &mut client)?;
    watch_everybody(&kernel)?;
    let watched = compare_beside(&place, &mut client)?;
    let hooks = measure_hooks(&place, &kernel, &mut client)?;
    drop(kernel);
    place.detach()?;
    let detached = compare_detached(&place, &mut client)?;
    let report = Report { beside, watched, detached, hooks };
    report.print()?;
    write(Path::new(&out), &report)?;
    let more = report.connect_more();
    ensure!(more <= CONNECT_MORE_MAX, "connect() costs {more:.0} ns more");
    Ok(())
}

/// As a bundle does in which any process is an agent on its way to an endpoint.
fn watch_everybody(kernel: &Kernel) -> Result<()> {
    let addresses = (0..ENDPOINTS).map(|number| {
        SocketAddr::from((Ipv4Addr::from_bits(FIRST_ENDPOINT.to_bits() + number), 443))
    });
    ensure!(kernel.set_endpoints(&addresses.collect())? == 0, "too many endpoints");
    kernel.watch_any(Some(&AgentName::new("shadow")))?;
    Ok(())
}

/// The client goes to and fro between the attached cgroup and its neighbor.
fn compare_beside(place: &Place, client: &mut Client) -> Result<Vec<Comparison>> {
    let compare = |kind| {
        let mut pairs = Vec::new();
        for _ in 0..ROUNDS_BESIDE {
            client.enter(&place.beside)?;
            let without = client.measure(kind, REPEATS)?;
            client.enter(&place.attached)?;
            pairs.push((without, client.measure(kind, REPEATS)?));
        }
        Ok(Comparison::new(kind, pairs))
    };
    [Kind::Socket, Kind::Connect, Kind::Refused, Kind::Echo].into_iter().map(compare).collect()
}

/// The client stays, the programs come and go. The only way for those that see the whole host.
fn compare_detached(place: &Place, client: &mut Client) -> Result<Vec<Comparison>> {
    client.enter(&place.attached)?;
    let repeats = |kind| if kind == Kind::Spawn { SPAWNS } else { REPEATS_DETACHED };
    let mut pairs: Vec<_> = Kind::ALL.iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..ROUNDS_DETACHED {
        let mut without = Vec::new();
        for (kind, _) in &pairs {
            without.push(client.measure(*kind, repeats(*kind))?);
        }
        let kernel = place.attach()?;
        for ((kind, pairs), without) in pairs.iter_mut().zip(without) {
            pairs.push((without, client.measure(*kind, repeats(*kind))?));
        }
        drop(kernel);
        place.detach()?;
    }
    Ok(pairs.into_iter().map(|(kind, pairs)| Comparison::new(kind, pairs)).collect())
}

/// The kernel's own count of nanoseconds in each program, for a process that is not guarded.
fn measure_hooks(place: &Place, kernel: &Kernel, client: &mut Client) -> Result<Vec<Hook>> {
    client.enter(&place.attached)?;
    let stats = enable_stats(Stats::RunTime)?;
    for kind in Kind::ALL {
        client.measure(kind, if kind == Kind::Spawn { STATS_SPAWNS } else { STATS_REPEATS })?;
    }
    let states = kernel.programs();
    let infos = loaded_programs().filter_map(Result::ok);
    let hook = |info: aya::programs::ProgramInfo| {
        let state = states.iter().find(|state| state.program == Some(info.id()))?;
        Some(Hook { name: state.name, runs: info.run_count(), time: info.run_time() })
    };
    let hooks = infos.filter_map(hook).filter(|hook| hook.runs > 0).collect();
    drop(stats);
    Ok(hooks)
}

fn write(path: &Path, report: &Report) -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: "));
    let machine: Value = json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "cpu": model,
        "cpus": std::thread::available_parallelism()?.get(),
        "load": read("/proc/loadavg").trim(),
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
    });
    let text =
        serde_json::to_string_pretty(&json!({ "machine": machine, "result": report.json() }))?;
    std::fs::write(path, text + "\n")
        .with_context(|| format!("failed to write `{}`", path.display()))
}
