// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was recorded by the real daemon: proven, altered and found out, judged by another bundle.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scene::{ADDRESS, MODEL, Scene, bundle, expect_words, wait_until};

/// Three chats: one whose model the stricter bundle does not allow, one that it masks alike, and one denied
/// by both.
fn recorded() -> Scene {
    let mut scene = recording();
    scene.host.stop_daemon().unwrap();
    scene
}

/// The same with the daemon still running.
fn recording() -> Scene {
    let scene = Scene::start();
    let mut guest = scene.guest();
    for model in ["gpt-4.1", MODEL, "o3"] {
        let text = "write to maria.lopez@example.com";
        guest.ask(&serde_json::json!({"do": "chat", "model": model, "text": text}));
    }
    guest.end();
    wait_until("the end of the session", || scene.alive().is_empty());
    scene
}

fn verify(scene: &Scene) -> (Option<i32>, Value) {
    let output = scene.cli(&["session", "verify", "--output", "json"]);
    let report = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    (output.code, report)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Changes one byte in its place, verifies, changes it back.
fn altered(scene: &Scene, file: &Path, at: usize) -> (Option<i32>, Value) {
    let flip = || {
        let file = File::options().read(true).write(true).open(file).unwrap();
        let (mut byte, at) = ([0], u64::try_from(at).unwrap());
        file.read_exact_at(&mut byte, at).unwrap();
        byte[0] ^= 0x20;
        file.write_all_at(&byte, at).unwrap();
    };
    flip();
    let found = verify(scene);
    flip();
    found
}

fn names_a_record(report: &Value) -> bool {
    let problems = report["problems"].as_array().unwrap();
    problems.iter().any(|problem| problem["session"].is_string() && problem["sequence"].is_u64())
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn one_changed_byte_of_a_stored_body_is_found_and_its_record_named() {
    let scene = recorded();
    assert_eq!(verify(&scene).0, Some(0));
    let bodies = files_below(&scene.host.state().join("journal/bodies"));
    // Two requests and two answers; equal bodies are stored once.
    assert!(bodies.len() >= 3, "{bodies:?}");
    let session = scene.sessions()[0]["id"].clone();
    for body in &bodies {
        let length = fs::read(body).unwrap().len();
        for at in [0, length / 2, length - 1] {
            let (code, report) = altered(&scene, body, at);
            assert_eq!(code, Some(1), "{} at {at}", body.display());
            let problem = &report["problems"][0];
            assert_eq!(problem["session"], session, "{report}");
            assert!(names_a_record(&report), "{report}");
        }
    }
    let first = fs::read(&bodies[0]).unwrap();
    fs::remove_file(&bodies[0]).unwrap();
    assert_eq!(verify(&scene).0, Some(1), "a removed body is not missed");
    fs::write(&bodies[0], first).unwrap();
    assert_eq!(verify(&scene).0, Some(0), "restored bytes are clean");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn one_changed_byte_of_the_journal_is_found_and_a_record_named() {
    let scene = recorded();
    let journal = scene.host.state().join("journal");
    let is_data = |path: &PathBuf| path.file_name().is_some_and(|name| name == "db");
    let file = files_below(&journal).into_iter().find(is_data).expect("the data file");
    let bytes = fs::read(&file).unwrap();
    let of = |text: &str| {
        let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        found.unwrap_or_else(|| panic!("`{text}` is not in the journal"))
    };
    // Bytes of live records, then bytes spread over the whole file, used or not.
    let live = [of("gpt-4.1-mini") + 8, of("o3\""), of("exchange_opened") + 2, of("support")];
    let spread = (1..=8).map(|part| part * (bytes.len() - 1) / 8);
    for at in live.into_iter().chain(spread) {
        let (code, report) = altered(&scene, &file, at);
        assert_eq!(code, Some(1), "byte {at} of {}: {report}", bytes.len());
        assert!(names_a_record(&report), "byte {at}: {report}");
    }
    let shown = scene.cli(&["session", "verify"]).checked().unwrap();
    expect_words(&shown.stdout, &["verified:", "everything is as it was written"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_replay_finds_no_difference_by_the_same_bundle_and_the_exact_ones_by_a_stricter() {
    let mut scene = recorded();
    let replay = |scene: &Scene, name: &str, code: i32| {
        let folder = bundle(name).display().to_string();
        let words = ["replay", "--policies", &folder, "--output", "json"];
        let output = scene.cli(&words).expect_code(code).unwrap();
        serde_json::from_str::<Value>(&output.stdout).unwrap()
    };
    let check = |scene: &Scene| {
        let same = replay(scene, "openai-agents", 0);
        assert_eq!(same["differences"].as_array().unwrap().len(), 0, "{same}");
        assert_eq!(same["exchanges"], 3);
        let strict = replay(scene, "openai-agents-strict", 1);
        let events = scene.events_of_kind("exchange_opened");
        let expect = &events
            .iter()
            .find(|event| event["facts"]["operation"].to_string().contains("\"gpt-4.1\""))
            .unwrap()["exchange"];
        let found: BTreeSet<String> = strict["differences"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["exchange"].to_string())
            .collect();
        assert_eq!(found, BTreeSet::from([expect.to_string()]), "{strict}");
        assert_eq!(strict["allow_to_deny"], 1);
    };
    check(&scene);
    // The same through the running daemon.
    scene.start_daemon();
    check(&scene);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_byte_changed_behind_the_back_of_a_running_daemon_is_found() {
    let scene = recording();
    assert_eq!(verify(&scene).0, Some(0));
    let journal = scene.host.state().join("journal");
    let body = &files_below(&journal.join("bodies"))[0];
    let (code, report) = altered(&scene, body, 0);
    assert_eq!(code, Some(1), "{report}");
    assert!(names_a_record(&report), "{report}");
    let is_data = |path: &PathBuf| path.file_name().is_some_and(|name| name == "db");
    let file = files_below(&journal).into_iter().find(is_data).expect("the data file");
    let bytes = fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|window| window == b"gpt-4.1-mini").expect("the model");
    let (code, report) = altered(&scene, &file, at + 8);
    assert_eq!(code, Some(1), "{report}");
    assert!(names_a_record(&report), "{report}");
    assert_eq!(verify(&scene).0, Some(0));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_was_masked_stands_nowhere_in_the_state() {
    let scene = recorded();
    for file in files_below(&scene.host.state()) {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(ADDRESS.len()).any(|window| window == ADDRESS.as_bytes());
        assert!(!found, "{}", file.display());
    }
    let id = scene.sessions()[0]["id"].as_str().unwrap().to_owned();
    let played = scene.cli(&["session", "play", &id]).checked().unwrap().stdout;
    expect_words(&played, &["write to [email]", "ships tomorrow", "approved-models"]);
    assert!(!played.contains(ADDRESS), "{played}");
    scene.finish();
}
