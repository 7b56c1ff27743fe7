// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference of the language as one Markdown document, put together from what the loader itself reads: the
//! schemas, the tables of actions and annotations, the limits. Nothing is explained twice.

pub(in crate::policy) mod actions;
mod inventory;
mod table;

use super::super::load::annotations::ANNOTATIONS;
use crate::mask::Builtin;
use crate::model::limits;

use table::{code, table};

const HEAD: &str = "\
# Policy reference

<!-- Written by `cargo xtask gen` from what the program itself reads; a test compares. Change the sources. -->

Everything that a bundle may say in this version of Enforcer. `enforcer policy schema reference` prints this page.
[The tutorial](policy-tutorial.md) begins with nothing, [the cookbook](policy-cookbook.md) has rules to copy.

A bundle is a folder: `policy.toml` is the inventory, `*.cedar` files beside it are the rules, `cases/*.toml` are
expectations. Whatever is not written here is refused with its place, and nothing is guessed.
";

const RULES: &str = "
## Rules

A rule is a statement of [Cedar](https://www.cedarpolicy.com). A request is allowed if at least one `permit` matches and
no `forbid` does. Order never matters. A rule whose evaluation fails denies.

```text
@id(\"NAME\")
permit (principal SCOPE, action SCOPE, resource SCOPE)      forbid has the same form
when { CONDITION }                                          or unless { CONDITION }; may be left out
;
```

| part | one | a group | everything |
|---|---|---|---|
| who | `principal == Agent::\"NAME\"` | `principal in Group::\"NAME\"` | `principal` |
| what | `action == Action::\"NAME\"` | `action in Action::\"NAME\"`, `action in [Action::\"A\", Action::\"B\"]` | `action` |
| where | `resource == Endpoint::\"NAME\"` | `resource in EndpointGroup::\"NAME\"` | `resource` |

A condition reads facts as `context.NAME`. Numbers are compared with `==`, `!=`, `<`, `<=`, `>`, `>=`; texts with `==`,
`!=` and `like` (`*` stands for any text); sets with `contains`, `containsAny`, `containsAll`, `isEmpty`. Parts are joined by
`&&`, `||`, `!` and `if … then … else …`. A fact that not every request has is asked for first:
`context has max_tokens && context.max_tokens <= 500`.
";

const DETECTORS_HEAD: &str = "
### Built-in detectors

The record and the log never hold secrets, whatever a bundle says. A provider receives a secret unless a rule denies the request
or a mask of the rule that permits it names its detector.

";

const RECORD: &str = "
### What is recorded

The facts, the decision and the outcome of every exchange are recorded. With `full` the texts of the request and of the answer
are recorded, too; with `facts` they are not.

- An allowed exchange: the permits that match decide with `@record`. A permit without `@record` counts as `record` in
  `policy.toml` says. If several match, `full` wins.
- A denied exchange: every rule whose scope covers the request counts, whether or not its condition holds, a `forbid` as well as
  a `permit`. If any of them has `@record(\"full\")`, the request is kept; if others have `@record(\"facts\")`, it is not; if none
  has `@record`, `record` in `policy.toml` decides. A body of more than 64 KiB, or one that was not read before the decision,
  is never kept.
- A rule with `@mode(\"observe\")` does not count.

Nothing is recorded that one of these detectors finds: every detector of the bundle, every detector that a mask names, every
built-in detector that a rule asks for, and every detector of secrets. What a mask names is replaced in its style, everything
else by `[NAME]`. A body that is encoded or no text, and a stream of events that no codec understands, cannot be looked at, so it
is not recorded; the record says so.
";

const CASES_HEAD: &str = "
## Cases

`cases/*.toml` hold `[[case]]` tables. A case describes facts, gives a raw request, or names a recorded exchange. Only
`effect` has to be expected; of the rest only what is written is compared.
";

/// Keys of `[[case]]`, of its `request` and of its `expect`, and what each means.
pub(in crate::policy) const CASE_KEYS: [(&str, &[(&str, &str)]); 3] = [
    (
        "[[case]]",
        &[
            ("name", "what is expected, as a sentence"),
            ("agent", "who asks"),
            ("endpoint", "where to"),
            ("action", "what is asked, if facts describe it"),
            (
                "facts",
                "the facts of the action; those that are left out have the values named above",
            ),
            ("detected", "detectors that found something"),
            ("request", "a raw request instead of action, facts and detected"),
            ("exchange", "the id of a recorded exchange instead of all of these"),
            ("expect", "what the policy decides"),
        ],
    ),
    (
        "request",
        &[
            ("method", "upper case"),
            ("path", "as it is sent, with its query"),
            ("headers", "a table of texts"),
            ("json", "a body written as TOML and sent as JSON with its content type"),
            ("body", "a body as it stands, with no header that is not written"),
        ],
    ),
    (
        "expect",
        &[
            ("effect", "`allow` or `deny`"),
            ("because", "the rules that decided; empty if none permits it"),
            ("observed", "rules with `@mode(\"observe\")` that matched"),
            ("mask_request", "masks of the request"),
            ("mask_response", "masks of the answer"),
            ("approvals", "who is asked"),
            ("budgets", "what is charged"),
            ("credentials", "which keys are put in"),
            ("record", "`full` or `facts`"),
            ("message", "what the agent is told: every `@message` of a rule that denies"),
            (
                "detected",
                "every detector of the bundle that finds something, whether or not a rule asks for it",
            ),
            (
                "sent_contains",
                "texts that the body has as it is sent, behind its masks; only beside `request`",
            ),
            (
                "sent_lacks",
                "texts that the body does not have as it is sent; only beside `request`",
            ),
        ],
    ),
];

const COMMANDS: &str = "
## Exit codes of `enforcer policy`

| code | meaning |
|---|---|
| 0 | everything is as it should be |
| 1 | a case failed, a request is denied, or something differs |
| 2 | the command line is wrong |
| 3 | the host refuses to read or write |
| 4 | the bundle is refused |
";

/// The whole document.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    inventory::write(&mut text);
    detectors(&mut text);
    text.push_str(RULES);
    annotations(&mut text);
    actions::write(&mut text);
    cases(&mut text);
    limits_of_bundles(&mut text);
    text.push_str(COMMANDS);
    text
}

