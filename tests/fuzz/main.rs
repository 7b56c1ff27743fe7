// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mutated bundles through the loader, the evaluator and the tools of the desk: whatever is said of a bundle, it
//! must be said, and in its place.
//!
//! Starts from every bundle of `policies/` and `tests/fixtures/policy/`. `cargo xtask fuzz --minutes 10` runs it
//! for long; a run is repeated with `ENFORCER_FUZZ_SEED`. A bundle that breaks something is left in
//! `target/fuzz/`, and so is the number of the round that ran last, for what ends the process.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test stops at the first thing that is not as expected, and says how far it came"
)]

mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enforcer_core::model::Facts;
use enforcer_core::policy::diff::{Side, compare};
use enforcer_core::policy::{Diagnostic, Place, Policy, Sources, cases, compile};
use enforcer_user::cli::policy::{Streams, draw};
use enforcer_user::config::bundle::read_sources;
use mutate::Random;

/// Seconds of a run in the suite.
const SECONDS: u64 = 3;
/// Stack of the thread that loads: what a worker of the daemon has.
const STACK_BYTES: usize = 2 * 1024 * 1024;

fn number(variable: &str, otherwise: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every bundle that is in the repository.
fn corpus() -> Vec<Sources> {
    let folders = ["policies", "tests/fixtures/policy/broken", "tests/fixtures/policy/odd"];
    let mut dirs: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("bundles"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    dirs.sort();
    dirs.iter().map(|dir| read_sources(dir).expect("a bundle")).collect()
}

fn check_places(sources: &Sources, found: &[Diagnostic]) {
    for problem in found {
        let Some(file) = sources.file(&problem.file) else { continue };
        if let (Some(span), Some(place)) = (&problem.span, problem.place) {
            assert!(file.text.get(span.clone()).is_some(), "{problem} has no place at {span:?}");
            assert_eq!(place, Place::of(&file.text, span.start), "{problem}");
        }
        assert!(!problem.message.is_empty());
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { out: &mut out, err: &mut err, colors: false, paints_data: false };
    draw(found, sources, &mut streams).expect("writing to memory");
}

/// Everything that is done with a bundle. True if it is valid.
fn load(sources: &Sources, facts: &[Facts], other: &(Policy, Sources)) -> bool {
    let compiled = match compile(sources) {
        Ok(compiled) => compiled,
        Err(errors) => {
            assert!(errors.error_count() > 0, "refused for nothing");
            check_places(sources, &errors.0);
            return false;
        }
    };
    check_places(sources, &compiled.warnings);
    let policy = &compiled.policy;
    match cases::run(policy, sources) {
        Ok(_report) => {}
        Err(errors) => check_places(sources, &errors.0),
    }
    for facts in facts {
        assert_eq!(policy.explain(facts).decision, policy.decide(facts));
    }
    let old = Side { policy: &other.0, sources: &other.1 };
    let new = Side { policy, sources };
    let _difference = compare(old, new);
    assert!(compare(new, new).is_empty(), "a bundle differs from itself");
    true
}

fn keep(sources: &Sources, folder: &Path) {
    for file in &sources.files {
        let path = folder.join(&file.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, &file.text).expect("written");
    }
}

fn run() {
    let (seconds, seed) =
        (number("ENFORCER_FUZZ_SECONDS", SECONDS), number("ENFORCER_FUZZ_SEED", 1));
    let corpus = corpus();
    let known = corpus.iter().find_map(|sources| {
        let policy = compile(sources).ok()?.policy;
        let report = cases::run(&policy, sources).ok()?;
        let facts: Vec<Facts> = report.cases.into_iter().filter_map(|case| case.facts).collect();
        Some(((policy, sources.clone()), facts))
    });
    let (other, facts) = known.expect("a valid bundle with cases");
    let is_valid = |sources: &&Sources| compile(sources).is_ok();
    let valid_ones: Vec<Sources> = corpus.iter().filter(is_valid).cloned().collect();
    let target = root().join("target/fuzz");
    fs::create_dir_all(&target).expect("a folder");
    let (started, mut round, mut valid) = (Instant::now(), 0_u64, 0_u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        round += 1;
        fs::write(target.join("last"), format!("ENFORCER_FUZZ_SEED={seed}, round {round}\n"))
            .expect("written");
        let sources = mutate::bundle(&valid_ones, &corpus, &mut Random::new(seed, round));
        match catch_unwind(AssertUnwindSafe(|| load(&sources, &facts, &other))) {
            Ok(is_valid) => valid += u64::from(is_valid),
            Err(_panic) => {
                let folder = target.join(format!("seed-{seed}-round-{round}"));
                keep(&sources, &folder);
                panic!("round {round} of seed {seed} broke something: {}", folder.display());
            }
        }
    }
    eprintln!("{round} bundles, {valid} of them valid, seed {seed}, {seconds} s");
    assert!(round > 10 && valid > 0 && valid < round, "{round} rounds, {valid} valid");
}

#[test]
fn no_bundle_makes_the_loader_panic() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    thread.expect("a thread").join().expect("no panic");
}
