// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The wall clock of the daemon steps, in both directions; the host's is not touched.

use std::fs;

use serde_json::Value;

use crate::agents::calls::compile;
use crate::faults::alarms::{recorded, wait_for, wait_for_health};
use crate::scene::{Scene, bundle, expect_words};

const DAY: i64 = 24 * 3600;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_clock_that_steps_changes_no_order_and_is_told() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let (library, offset) =
        (scene.host.folder().join("clock.so"), scene.host.folder().join("clock"));
    let source = enforcer_tests::repository().join("tests/fixtures/clock.c");
    compile(&source, &library);
    let set = |seconds: i64| {
        let fresh = offset.with_extension("new");
        fs::write(&fresh, seconds.to_string()).unwrap();
        fs::rename(fresh, &offset).unwrap();
    };
    set(0);
    let preload = format!("LD_PRELOAD={}", library.display());
    let clock = format!("TEST_CLOCK={}", offset.display());
    scene.host.start_daemon_by(&["env", &preload, &clock]);
    scene.start_daemon();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("first")["exception"], Value::Null);
    for (offset, way) in [(2 * DAY, "forwards"), (-3600, "backwards")] {
        set(offset);
        let alarm = wait_for(&scene, "clock");
        expect_words(alarm["detail"].as_str().unwrap(), &[way]);
        // A leaf minted a moment ago, or now, has to be valid by the host's own clock too.
        let answer = guest.chat(way);
        assert!(offset > DAY || answer["exception"].is_null(), "{answer}");
        wait_for_health(&scene);
    }
    set(0);
    wait_for_health(&scene);
    assert_eq!(guest.chat("last")["exception"], Value::Null);
    let id = scene.sessions()[0]["id"].as_str().unwrap().to_owned();
    let events = scene.events(&id);
    let numbers: Vec<u64> =
        events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let times: Vec<u64> = events.iter().map(|event| event["at"].as_u64().unwrap()).collect();
    assert!(!times.is_sorted(), "the record tells the times as the clock had them");
    let periods = fs::read_dir(scene.host.state().join("journal/periods")).unwrap().count();
    assert_eq!(periods, 2, "the clock going back starts no period");
    let faults = recorded(&scene, "clock");
    assert!(faults.iter().filter(|event| *event == "fault_began").count() >= 2, "{faults:?}");
    guest.end();
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.host.stop_daemon().unwrap();
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}
