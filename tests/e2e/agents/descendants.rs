// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whatever an agent becomes or starts is the agent, to the last process.

use std::fs;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use crate::scene::{Scene, alone, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn descendants_made_in_any_way_are_guarded() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    let to = scene.openai.address().to_string();
    wait_until("the session", || scene.alive().len() == 1);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    // Without a daemon a guarded connect is refused, and an unguarded one is accepted by the provider.
    for how in ["fork", "double_fork", "setsid", "vfork"] {
        let found = guest.ask(&json!({"do": "child", "how": how, "to": to}));
        assert_eq!(found["error"], "ECONNREFUSED", "{how}");
    }
    assert_eq!(scene.openai.log().connections(), 0);
    scene.host.start_daemon().unwrap();
    drop(alone);
    for how in ["fork", "double_fork", "setsid", "vfork"] {
        let found = guest.ask(&json!({"do": "child", "how": how, "to": to}));
        assert_eq!(found["error"], Value::Null, "{how}");
    }
    assert_eq!(scene.openai.log().connections(), 0);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_session_ends_when_its_last_process_is_gone_and_not_before() {
    let scene = Scene::start();
    let gate = scene.host.folder().join("gate");
    mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let wait = format!("setsid sh -c 'read line < {}' > /dev/null 2>&1 &", gate.display());
    scene.run(&["sh", "-c", &wait]).checked().unwrap();
    let session = scene.alive();
    assert_eq!(session.len(), 1);
    assert_eq!(scene.sessions()[0]["ended"], Value::Null);
    fs::write(&gate, "go\n").unwrap();
    wait_until("the end of the session", || scene.alive().is_empty());
    assert_ne!(scene.sessions()[0]["ended"], Value::Null);
    assert_eq!(
        fs::read_dir(scene.host.cgroup().join("enforcer"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .count(),
        0
    );
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn hundreds_of_children_at_once_are_all_guarded() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    let to = scene.openai.address().to_string();
    let found = guest.ask(&json!({"do": "children", "count": 400, "to": to}));
    assert_eq!(found, json!({"ECONNREFUSED": 400}));
    assert_eq!(scene.openai.log().connections(), 0);
    scene.host.start_daemon().unwrap();
    drop(alone);
    let found = guest.ask(&json!({"do": "children", "count": 400, "to": to}));
    assert_eq!(found, json!({"None": 400}));
    assert_eq!(scene.openai.log().connections(), 0);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_agent_that_makes_cgroups_of_its_own_stays_guarded_and_is_cleaned_up() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let session = scene.host.cgroup().join("enforcer").join(&scene.alive()[0]);
    let below = session.join("own/deep");
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("cgroup.procs"), guest.pid().to_string()).unwrap();
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    assert_eq!(guest.connect(scene.openai.address())["error"], "ECONNREFUSED");
    scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(scene.alive().len(), 1);
    guest.end();
    wait_until("the end of the session", || scene.alive().is_empty());
    assert!(!session.exists());
    scene.finish();
}
