// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a refusal is about beyond its reason: for the operator, in a form that programs can read.
//!
//! A [`Denied`](crate::model::Denied) is what the agent may see; a cause never goes there. It holds names of the
//! bundle, amounts, and texts that have passed the masker.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::budget::Amount;
use crate::model::{ApprovalName, CredentialName, OpaqueCause, UnixMillis, limits};

/// What a refusal is about beyond its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The answer of the provider cannot be read.
    Answer {
        /// What is wrong with it.
        fault: AnswerFault,
    },
    /// People did not approve the request.
    Approval {
        /// Number of the question that stands or stood for it.
        question: u64,
        /// The approvals that it needs.
        needs: BTreeSet<ApprovalName>,
    },
    /// The body of the request cannot be read, and so not be masked.
    Body {
        /// Why not; missing where no codec of the endpoint reads such a body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opaque: Option<OpaqueCause>,
        /// What exactly is wrong with it; missing where `opaque` says it all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Recorded>,
    },
    /// A budget has no room.
    Budget(Box<Shortage>),
    /// A credential cannot be put in.
    Credential {
        /// Its name in the bundle.
        name: CredentialName,
        /// Why not.
        why: Recorded,
    },
    /// What has to be masked stands in a header, which cannot be masked.
    Header {
        /// Name of the header.
        name: Recorded,
    },
    /// A limit was reached.
    Limit {
        /// Which one.
        limit: Limited,
    },
    /// What has to be masked stands in the path or the query, which cannot be masked.
    RequestLine {},
    /// A person cannot be shown all of the body.
    Unshowable {
        /// Why not.
        fault: ShownFault,
    },
}

/// A budget without room: what it allows, and what is taken of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// The counter: the budget, and for whom it is counted.
    pub account: Recorded,
    /// Tokens that the budget allows in a window; missing if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Requests that the budget allows in a window; missing if it does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// What was used in this window.
    pub used: Amount,
    /// What exchanges under way have reserved; this one is among them where its answer was cut.
    pub reserved: Amount,
    /// What this exchange needs at least, beyond that.
    pub needs: Amount,
    /// When the next window begins.
    pub until: UnixMillis,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFault {
    /// It broke off before its end.
    BrokeOff,
    /// A call of a tool in it cannot be followed, so it cannot be judged.
    Calls,
    /// It came with a content encoding, which nothing that has to be read may have.
    Encoded,
    /// It could not be read on the thread that reads large ones.
    Failed,
    /// There is no memory left to read it.
    NoMemory,
    /// It says that it is JSON and is not.
    NotJson,
    /// It is neither JSON nor a stream of events, and nothing else can be masked.
    OtherType,
    /// It stopped, for longer than a body may stand still.
    Stopped,
    /// In its stream, a text of a choice follows after that choice was finished.
    StreamAfterFinish,
    /// In its stream are choices that were not asked for, or that two clients would sort differently.
    StreamChoices,
    /// It is no stream of events, or one of its events is too large.
    StreamEvents,
    /// An event of its stream is not JSON.
    StreamNotJson,
    /// In its stream an id or a name that has to be masked comes in pieces.
    StreamSplitName,
    /// Its stream has more texts at once than can be followed.
    StreamTooManyTexts,
    /// It is larger than an answer may be that has to be read whole.
    TooLarge,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limited {
    /// Memory for bodies that are held whole.
    Memory,
    /// Questions that wait for people, or what they may show.
    Questions,
    /// The time that the body of a request may stand still.
    RequestIdle,
    /// Connections to providers, or exchanges of one agent with them.
    Upstream,
}

/// Why a person cannot be shown all of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShownFault {
    /// It is not text in UTF-8.
    NotText,
    /// It is larger than what is shown.
    TooLarge,
}

