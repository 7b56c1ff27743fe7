// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Another folder behind the same path, put there by somebody outside: refused until the daemon is told, and the
//! last good bundle stays in force.

use std::fs;
use std::os::unix::fs::symlink;

use crate::rig::{Rig, bundle, wait_until};

/// Waits until it is refused in words that say what to do.
fn refused(rig: &Rig) {
    let told = format!(
        "is another folder than the one that was opened; if that is meant, tell the daemon: \
         `systemctl reload enforcer`, or `kill -HUP {}`",
        rig.host.daemon_pid().unwrap()
    );
    wait_until("the refusal", || {
        let status = rig.host.cli(&["status"]).unwrap();
        status.code == Some(1) && status.stdout.contains(&told)
    });
}

/// Waits until nothing is wrong any more.
fn healthy(rig: &Rig) {
    wait_until("health", || rig.host.cli(&["status"]).unwrap().code == Some(0));
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn another_folder_at_the_path_is_refused_until_the_daemon_is_told() {
    let rig = Rig::start();
    let (first, policies) = (rig.version(), rig.path("etc/enforcer/policies"));
    // A folder, one above it, and a link on the way; each of them is a bundle of its own.
    fs::rename(&policies, rig.path("first")).unwrap();
    fs::rename(rig.path("mine/enforcer/policies"), &policies).unwrap();
    refused(&rig);
    assert_eq!(rig.version(), first);
    rig.reload();
    rig.wait_for(&policies);
    healthy(&rig);
    let second = rig.version();

    fs::rename(rig.path("etc"), rig.path("etc.old")).unwrap();
    fs::create_dir_all(&policies).unwrap();
    fs::write(policies.join("policy.toml"), bundle("third")).unwrap();
    refused(&rig);
    rig.reload();
    rig.wait_for(&policies);
    healthy(&rig);
    let third = rig.version();

    let release = rig.path("release/enforcer/policies");
    fs::create_dir_all(&release).unwrap();
    fs::write(release.join("policy.toml"), bundle("fourth")).unwrap();
    symlink("release", rig.path("next")).unwrap();
    fs::rename(rig.path("next"), rig.path("link")).unwrap();
    refused(&rig);
    rig.reload();
    rig.wait_for(&release);
    healthy(&rig);

    assert_eq!(rig.loaded(), [first, second, third, rig.version()]);
    let began = rig.events("fault_began");
    assert_eq!(began.len(), 3, "{began:?}");
    assert!(began.iter().all(|event| event["fault"] == "policy"), "{began:?}");
    assert_eq!(rig.events("fault_ended").len(), 3);
    rig.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_folder_that_was_opened_is_taken_again_when_it_is_back() {
    let rig = Rig::start();
    let (first, etc) = (rig.version(), rig.path("etc"));
    fs::rename(&etc, rig.path("aside")).unwrap();
    fs::rename(rig.path("mine"), &etc).unwrap();
    refused(&rig);
    fs::rename(&etc, rig.path("mine")).unwrap();
    fs::rename(rig.path("aside"), &etc).unwrap();
    healthy(&rig);
    assert_eq!(rig.loaded(), [first]);
    // What is told without need changes nothing, and the daemon goes on.
    rig.reload();
    rig.edit("etc/enforcer/policies", &bundle("next"));
    // Editors and tools write a new file and rename it over the old one.
    let policies = rig.path("etc/enforcer/policies");
    fs::write(policies.join("policy.toml~"), bundle("saved")).unwrap();
    fs::rename(policies.join("policy.toml~"), policies.join("policy.toml")).unwrap();
    rig.wait_for(&policies);
    assert_eq!(rig.json(&["status"])["is_healthy"], true);
    rig.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_cannot_be_opened_anew_leaves_the_folder_held_that_was() {
    let rig = Rig::start();
    let (first, etc) = (rig.version(), rig.path("etc"));
    fs::rename(&etc, rig.path("aside")).unwrap();
    rig.reload();
    wait_until("the failure", || rig.host.daemon_log().contains("is not opened anew"));
    fs::rename(rig.path("mine"), &etc).unwrap();
    refused(&rig);
    assert_eq!(rig.version(), first);
    fs::rename(&etc, rig.path("mine")).unwrap();
    fs::rename(rig.path("aside"), &etc).unwrap();
    healthy(&rig);
    assert_eq!(rig.loaded(), [first]);
    rig.finish();
}
