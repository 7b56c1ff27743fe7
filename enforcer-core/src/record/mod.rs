// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is written down, and how it is chained. No disk: the store room keeps the bytes.

mod allowance;
mod attempt;
mod call;
mod canonical;
mod cause;
mod chain;
mod ending;
mod event;
mod frame;
mod ledger;
mod recorded;
mod text_body;
mod verify;

pub use allowance::{AllowanceBounds, Allowances, Spent};
pub use attempt::{Hook, Refusal, SocketFacts, Technique, technique};
pub use call::{CallVerdict, RecordedCall};
pub use canonical::{CanonicalError, decode, encode};
pub use cause::{AnswerFault, Cause, Limited, Shortage, ShownFault};
pub use chain::{Chain, Hash, Head, NotAHash};
pub use ending::{Ending, Refused};
pub use event::{
    Audited, BodyRef, Charged, Details, Event, EventBody, ExchangeClosed, ExchangeOpened,
    ExchangeOutcome, NetworkRefused, Process, Repeated, Selected, SessionOpened, Unstored,
};
pub use frame::{Content, ContentRef, Frame, FrameError, MAGIC, frames_in};
pub use ledger::{Bounds, Entry, Key, Kind, Ledger};
pub use recorded::{Recorded, RecordedFacts, masked_query};
pub use text_body::{NotText, TextBody};
pub use verify::{Finding, FindingKind, Verifier, verify};
