// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which variables of whoever calls `enforcer run` the command gets.
//!
//! As another user it gets few: terminal, locale and time zone, and what the bundle names. As the same user it gets
//! all but those that the bundle excludes. In both cases it does not get the secret of a credential that the bundle
//! injects for this agent: where SDKs refuse to start without a key, a placeholder stands in its place.
//!
//! The daemon computes the rules, and the caller, which has the variables, applies them. Pure. Errs towards
//! leaving a variable out.

use serde::{Deserialize, Serialize};

use crate::model::{AgentName, Mode};

use super::super::load::environment::{NEVER, NamePattern, OWN, any};
use super::super::load::inventory::{Inventory, Protocol};
use super::super::load::rules::Rule;
use super::super::load::sections::{Credential, Secret};
use super::policy::Policy;

/// The value that stands in the place of a key that the agent never holds. It authenticates nobody.
pub const PLACEHOLDER: &str = "injected-by-enforcer";

/// Variables that a command of another user gets without being named.
const ALWAYS: &[&str] = &[
    "COLORTERM",
    "LANG",
    "LC_ADDRESS",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
    "TERM",
    "TZ",
];

/// Whose name a command runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunAs {
    /// Who called `enforcer run`.
    Caller,
    /// The user that `--user` names.
    Other,
}

/// What the bundle says about the variables of an agent's command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// What a command of another user gets besides terminal, locale and time zone (`env`).
    pub allowed: Vec<NamePattern>,
    /// What no command gets (`env_exclude`).
    pub excluded: Vec<NamePattern>,
    /// Variables that hold the secret of a credential which the bundle injects: no command gets them.
    pub secrets: Vec<String>,
    /// Variables in which SDKs look for a key that the bundle injects: set to `injected-by-enforcer`.
    pub placeholders: Vec<String>,
}

impl Environment {
    /// Whether the command gets this variable of the caller as it is.
    #[must_use]
    pub fn passes(&self, variable: &str, run_as: RunAs) -> bool {
        let is_held = self.secrets.iter().chain(&self.placeholders).any(|name| name == variable);
        if is_held || self.excluded.iter().any(|pattern| pattern.admits(variable)) {
            return false;
        }
        match run_as {
            RunAs::Caller => true,
            RunAs::Other => {
                let is_named = self.allowed.iter().any(|pattern| pattern.admits(variable));
                let is_own = variable.starts_with(OWN);
                (any(ALWAYS, variable) || is_named) && !any(NEVER, variable) && !is_own
            }
        }
    }
}

impl Policy {
    /// Which variables the command of this agent gets; those of an agent without a credential of the bundle if there
    /// is no such agent.
    #[must_use]
    pub fn environment(&self, agent: &AgentName) -> Environment {
        let mut environment = Environment::default();
        let Some(entry) = self.inventory.agents.get(agent) else { return environment };
        environment.allowed.clone_from(&entry.environment.allowed);
        environment.excluded.clone_from(&entry.environment.excluded);
        let is_carried_out = |rule: &&Rule| {
            rule.is_permit
                && self.inventory.mode == Mode::Enforce
                && rule.mode == Mode::Enforce
                && rule.admits_agent(agent, &entry.groups)
        };
        for rule in self.rules.iter().filter(is_carried_out) {
            let credentials = rule.obligations.credentials.iter();
            for name in credentials {
                let Some(found) = self.inventory.credentials.get(name) else { continue };
                hold(&self.inventory, rule, &found.value, &mut environment);
            }
        }
        environment
    }
}

/// Holds back what stands for this credential.
fn hold(
    inventory: &Inventory,
    rule: &Rule,
    credential: &Credential,
    environment: &mut Environment,
) {
    let mut add = |to: fn(&mut Environment) -> &mut Vec<String>, name: &str| {
        let names = to(environment);
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    };
    if let Secret::Env(name) = &credential.secret {
        add(|environment| &mut environment.secrets, name);
    }
    let endpoints = inventory.endpoints.iter().filter(|endpoint| rule.admits_endpoint(endpoint));
    for name in endpoints.flat_map(|endpoint| keys(endpoint.protocol, &credential.header)) {
        add(|environment| &mut environment.placeholders, name);
    }
}

