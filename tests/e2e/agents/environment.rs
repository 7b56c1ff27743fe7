// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which variables of the caller an agent's command gets.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use enforcer_tests::command::{self, Interrupt};

use crate::scene::{LIMIT, Scene};

/// Variables of the caller, each with a value that shows whose it is.
const CALLER: [&str; 9] = [
    "AWS_SECRET_ACCESS_KEY",
    "ENFORCER_CONFIG_OF_CALLER",
    "LC_TIME",
    "LD_LIBRARY_PATH",
    "MY_FLAG",
    "OPENAI_API_KEY",
    "OPENAI_ORG_ID",
    "SECRET_OF_TEAM",
    "TERM",
];

fn start(policies: &Path, agent: &str, rule: &str) -> Scene {
    let inventory = format!(
        "version = 1\n[agents.a]\n{agent}\n\
         [endpoints.openai]\nhosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n\
         [credentials.key]\nsecret = \"env:SECRET_OF_TEAM\"\nheader = \"authorization\"\n\
         value = \"Bearer {{secret}}\"\n"
    );
    fs::write(policies.join("policy.toml"), inventory).unwrap();
    let rule =
        format!("@id(\"all\") {rule} permit (principal, action == Action::\"chat\", resource);\n");
    fs::write(policies.join("all.cedar"), rule).unwrap();
    let mut scene = Scene::set(policies);
    scene.start_daemon();
    scene
}

/// The environment of `env` as the agent.
fn environment(scene: &Scene, user: &[&str]) -> BTreeMap<String, String> {
    let words = [&["run", "--agent", "a"], user, &["--", "env"]].concat();
    let mut command = scene.host.enforcer(&words).unwrap();
    command.envs(CALLER.map(|name| (name, "of-the-caller")));
    let output = command::run(command, LIMIT, &Interrupt::default()).unwrap().checked().unwrap();
    let lines = output.stdout.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Those of the caller's variables that came through.
fn of_the_caller(found: &BTreeMap<String, String>) -> Vec<&str> {
    let is_callers = |name: &&str| found.get(*name).is_some_and(|value| value == "of-the-caller");
    CALLER.into_iter().filter(is_callers).collect()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_command_of_another_user_gets_no_variable_that_the_bundle_does_not_name() {
    let policies = tempfile::tempdir().unwrap();
    let agent = "env = [\"OPENAI_*\", \"MY_FLAG\"]\nenv_exclude = [\"OPENAI_ORG_ID\"]";
    let scene = start(policies.path(), agent, "");
    let found = environment(&scene, &["--user", "65534"]);
    assert_eq!(of_the_caller(&found), ["LC_TIME", "MY_FLAG", "OPENAI_API_KEY", "TERM"]);
    assert_eq!(found["PATH"], "/usr/local/bin:/usr/bin:/bin");
    assert_eq!((found["USER"].as_str(), found["LOGNAME"].as_str()), ("nobody", "nobody"));
    let account = fs::read_to_string("/etc/passwd").unwrap();
    let account = account.lines().find(|line| line.starts_with("nobody:")).unwrap();
    assert!(account.ends_with(&format!(":{}:{}", found["HOME"], found["SHELL"])), "{account}");
    let session = scene.sessions()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(found["ENFORCER_SESSION"], session);
    assert!(found["SSL_CERT_FILE"].ends_with("trust/bundle.pem"));
    let callers = std::env::var("HOME").unwrap();
    assert!(!found.values().any(|value| value.starts_with(&callers)), "{found:?}");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_command_never_gets_the_secret_of_a_credential_that_the_bundle_injects() {
    let policies = tempfile::tempdir().unwrap();
    let agent = "env = [\"SECRET_*\", \"OPENAI_API_KEY\"]\nenv_exclude = [\"AWS_*\"]";
    let scene = start(policies.path(), agent, "@credential(\"key\")");
    for user in [&[][..], &["--user", "65534"]] {
        let found = environment(&scene, user);
        assert!(!found.contains_key("SECRET_OF_TEAM"), "{user:?}: {found:?}");
        assert!(!found.contains_key("AWS_SECRET_ACCESS_KEY"), "{user:?}: {found:?}");
        assert_eq!(found["OPENAI_API_KEY"], "injected-by-enforcer", "{user:?}");
    }
    // As oneself everything else stays.
    let kept = [
        "ENFORCER_CONFIG_OF_CALLER",
        "LC_TIME",
        "LD_LIBRARY_PATH",
        "MY_FLAG",
        "OPENAI_ORG_ID",
        "TERM",
    ];
    let found = environment(&scene, &[]);
    assert_eq!(of_the_caller(&found), kept);
    assert_eq!(found["PATH"], std::env::var("PATH").unwrap());
    scene.finish();
}