impl Cause {
    /// What it is, in words for the operator.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Answer { fault } => fault.sentence().to_owned(),
            Self::Approval { question, needs } => {
                let needs: Vec<String> = needs.iter().map(|name| format!("`{name}`")).collect();
                let word = if needs.len() == 1 { "approval" } else { "approvals" };
                format!("question {question} needs {word} {}", needs.join(", "))
            }
            Self::Body { opaque, detail } => match opaque {
                None => "nothing reads this kind of body at this endpoint, so it cannot be masked"
                    .to_owned(),
                Some(cause) => {
                    detail.as_deref().map_or_else(|| cause.words().to_owned(), str::to_owned)
                }
            },
            Self::Budget(shortage) => shortage.sentence(),
            Self::Credential { name, why } => format!("credential `{name}`: {why}"),
            Self::Header { name } => {
                format!(
                    "the header `{name}` holds what has to be masked, and a header cannot be masked"
                )
            }
            Self::Limit { limit } => limit.sentence().to_owned(),
            Self::RequestLine {} => {
                "the path or the query holds what has to be masked, and cannot be masked".to_owned()
            }
            Self::Unshowable { fault } => match fault {
                ShownFault::NotText => "the body is not text in UTF-8".to_owned(),
                ShownFault::TooLarge => {
                    format!("the body has more than {} bytes", limits::APPROVAL_SHOWN_BYTES_MAX)
                }
            },
        }
    }

    /// What to do about it; none where the reason says all there is.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Answer { fault } => fault.advice().to_owned(),
            Self::Budget(shortage) if shortage.is_beyond_a_window() => {
                "name a smaller bound of the answer (`max_tokens`), send less, or ask for a larger budget; \
                 waiting does not help, because a whole window has no more"
                    .to_owned()
            }
            Self::Approval { .. } | Self::Budget(_) => return None,
            Self::Body { opaque, .. } => match opaque {
                None => "permit such requests without a mask, or keep the agent from sending them"
                    .to_owned(),
                Some(cause) => cause.advice().to_owned(),
            },
            Self::Credential { name, .. } => {
                format!("mend `[credentials.{name}]` in policy.toml, or what it names")
            }
            Self::Header { name } => {
                format!("remove the text from the header `{name}`, or write it into the body")
            }
            Self::Limit { limit } => limit.advice().to_owned(),
            Self::RequestLine {} => {
                "remove the text from the path and the query, or write it into the body".to_owned()
            }
            Self::Unshowable { fault } => match fault {
                ShownFault::NotText => {
                    "send it as text, or permit such requests without a person".to_owned()
                }
                ShownFault::TooLarge => {
                    "send less in one request, or permit such requests without a person".to_owned()
                }
            },
        })
    }
}

impl Shortage {
    /// Whether not even an unused window has room for it.
    fn is_beyond_a_window(&self) -> bool {
        self.tokens.is_some_and(|most| self.needs.tokens > most)
    }

    fn sentence(&self) -> String {
        let of = |what: &str, most: Option<u64>, used: u64, reserved: u64, needs: u64| {
            let most = most?;
            let left = most.saturating_sub(used.saturating_add(reserved));
            Some(format!(
                "{left} of {most} {what} left ({used} used, {reserved} reserved), {needs} needed"
            ))
        };
        let Self { used, reserved, needs, .. } = self;
        let tokens = of("tokens", self.tokens, used.tokens, reserved.tokens, needs.tokens);
        let requests =
            of("requests", self.requests, used.requests, reserved.requests, needs.requests);
        let amounts: Vec<String> = tokens.into_iter().chain(requests).collect();
        format!("`{}` has {}", self.account, amounts.join("; "))
    }
}

impl AnswerFault {
    /// What is wrong, in words for the operator; never content.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::BrokeOff => "the answer broke off",
            Self::Calls => {
                "a call of a tool in the answer cannot be followed, so it cannot be judged"
            }
            Self::Encoded => "the answer is encoded",
            Self::Failed => "the answer could not be read",
            Self::NoMemory => "there is no memory left to read the answer",
            Self::NotJson => "the answer is not the JSON it says it is",
            Self::OtherType => "the answer is neither JSON nor an event stream",
            Self::Stopped => "the answer stopped",
            Self::StreamAfterFinish => "in the stream a text follows the finish of its choice",
            Self::StreamChoices => {
                "the stream has a choice or an event that two clients could take for different ones"
            }
            Self::StreamEvents => "the stream is not one of events, or an event is too large",
            Self::StreamNotJson => "the data of an event is not valid JSON",
            Self::StreamSplitName => {
                "in the stream an id or a name that has to be masked comes in pieces"
            }
            Self::StreamTooManyTexts => "the stream has more texts at once than can be followed",
            Self::TooLarge => "the answer is larger than can be read",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::BrokeOff | Self::Stopped => {
                "send the request again; if it happens often, report the provider"
            }
            Self::Encoded => {
                "the provider compressed what was asked for without compression: report the provider"
            }
            Self::Failed => "report it with the exchange's id",
            Self::NoMemory => "send less at once",
            Self::OtherType => {
                "permit such requests without a mask of the answer and without a rule about tool calls, or keep the agent from \
                 sending them"
            }
            Self::NotJson
            | Self::Calls
            | Self::StreamAfterFinish
            | Self::StreamChoices
            | Self::StreamEvents
            | Self::StreamNotJson
            | Self::StreamSplitName => "the answer is not that of the API: report the provider",
            Self::StreamTooManyTexts => "ask for fewer choices in one request",
            Self::TooLarge => "ask for less in one request, or for a stream",
        }
    }
}

impl Limited {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Memory => "no memory is left for bodies that are held whole",
            Self::Questions => "too many questions wait for people",
            Self::RequestIdle => "the body of the request stood still for too long",
            Self::Upstream => "too many connections or exchanges are under way",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Memory => "send less at once, or less in one request",
            Self::Questions => "send it again when some are answered: `enforcer approval list`",
            Self::RequestIdle => "send the body without a pause",
            Self::Upstream => "send less at once",
        }
    }
}