/// The variables in which SDKs for a protocol look for what they put into this header.
fn keys(protocol: Protocol, header: &str) -> &'static [&'static str] {
    match (protocol, header) {
        (Protocol::Anthropic, "authorization") => &["ANTHROPIC_AUTH_TOKEN"],
        (Protocol::Anthropic, "x-api-key") => &["ANTHROPIC_API_KEY"],
        (Protocol::OpenAi, "authorization") => &["OPENAI_API_KEY"],
        (Protocol::OpenAi, "api-key") => &["AZURE_OPENAI_API_KEY"],
        (Protocol::Anthropic | Protocol::OpenAi | Protocol::Http, _) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::compile::compile;
    use super::super::super::load::diagnostic::Diagnostics;
    use super::super::super::tests::sources;
    use super::*;

    const BUNDLE: &str = "version = 1\n\
        [agents.a]\nLINES\n\
        [endpoints.openai]\nhosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n\
        [endpoints.plain]\nhosts = [\"plain.example\"]\n\
        [credentials.key]\nsecret = \"env:TEAM_KEY\"\nheader = \"Authorization\"\nvalue = \"Bearer {secret}\"\n";
    const PLAIN: &str = "@id(\"r\") permit (principal, action, resource);";

    fn policy(mode: &str, lines: &str, rules: &str) -> Result<Policy, Diagnostics> {
        let inventory = format!("mode = \"{mode}\"\n{}", BUNDLE.replace("LINES", lines));
        let sources = sources(&[("policy.toml", &inventory), ("r.cedar", rules)]);
        compile(&sources).map(|compiled| compiled.policy)
    }

    fn of(lines: &str, rules: &str) -> Environment {
        policy("enforce", lines, rules).unwrap().environment(&AgentName::new("a"))
    }

    #[test]
    fn another_user_gets_terminal_and_locale_and_what_the_bundle_names() {
        let environment = of("env = [\"OPENAI_*\", \"MY_FLAG\"]", PLAIN);
        let passes = |name: &str| environment.passes(name, RunAs::Other);
        for name in ["TERM", "COLORTERM", "LANG", "LC_ALL", "TZ", "OPENAI_ORG_ID", "MY_FLAG"] {
            assert!(passes(name), "{name}");
        }
        let left_out = [
            "AWS_SECRET_ACCESS_KEY",
            "MY_FLAG2",
            "HOME",
            "PATH",
            "LANGUAGE",
            "LC_SECRET",
            "ENFORCER_CONFIG",
            "",
        ];
        for name in left_out {
            assert!(!passes(name), "{name}");
        }
    }

    #[test]
    fn what_chooses_code_or_belongs_to_enforcer_is_passed_to_no_other_user() {
        let environment = of("env = [\"L*\", \"B*\", \"E*\", \"G*\", \"I*\", \"S*\"]", PLAIN);
        let never =
            ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "BASH_FUNC_ls%%", "ENV"];
        let never = never.iter().chain(&["GLIBC_TUNABLES", "GCONV_PATH", "IFS", "SHELLOPTS"]);
        for name in never.chain(&["ENFORCER_SESSION"]) {
            assert!(!environment.passes(name, RunAs::Other), "{name}");
            assert!(environment.passes(name, RunAs::Caller), "{name}");
        }
        assert!(environment.passes("LOGDIR", RunAs::Other));
    }

    #[test]
    fn the_caller_keeps_its_variables_but_for_those_that_the_bundle_excludes() {
        let lines = "env = [\"AWS_REGION\", \"X\"]\nenv_exclude = [\"AWS_*\", \"TZ\"]";
        let environment = of(lines, PLAIN);
        for run_as in [RunAs::Caller, RunAs::Other] {
            for name in ["AWS_SECRET_ACCESS_KEY", "AWS_REGION", "TZ"] {
                assert!(!environment.passes(name, run_as), "{name} {run_as:?}");
            }
            assert!(environment.passes("X", run_as));
        }
        assert!(environment.passes("ANYTHING", RunAs::Caller));
    }

    #[test]
    fn the_secret_of_an_injected_credential_is_held_back_and_a_placeholder_stands_for_the_key() {
        let keyed = |scope: &str| {
            let action = scope.replace("action", "action in [Action::\"chat\", Action::\"http\"]");
            format!("@id(\"r\") @credential(\"key\") permit ({action});")
        };
        let everywhere = of("", &keyed("principal, action, resource"));
        assert_eq!(everywhere.secrets, ["TEAM_KEY"]);
        assert_eq!(everywhere.placeholders, ["OPENAI_API_KEY"]);
        for run_as in [RunAs::Caller, RunAs::Other] {
            assert!(!everywhere.passes("TEAM_KEY", run_as));
            assert!(!everywhere.passes("OPENAI_API_KEY", run_as));
        }
        let elsewhere = of("", &keyed("principal, action, resource == Endpoint::\"plain\""));
        assert_eq!((elsewhere.secrets, elsewhere.placeholders), (vec!["TEAM_KEY".into()], vec![]));
        // Another agent's, none, and one that is only observed: the agent needs its own key.
        let free = [
            of("", PLAIN),
            policy("observe", "", &keyed("principal, action, resource"))
                .unwrap()
                .environment(&AgentName::new("a")),
            of(
                "",
                &format!(
                    "{PLAIN}\n@mode(\"observe\") {}",
                    keyed("principal, action, resource").replace("\"r\"", "\"s\"")
                ),
            ),
            of("[agents.b]", &keyed("principal == Agent::\"b\", action, resource")),
        ];
        for environment in free {
            assert_eq!(environment, Environment::default());
        }
    }

    #[test]
    fn a_name_that_names_no_variable_or_may_not_be_passed_is_refused_with_its_place() {
        let said = |lines: &str| {
            let errors = policy("enforce", lines, PLAIN).unwrap_err().0;
            errors.iter().map(ToString::to_string).next().unwrap()
        };
        for (lines, expected) in [
            ("env = [\"*\"]", "`*` names no variable"),
            ("env = [\"\"]", "`` names no variable"),
            ("env = [\"A*B\"]", "`A*B` names no variable"),
            ("env = [\"1A\"]", "`1A` names no variable"),
            ("env = [\"A=B\"]", "`A=B` names no variable"),
            ("env_exclude = [\"A B\"]", "`A B` names no variable"),
            ("env = [\"LD_PRELOAD\"]", "`LD_PRELOAD` is never passed to another user"),
            ("env = [\"LD_*\"]", "`LD_*` is never passed to another user"),
            (
                "env_exclude = [\"ENFORCER_SESSION\"]",
                "`ENFORCER_SESSION` belongs to Enforcer, which sets it itself",
            ),
            ("env = \"A\"", "expected an array of strings, found a string"),
            ("envs = [\"A\"]", "unknown key `envs` (did you mean `env`?)"),
        ] {
            let found = said(lines);
            assert!(found.contains(expected), "{lines}: {found}");
            assert!(found.starts_with("policy.toml:4:"), "{lines}: {found}");
        }
    }
}
