// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No room on the disk: nothing that cannot be recorded happens, and it heals when there is room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;

use crate::scene::{Scene, bundle, expect_words, wait_until};

/// A file system with very little room.
struct Small(PathBuf);

impl Small {
    fn mount(path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        let size = Some("size=4m,mode=711");
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), size).unwrap();
        Self(path.to_owned())
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        umount2(&self.0, MntFlags::MNT_DETACH).ok();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_full_disk_denies_is_told_and_heals() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let small = Small::mount(&scene.host.state());
    scene.start_daemon();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let filler = small.fill();
    // Bodies and records need room; the first that finds none is the end of being served.
    let text = |number: u32| format!("while it is full {number} ").repeat(60);
    let mut number = 0;
    let denied = loop {
        let answer = guest.chat(&text(number));
        if answer["exception"].is_string() {
            break answer;
        }
        number += 1;
        assert!(number < 2000, "a full disk is not noticed");
    };
    assert_eq!(denied["status"], 503, "{denied}");
    assert_eq!(denied["code"], "enforcer_journal_unavailable");
    let received = scene.openai.log().received().len();
    assert_eq!(guest.chat("no")["status"], 503);
    assert_eq!(scene.openai.log().received().len(), received, "nothing unrecorded goes out");
    let status = scene.cli(&["status"]).expect_code(1).unwrap();
    expect_words(&status.stdout, &["NOT healthy", "journal", "failing", "No space"]);
    let run = scene.run(&["true"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    expect_words(&run.stderr, &["nothing can be recorded"]);

    fs::remove_file(filler).unwrap();
    wait_until("a healthy daemon", || scene.cli(&["status"]).code == Some(0));
    assert_eq!(guest.chat("after")["exception"], Value::Null);
    guest.end();
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.host.stop_daemon().unwrap();
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.cli(&["uninstall"]).checked().unwrap();
    drop(small);
    scene.finish();
}
