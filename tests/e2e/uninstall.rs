// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer uninstall`: refuses while somebody is guarded, and leaves nothing but what was recorded.

use std::collections::BTreeSet;
use std::fs;

use enforcer_tests::residue;

use crate::scene::{Scene, expect_words, wait_until};

/// Ids of the programs and links that this host's pins hold.
fn pinned(scene: &Scene) -> (BTreeSet<u32>, BTreeSet<u32>) {
    residue::pinned(&scene.host.folder().join("bpf/v1/links")).unwrap().into_iter().unzip()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn it_refuses_while_a_daemon_runs_or_a_session_lives() {
    let mut scene = Scene::start();
    let guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let session = scene.alive()[0].clone();
    let output = scene.cli(&["uninstall"]).expect_code(3).unwrap();
    expect_words(&output.stderr, &["daemon is running", "hint: "]);
    scene.host.stop_daemon().unwrap();
    let output = scene.cli(&["uninstall"]).expect_code(3).unwrap();
    let pid = guest.pid().to_string();
    expect_words(&output.stderr, &["still guarded", &session, &pid, "hint: "]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn it_leaves_nothing_in_the_kernel_or_on_the_host_but_the_state() {
    let mut scene = Scene::start();
    scene.run(&["true"]).checked().unwrap();
    let (programs, links) = pinned(&scene);
    assert!(programs.len() >= 8 && links.len() == programs.len(), "{programs:?} {links:?}");
    scene.host.stop_daemon().unwrap();
    let (socket, state) = (scene.host.socket(), scene.host.state());
    assert!(!socket.exists());
    let output = scene.cli(&["uninstall"]).checked().unwrap();
    expect_words(&output.stdout, &["detached", "unpinned", "cgroup"]);
    expect_words(&output.stderr, &["is kept", "--purge-state"]);
    let left: BTreeSet<u32> = residue::programs().into_iter().map(|(id, _)| id).collect();
    assert!(left.is_disjoint(&programs));
    assert!(residue::links().is_disjoint(&links));
    assert_eq!(scene.host.left(), Vec::<String>::new());
    assert_eq!(fs::read_dir(scene.host.folder().join("bpf")).unwrap().count(), 0);
    let left: BTreeSet<String> = fs::read_dir(scene.host.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expect = ["bpf", "daemon.log", "enforcer.toml", "state", "upstream-ca.pem"];
    assert_eq!(left, expect.map(str::to_owned).into());
    scene.cli(&["session", "list"]).checked().unwrap();
    let again = scene.cli(&["uninstall"]).checked().unwrap();
    expect_words(&again.stdout, &["nothing to remove"]);
    scene.cli(&["uninstall", "--purge-state"]).checked().unwrap();
    assert!(!state.exists());
    let again = scene.cli(&["uninstall", "--purge-state"]).checked().unwrap();
    expect_words(&again.stdout, &["nothing to remove"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn it_removes_what_a_killed_daemon_left() {
    let mut scene = Scene::start();
    let (programs, _) = pinned(&scene);
    scene.host.kill_daemon().unwrap();
    let socket = scene.host.socket();
    assert!(socket.exists());
    scene.cli(&["uninstall"]).checked().unwrap();
    assert!(!socket.exists());
    let left: BTreeSet<u32> = residue::programs().into_iter().map(|(id, _)| id).collect();
    assert!(left.is_disjoint(&programs));
    scene.finish();
}
