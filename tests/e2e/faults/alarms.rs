// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `enforcer status` says of faults, and what the journal says of them afterwards.

use serde_json::Value;

use crate::scene::{Scene, expect_words, wait_until};

/// The journal's session of the host.
pub(crate) const HOST_SESSION: &str = "0000000000000000";

/// What is broken by the daemon's own words.
pub(crate) fn alarms(scene: &Scene) -> Vec<Value> {
    scene.json(&["status"])["health"].as_array().unwrap().clone()
}

/// Waits for an alarm; it says since when and what to do, also in text.
pub(crate) fn wait_for(scene: &Scene, name: &str) -> Value {
    let mut found = None;
    wait_until(&format!("the alarm `{name}`"), || {
        found = alarms(scene).into_iter().find(|alarm| alarm["name"] == name);
        found.is_some()
    });
    let alarm = found.unwrap();
    assert!(alarm["since"].is_u64() && alarm["advice"].is_string(), "{alarm}");
    alarm
}

/// The same, with what people read. For faults that stay for a while.
pub(crate) fn wait_for_shown(scene: &Scene, name: &str, words: &[&str]) {
    let alarm = wait_for(scene, name);
    let status = scene.cli(&["status"]).expect_code(1).unwrap().stdout;
    expect_words(&status, &["NOT healthy", "fault", name, alarm["advice"].as_str().unwrap()]);
    expect_words(&status, words);
}

/// Waits until nothing is broken.
pub(crate) fn wait_for_health(scene: &Scene) {
    wait_until("a healthy daemon", || scene.cli(&["status"]).code == Some(0));
    assert_eq!(alarms(scene), [] as [Value; 0]);
}

/// What the journal says about one fault, in order.
pub(crate) fn recorded(scene: &Scene, name: &str) -> Vec<String> {
    let events = scene.events(HOST_SESSION).into_iter();
    let events = events.filter(|event| event["fault"] == name);
    events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}
