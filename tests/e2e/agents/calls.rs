// SPDX-License-Identifier: Apache-2.0 OR MIT
//! System calls of the daemon fail: it says which, nothing passes meanwhile, and it goes on afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::faults::alarms::{recorded, wait_for_health, wait_for_shown};
use crate::scene::{MODEL, Scene, bundle};

/// A daemon whose system calls fail as [`Faults::set`] says.
struct Faults(PathBuf);

impl Faults {
    fn start() -> (Scene, Self) {
        let mut scene = Scene::set(&bundle("openai-agents"));
        let (library, file) =
            (scene.host.folder().join("faults.so"), scene.host.folder().join("faults"));
        let source = enforcer_tests::repository().join("tests/fixtures/faults.c");
        compile(&source, &library);
        fs::write(&file, "").unwrap();
        let preload = format!("LD_PRELOAD={}", library.display());
        let faults = format!("TEST_FAULTS={}", file.display());
        scene.host.start_daemon_by(&["env", &preload, &faults]);
        scene.start_daemon();
        (scene, Self(file))
    }

    fn set(&self, what: &str) {
        let fresh = self.0.with_extension("new");
        fs::write(&fresh, what).unwrap();
        fs::rename(fresh, &self.0).unwrap();
    }
}

pub(crate) fn compile(source: &Path, library: &Path) {
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(library).arg(source);
    assert!(compiler.status().unwrap().success());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_listener_that_cannot_accept_is_told_and_serves_what_waited() {
    let (scene, faults) = Faults::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let connections = scene.openai.log().connections();
    faults.set(&format!("accept {}", libc::ENOMEM));
    guest.send(&json!({"do": "chat", "model": MODEL, "text": "while it fails", "seconds": 120}));
    wait_for_shown(&scene, "listener", &["accept failed", "memory"]);
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    faults.set("");
    assert_eq!(guest.next()["exception"], Value::Null);
    wait_for_health(&scene);
    assert_eq!(recorded(&scene, "listener"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_resolver_that_cannot_receive_is_told_and_answers_afterwards() {
    let (scene, faults) = Faults::start();
    let mut guest = scene.guest();
    let name = "api.openai.com";
    assert_eq!(guest.resolve(name)["error"], Value::Null);
    faults.set(&format!("receive {}", libc::ENOMEM));
    guest.send(&json!({"do": "resolve", "name": name}));
    wait_for_shown(&scene, "listener", &["receive from", "memory"]);
    faults.set("");
    // The C library asks again by itself, and gives up after some seconds.
    let late = guest.next();
    assert!(late["error"].is_null() || late["error"] == "EAI_AGAIN", "{late}");
    wait_for_health(&scene);
    assert_eq!(guest.resolve(name)["error"], Value::Null);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn doors_that_cannot_be_read_are_told_until_they_can() {
    let (scene, faults) = Faults::start();
    let mut guest = scene.guest();
    faults.set(&format!("doors {}", libc::EPERM));
    wait_for_shown(&scene, "namespaces", &["doors", "DOORS"]);
    assert_eq!(guest.chat("those that are served go on")["exception"], Value::Null);
    faults.set("");
    wait_for_health(&scene);
    assert_eq!(recorded(&scene, "namespaces"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
}
