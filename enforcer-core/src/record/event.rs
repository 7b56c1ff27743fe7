// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The events of a session, in the order in which they happened.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Cause, Recorded, RecordedCall, RecordedFacts, Technique};
use crate::budget::Amount;
use crate::mask::Masker;
use crate::model::{
    AgentName, ApprovalName, Capture, Decision, Denied, ExchangeId, Fault, Launch, Mode,
    PolicyVersion, SessionId, UnixMillis, Usage,
};

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The session it belongs to.
    pub session: SessionId,
    /// Counted from 0 within the session, without gaps.
    pub sequence: u64,
    /// When it happened, by the daemon's clock.
    pub at: UnixMillis,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// A person answered a question.
    ApprovalAnswered {
        /// The exchange that asked first.
        exchange: ExchangeId,
        /// Number of the question.
        question: u64,
        /// The approvals that the person may give.
        approvals: BTreeSet<ApprovalName>,
        /// BLAKE3 of everything that was shown and goes out.
        digest: String,
        /// True if it may be sent as far as this person is asked.
        grants: bool,
        /// Name of the user of this host.
        by: String,
    },
    /// An exchange is held until people have approved it.
    ApprovalAsked {
        /// The exchange.
        exchange: ExchangeId,
        /// Number of the question.
        question: u64,
        /// The approvals that it needs.
        needs: BTreeSet<ApprovalName>,
        /// BLAKE3 of everything that goes out.
        digest: String,
    },
    /// Somebody read what belongs to another user (host session). What repeats it soon after is not recorded again.
    Audited {
        /// Name of the user of this host, or the number of one without a name.
        by: String,
        /// Number of that user.
        uid: u32,
        /// Whose record it was; missing for several sessions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_session: Option<SessionId>,
        /// What was read.
        what: Audited,
    },
    /// The counter of a budget was set back to 0 (host session).
    BudgetReset {
        /// The counter.
        account: String,
        /// Name of the user of this host.
        by: String,
        /// What was used of the budget before; nothing in records of versions that did not say it.
        #[serde(default)]
        had: Amount,
    },
    /// A connection was refused before any exchange.
    ConnectionRefused {
        /// Process that connected, as the kernel saw it.
        process: Process,
        /// Original destination.
        destination: Recorded,
        /// Server name of the client hello, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_name: Option<Recorded>,
        /// Why.
        denied: Denied,
        /// What the operator needs to know beyond the reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Recorded>,
        /// In observe mode it was passed on as it came.
        #[serde(default, skip_serializing_if = "Mode::is_enforce")]
        mode: Mode,
    },
    /// Connections of a process were ended that it had before it was guarded.
    ConnectionsCut {
        /// The process.
        process: Process,
        /// How many.
        count: u64,
    },
    /// Events that nobody waits for (the kernel's) found the journal queue full (host session).
    EventsLost {
        /// How many, since the last such record.
        count: u64,
    },
    /// An exchange ended.
    ExchangeClosed(ExchangeClosed),
    /// An exchange was judged; written before a byte of it goes upstream.
    ExchangeOpened(Box<ExchangeOpened>),
    /// Something is broken (host session); what it means stands in `status`.
    FaultBegan {
        /// What.
        fault: Fault,
        /// How it shows, in words.
        detail: Recorded,
    },
    /// It is not broken any more (host session).
    FaultEnded {
        /// What.
        fault: Fault,
    },
    /// The journal was not as the last run left it, and what was done about it (host session).
    JournalRecovered {
        /// What was found, in words.
        detail: String,
    },
    /// Events of the kernel found its ring full; what it refused stayed refused (host session).
    KernelEventsLost {
        /// How many, since the last such record.
        count: u64,
    },
    /// The policy in force changed (host session).
    PolicyLoaded {
        /// The version now in force.
        policy: PolicyVersion,
    },
    /// The kernel refused something that never became a connection.
    NetworkRefused(NetworkRefused),
    /// A name was asked for that belongs to no endpoint which the agent may use.
    ResolveRefused {
        /// Process that asked, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<Process>,
        /// The name; of several the first.
        name: Recorded,
        /// How many queries this record stands for, and when they were.
        #[serde(flatten)]
        repeated: Repeated,
    },
    /// The last process of the session is gone.
    SessionClosed {},
    /// A session began.
    SessionOpened(SessionOpened),
    /// A passed-through connection ended.
    TunnelClosed {
        /// The exchange it belongs to.
        exchange: ExchangeId,
        /// Bytes to the server.
        bytes_up: u64,
        /// Bytes to the agent.
        bytes_down: u64,
        /// Why it never began, where the server could not be reached.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        denied: Option<Denied>,
        /// What the operator needs to know beyond that reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<Recorded>,
    },
}

