// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Suggestions never widen, and a slip in one file makes nothing else look broken.

use proptest::prelude::{Strategy, any, prop_assert, proptest};
use proptest::test_runner::Config;

use super::super::compile::check;
use super::super::load::schema::{ACTION_GROUPS, ACTIONS, closest_action};
use super::super::load::sheet;
use super::super::load::sources::{SourceFile, Sources};
use super::{INVENTORY, sources};

/// One keystroke that goes wrong: where, what, and which sign.
type Slip = (usize, u8, char);

fn slips(most: usize) -> impl Strategy<Value = Vec<Slip>> {
    let letter = proptest::char::ranges(vec!['a'..='z', '_'..='_'].into());
    proptest::collection::vec((any::<usize>(), 0..4_u8, letter), 1..=most)
}

fn misspelt(name: &str, slips: &[Slip]) -> String {
    let mut chars: Vec<char> = name.chars().collect();
    for (place, kind, sign) in slips {
        let at = place % chars.len().max(1);
        match kind {
            0 if !chars.is_empty() => drop(chars.remove(at)),
            1 if at + 1 < chars.len() => chars.swap(at, at + 1),
            2 if !chars.is_empty() => chars[at] = *sign,
            _ => chars.insert(at, *sign),
        }
    }
    chars.into_iter().collect()
}

fn is_group(name: &str) -> bool {
    ACTION_GROUPS.iter().any(|(group, _)| *group == name)
}

/// A bundle that nothing is wrong with, with rules and cases that use every kind of name.
const RULES: &str = r#"
@id("chat") @mask("pii") @budget("daily")
permit (principal in Group::"customer-facing", action == Action::"chat", resource in EndpointGroup::"models")
when { context.input_tokens <= 100 };

@id("upload") @approve("leads") @credential("key")
permit (principal == Agent::"support", action == Action::"file_upload", resource == Endpoint::"openai");

@id("staff")
forbid (principal, action, resource) when { context.detected.contains("employee-id") };
"#;
const CASES: &str = r#"
[[case]]
name = "a chat"
agent = "support"
endpoint = "openai"
action = "chat"
detected = ["employee-id"]
facts = { model = "x", input_tokens = 1 }
expect = { effect = "deny", because = ["staff"], mask_request = [], budgets = [], approvals = [], credentials = [] }

[[case]]
name = "a list"
agent = "research"
endpoint = "files"
request = { method = "GET", path = "/" }
expect = { effect = "deny" }
"#;

fn bundle(inventory: &str) -> Sources {
    sources(&[("policy.toml", inventory), ("rules.cedar", RULES), ("cases/a.toml", CASES)])
}

#[test]
fn the_bundle_of_these_tests_is_sound() {
    let checked = check(&bundle(INVENTORY));
    assert!(checked.policy.is_some(), "{:?}", checked.found);
}

#[test]
fn problems_of_all_files_are_listed_beside_a_slip_in_toml() {
    for slip in ["[agents.", "version = 1.2.3", "x = \"\\d\"", "groups = [", "[agents.support]"] {
        let inventory = format!("{INVENTORY}{slip}\n");
        let rules = RULES.replace("fine", "").replace("chat\", resource", "chta\", resource");
        let rules = rules.replace("Action::\"file_upload\"", "Action::\"fileupload\"");
        let cases = CASES.replace("effect = \"deny\" }", "effect = \"dney\" }");
        let files =
            [("policy.toml", &*inventory), ("rules.cedar", &rules), ("cases/a.toml", &cases)];
        let found = check(&sources(&files)).found;
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        let said = |part: &str| lines.iter().any(|line| line.contains(part));
        assert!(lines.iter().any(|line| line.starts_with("policy.toml:")), "{slip}: {lines:?}");
        assert!(said("unknown action `chta` (did you mean `chat`?)"), "{slip}: {lines:?}");
        assert!(said("unknown action `fileupload` (did you mean `file_upload`?)"), "{lines:?}");
        assert!(said("unknown effect `dney` (did you mean `deny`?)"), "{slip}: {lines:?}");
        let elsewhere = lines.iter().filter(|line| !line.starts_with("policy.toml:")).count();
        assert_eq!(elsewhere, 3, "{slip}: {lines:?}");
    }
}

fn config() -> Config {
    Config { cases: 400, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_misspelt_action_is_never_answered_by_a_group_nor_a_group_by_an_action(
        index in any::<usize>(), slips in slips(2)
    ) {
        let singles = ACTIONS.iter().map(|action| action.name);
        let all: Vec<&str> = singles.chain(ACTION_GROUPS.iter().map(|(group, _)| *group)).collect();
        let name = all[index % all.len()];
        let written = misspelt(name, &slips);
        for is_single in [true, false] {
            let Some(found) = closest_action(&written, is_single) else { continue };
            prop_assert!(found != "any", "{written}");
            prop_assert!(!is_single || !is_group(found), "{written}: {found}");
            if slips.len() == 1 && !(is_single && is_group(name)) {
                prop_assert!(is_group(found) == is_group(name), "{name}, {written}: {found}");
            }
            // Whatever was meant, a group is never the answer to what is nearer to a single action.
            prop_assert!(is_group(name) || !is_group(found), "{name}, {written}: {found}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_makes_no_other_file_look_broken(
        place in any::<usize>(), kind in 0..3_u8,
        sign in proptest::sample::select(vec!['"', '[', ']', '\\', '=', '\'', '{', '\n', '#', '0'])
    ) {
        let mut chars: Vec<char> = INVENTORY.chars().collect();
        let at = place % chars.len();
        match kind {
            0 => drop(chars.remove(at)),
            1 => chars[at] = sign,
            _ => chars.insert(at, sign),
        }
        let text: String = chars.into_iter().collect();
        let file = SourceFile { path: "policy.toml".to_owned(), text: text.clone() };
        if sheet::parse(&file).is_err() {
            let found = check(&bundle(&text)).found;
            let elsewhere = found.iter().find(|found| found.file != "policy.toml");
            prop_assert!(elsewhere.is_none(), "{text}\n{elsewhere:?}");
        }
    }
}
