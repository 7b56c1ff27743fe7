// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is written down, and how it is chained. No disk: the store room keeps the bytes.

mod event;

pub use event::{
    BodyRef, Event, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome, NetworkRefused,
    Process, SessionOpened,
};