/// What was read of another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audited {
    /// A request that waits for a person, with its body.
    Approval,
    /// The list of requests that wait for a person.
    Approvals,
    /// Stored bodies of requests and answers.
    Bodies,
    /// The counters of budgets.
    Budgets,
    /// The events of a session.
    Events,
    /// The list of sessions.
    Sessions,
}

impl Audited {
    /// What it is, in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Approval => "a request that waits for approval",
            Self::Approvals => "the list of requests that wait for approval",
            Self::Bodies => "stored bodies",
            Self::Budgets => "the budgets",
            Self::Events => "the events",
            Self::Sessions => "the list of sessions",
        }
    }
}

impl EventBody {
    /// The exchange that it is about, if it is about one.
    #[must_use]
    pub fn exchange(&self) -> Option<ExchangeId> {
        match self {
            Self::ApprovalAnswered { exchange, .. }
            | Self::ApprovalAsked { exchange, .. }
            | Self::TunnelClosed { exchange, .. } => Some(*exchange),
            Self::ExchangeClosed(closed) => Some(closed.exchange),
            Self::ExchangeOpened(opened) => Some(opened.exchange),
            Self::Audited { .. }
            | Self::BudgetReset { .. }
            | Self::ConnectionRefused { .. }
            | Self::ConnectionsCut { .. }
            | Self::EventsLost { .. }
            | Self::FaultBegan { .. }
            | Self::FaultEnded { .. }
            | Self::JournalRecovered { .. }
            | Self::KernelEventsLost { .. }
            | Self::NetworkRefused(_)
            | Self::PolicyLoaded { .. }
            | Self::ResolveRefused { .. }
            | Self::SessionClosed {}
            | Self::SessionOpened(_) => None,
        }
    }
}

/// A process as the kernel saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Command name of the thread (at most 15 bytes).
    pub comm: Recorded,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
}

impl Process {
    /// A process of which no more is known.
    #[must_use]
    pub fn new(pid: u32, uid: u32, comm: impl Into<Recorded>) -> Self {
        Self { pid, uid, comm: comm.into(), details: None }
    }

    /// The same process under the masks of another policy: it may have been seen before that one came in force.
    #[must_use]
    pub fn again(self, masker: &Masker) -> Self {
        let details = self.details.map(|details| {
            let Details { started_ns, cgroup, cgroup_path, exe_inode, exe_device, exe, ancestors } =
                *details;
            let again = |text: Option<Recorded>| text.map(|text| text.again(masker));
            let (cgroup_path, exe) = (again(cgroup_path), again(exe));
            let exe_device = again(exe_device);
            Box::new(Details {
                started_ns,
                cgroup,
                cgroup_path,
                exe_inode,
                exe_device,
                exe,
                ancestors,
            })
        });
        Self { comm: self.comm.again(masker), details, ..self }
    }
}

/// What is known of a process beyond its names. Of one that connected, the kernel told it in that moment; of
/// one that was refused, it was read in `/proc` as long as it was still the same process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// When the process started, in nanoseconds since boot; with its id it names it for good. What was read
    /// in `/proc` is rounded down to a tick.
    pub started_ns: u64,
    /// Id of its cgroup, where the kernel told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<u64>,
    /// Path of its cgroup, where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup_path: Option<Recorded>,
    /// Inode of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe_inode: Option<u64>,
    /// Device of its program: `major:minor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe_device: Option<Recorded>,
    /// Path of its program, where the daemon has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<Recorded>,
    /// Process ids of its ancestors, the parent first, as far as they were looked at.
    pub ancestors: Vec<u32>,
}

/// How many attempts one record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeated {
    /// How many.
    #[serde(default = "one")]
    pub count: u64,
    /// When the first of several was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<UnixMillis>,
    /// When the last of several was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<UnixMillis>,
    /// True if they differ in more than their time: what the record names is the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_mixed: bool,
}

const fn one() -> u64 {
    1
}

impl Repeated {
    /// One attempt.
    pub const ONCE: Self = Self { count: 1, first: None, last: None, is_mixed: false };

    /// What a ledger counted.
    #[must_use]
    pub fn of<V, O>(entry: &super::Entry<V, O>) -> Self {
        let is_several = entry.count > 1;
        Self {
            count: entry.count,
            first: is_several.then_some(entry.first),
            last: is_several.then_some(entry.last),
            is_mixed: entry.is_mixed,
        }
    }
}

impl Default for Repeated {
    fn default() -> Self {
        Self::ONCE
    }
}

/// The root process of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// The agent it was started as.
    pub agent: AgentName,
    /// The process that asked for the session; its command replaces it.
    pub process: Process,
    /// The command, as typed.
    pub command: Vec<Recorded>,
    /// The policy in force at the start.
    pub policy: PolicyVersion,
    /// How the command was to be started; missing in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    /// How the process became an agent, where it was by a selector and not by `enforcer run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<Selected>,
}

