// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The settings: every key that is documented is read, and no other.

use std::fs;

use enforcer_tests::repository;
use enforcer_user::config::Config;
use enforcer_user::config::settings::{SETTINGS, reference};

fn load(text: &str) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    Config::load(file.path()).map_err(|error| match error {
        enforcer_user::config::Error::Invalid { problems, .. } => problems.to_string(),
        other => other.to_string(),
    })
}

#[test]
fn the_page_of_settings_is_what_the_program_reads() {
    crate::expect_page("docs/settings-reference.md", &reference());
}

#[test]
fn the_whole_file_of_the_page_is_valid() {
    let page = reference();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (file, _) = rest.split_once("```").unwrap();
    let settings = load(file).unwrap();
    assert_eq!(settings.upstream.roots.len(), 2);
}

#[test]
fn every_documented_setting_is_read_and_a_wrong_type_is_an_error() {
    for setting in SETTINGS {
        let key = if setting.key == "NAME" { "\"name.test\"" } else { setting.key };
        let head = match setting.section {
            "" => String::new(),
            name => format!("cgroup = \"/x\"\n[{name}]\n"),
        };
        load(&format!("{head}{key} = {}\n", setting.example)).unwrap();
        let wrong = load(&format!("{head}{key} = 7\n"));
        assert!(wrong.is_err(), "`{key}` takes a number: it is not read");
    }
}

#[test]
fn a_setting_that_is_not_documented_is_refused() {
    for section in ["", "[upstream]\n"] {
        let error = load(&format!("{section}durability = \"disk\"\n")).unwrap_err();
        assert!(error.contains("unknown key `durability`"), "{error}");
    }
}

#[test]
fn the_settings_in_the_readme_are_valid() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (file, _) = rest.split_once("```").unwrap();
    load(file).unwrap();
}
