// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What may stand above a rule with an `@`.

/// One annotation of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Its name, without `@`.
    pub name: &'static str,
    /// Where it may stand.
    pub on: On,
    /// What it takes, as a person writes it.
    pub value: &'static str,
    /// What it does, as one sentence.
    pub about: &'static str,
}

/// Where an annotation may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On every rule.
    Both,
    /// On a `forbid` only.
    Forbid,
    /// On a `permit` only: it is an obligation.
    Permit,
}

impl On {
    /// The place in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Both => "every rule",
            Self::Forbid => "a forbid",
            Self::Permit => "a permit",
        }
    }
}

const fn of(name: &'static str, on: On, value: &'static str, about: &'static str) -> Annotation {
    Annotation { name, on, value, about }
}

/// Every annotation, in the order of their names.
pub const ANNOTATIONS: &[Annotation] = &[
    of(
        "approve",
        On::Permit,
        "names of approvals",
        "A person has to agree before the request goes out.",
    ),
    of(
        "budget",
        On::Permit,
        "names of budgets",
        "The request is charged to them; without room in all of them it is refused, or a streamed answer is cut.",
    ),
    of("credential", On::Permit, "names of credentials", "Their keys are put into the request."),
    of(
        "id",
        On::Both,
        "a name",
        "Names the rule in records, refusals and cases. Every rule needs one.",
    ),
    of("mask", On::Permit, "names of masks", "Request and answer are masked."),
    of("mask_request", On::Permit, "names of masks", "The request is masked."),
    of(
        "mask_response",
        On::Permit,
        "names of masks",
        "The answer is masked, also while it streams.",
    ),
    of(
        "message",
        On::Forbid,
        "one line of text",
        "Is told to the agent and its developer when the rule denies; of several rules, each in the order of files and places.",
    ),
    of(
        "mode",
        On::Both,
        "`enforce` or `observe`",
        "With `observe` the rule decides nothing, and the record says where it would have.",
    ),
    of(
        "record",
        On::Both,
        "`full` or `facts`",
        "How much is recorded: with `facts` neither the request's text nor the answer's. See [what is recorded](#what-is-recorded).",
    ),
];

/// The annotation of this name.
pub(in crate::policy) fn annotation(name: &str) -> Option<&'static Annotation> {
    ANNOTATIONS.iter().find(|annotation| annotation.name == name)
}
