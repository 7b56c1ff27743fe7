// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words of the product as types: who, where, what, and what was decided.
//!
//! Every room speaks these; nothing in here does anything.

mod api;
mod capture;
mod chat;
mod decision;
mod deny;
mod facts;
mod fault;
mod ids;
mod launch;
pub mod limits;
mod opaque;
mod rewrite;
mod step;
mod tool_call;

pub use api::{
    Batch, Call, CountTokens, Embed, FileRead, FineTune, Image, Moderate, Speech, TraceExport,
    Upload,
};
pub use capture::Capture;
pub use chat::Chat;
pub use decision::{Decision, Effect, Mode, Obligations, RecordDepth, Would};
pub use deny::{Denied, DenyReason};
pub use facts::{Called, Connect, Facts, Http, Opaque, OpaqueCause, Operation, Passed, Usage};
pub use fault::{Alarm, Fault};
pub use ids::{
    AgentName, ApprovalName, BudgetName, CredentialName, DetectorName, EndpointName, ExchangeId,
    MaskName, NotAnId, PolicyVersion, RuleId, SessionId, UnixMillis,
};
pub use launch::{Lack, Launch, LaunchMode};
pub use opaque::{WhyOpaque, declared};
pub(crate) use rewrite::Rewrite;
pub use step::Step;
pub use tool_call::{ToolCall, ToolKind};