/// What is known of a process that a selector described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// Path of its program, if it still ran when it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<Recorded>,
    /// Process id of its parent in the initial namespace.
    pub parent: u32,
    /// When it started, in nanoseconds since boot.
    pub started_ns: u64,
    /// Id of its cgroup; zero for one that ran already.
    pub cgroup: u64,
    /// Which of its connections are redirected.
    #[serde(default, skip_serializing_if = "Capture::is_all")]
    pub capture: Capture,
}

/// An exchange was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeOpened {
    /// Its id.
    pub exchange: ExchangeId,
    /// Process whose connection carries it.
    pub process: Process,
    /// Original destination.
    pub destination: Recorded,
    /// Host of the request.
    pub host: Recorded,
    /// Method and path as sent, without query.
    pub request_line: Recorded,
    /// What the policy saw.
    pub facts: RecordedFacts,
    /// True if the texts of the facts are not whole: what decided cannot be judged again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub facts_cut: bool,
    /// What it answered.
    pub decision: Decision,
    /// The refusal that the agent received, where it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Denied>,
    /// What that refusal is about, where its reason does not say all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The request as it goes upstream, without what is hidden in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<BodyRef>,
    /// Why the request is not stored, or only its beginning, where all of it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_unstored: Option<Unstored>,
    /// Places masked in the request on its way to the provider, all of its texts together. What is hidden in the record
    /// beyond that is not counted.
    pub masked: u64,
}

/// An exchange ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeClosed {
    /// Its id.
    pub exchange: ExchangeId,
    /// How.
    pub outcome: ExchangeOutcome,
    /// What a refusal is about, where its reason does not say all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// HTTP status that the agent received, where one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The request as it went upstream, where it was streamed and so is known only now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<BodyRef>,
    /// The answer as the agent received it, without what is hidden in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<BodyRef>,
    /// Why the request is not stored, or only its beginning, where all of it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_unstored: Option<Unstored>,
    /// Why the answer is not stored, or only its beginning, where all of it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_unstored: Option<Unstored>,
    /// Places masked in the answer on its way to the agent, all of its texts together. What is hidden in the record beyond
    /// that is not counted.
    pub masked: u64,
    /// The calls of tools that the model asked for, where a rule is about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<RecordedCall>,
    /// Tool calls beyond those that are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_tool_calls: u64,
    /// Bytes of the request's body that went upstream, kept or not.
    pub bytes_up: u64,
    /// Bytes of the answer's body that went to the agent, kept or not.
    pub bytes_down: u64,
    /// What the provider says it used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What it was charged to each counter of a budget; empty if no budget applies or nothing was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charged: Vec<Charged>,
    /// Milliseconds from the decision to the end.
    pub took_ms: u64,
    /// What the operator needs to know beyond the outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Recorded>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What an exchange was charged to one counter of a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// The counter, as `enforcer budget list` names it.
    pub account: String,
    /// Tokens and requests.
    #[serde(flatten)]
    pub amount: Amount,
}

/// How an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeOutcome {
    /// The agent went away before the end; `agent_left` in `session why`.
    Aborted,
    /// The whole answer reached the agent; `answered` in `session why`.
    Completed,
    /// It was refused after the decision (upstream, limits, undecodable answer); in `session why` it is `cut` if a
    /// part of the answer was with the agent, else `denied`.
    Denied(Denied),
}

/// Something that was refused before it became a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRefused {
    /// The process; pid 0 where the kernel had no current task.
    pub process: Process,
    /// Where it was seen: a word of [`super::Hook`].
    pub hook: Recorded,
    /// Why it was refused: a word of [`super::Refusal`].
    pub refusal: Recorded,
    /// The bypass technique, if known.
    #[serde(default)]
    pub technique: Technique,
    /// Where to, where there was a destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Recorded>,
    /// Socket kind in words: `inet/raw/255`.
    pub socket: Recorded,
    /// How many attempts this record stands for, and when they were.
    #[serde(flatten)]
    pub repeated: Repeated,
}

/// Why a body is not stored whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unstored {
    /// Its agent has stored as much as one may within an hour.
    AgentBound,
    /// The exchange was denied: of such ones only small bodies are kept that were read to judge them.
    Denied,
    /// The disk did not take it.
    Failed,
    /// It is larger than one body may be.
    TooLarge,
    /// It is no text that could be looked at, so nothing could be hidden in it.
    Unreadable,
}

impl Unstored {
    /// The reason in words, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AgentBound => "the agent has stored as much as it may within an hour",
            Self::Denied => {
                "it was denied, and of a denied request only a small body that was read is kept"
            }
            Self::Failed => "the disk did not take it",
            Self::TooLarge => "it is larger than one stored body may be",
            Self::Unreadable => "it could not be read, so nothing in it could be masked",
        }
    }
}

/// A stored body: content-addressed, so that the record proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// BLAKE3 of the stored (uncompressed) bytes, 64 hexadecimal digits.
    pub hash: String,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Bytes seen; larger than stored when the limit cut it.
    pub seen_bytes: u64,
}