fn detectors(text: &mut String) {
    text.push_str(DETECTORS_HEAD);
    let kind = |builtin: Builtin| if builtin.is_secret() { "yes" } else { "" };
    let row = |it: Builtin| [code(it.name()), it.about().to_owned(), kind(it).to_owned()];
    table(text, ["detector", "finds", "a secret"], Builtin::ALL.map(row));
    text.push_str(RECORD);
}

fn annotations(text: &mut String) {
    text.push_str(
        "\n### Annotations\n\nSeveral names stand in one text: `@mask(\"pii, secrets\")`. If several permits \
         match, everything that any\nof them asks for is done.\n\n",
    );
    let rows = ANNOTATIONS.iter().map(|annotation| {
        let name = code(&format!("@{}", annotation.name));
        [
            name,
            annotation.on.describe().to_owned(),
            annotation.value.to_owned(),
            annotation.about.to_owned(),
        ]
    });
    table(text, ["annotation", "on", "takes", "does"], rows);
}

fn cases(text: &mut String) {
    text.push_str(CASES_HEAD);
    for (name, keys) in CASE_KEYS {
        text.push('\n');
        let rows = keys.iter().map(|(key, about)| [code(key), (*about).to_owned()]);
        table(text, [&format!("key of `{name}`"), "meaning"], rows);
    }
}

fn limits_of_bundles(text: &mut String) {
    text.push_str("\n## Limits\n\n");
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs());
    let between = |least, most| format!("{} to {}", seconds(least), seconds(most));
    let rows = [
        ("bytes of a name", limits::NAME_BYTES_MAX.to_string()),
        ("words and signs of a rule", limits::RULE_TOKENS_MAX.to_string()),
        ("depth of a rule", limits::RULE_DEPTH_MAX.to_string()),
        ("characters of a `@message`", limits::RULE_MESSAGE_CHARS_MAX.to_string()),
        ("characters of all `@message`s of a denial", limits::DENIAL_MESSAGE_CHARS_MAX.to_string()),
        ("entries of `match` in a bundle", limits::SELECTORS_MAX.to_string()),
        ("units, cgroups and containers in a bundle", limits::PLACES_MAX.to_string()),
        ("bytes of a detector's longest match", limits::MASK_HOLD_BYTES_MAX.to_string()),
        ("bytes of a body that is understood", limits::REQUEST_BODY_BYTES_MAX.to_string()),
        ("`window` of a budget", between(limits::BUDGET_WINDOW_MIN, limits::BUDGET_WINDOW_MAX)),
        ("`hold` of an approval", between(limits::APPROVAL_HOLD_MIN, limits::APPROVAL_HOLD_MAX)),
        (
            "`expire` of an approval",
            between(limits::APPROVAL_HOLD_MIN, limits::APPROVAL_EXPIRE_MAX),
        ),
    ];
    table(text, ["what is limited", "limit"], rows.map(|(of, most)| [of.to_owned(), most]));
}
