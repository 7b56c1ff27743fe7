// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is recorded and logged of an exchange, and what must not be.

mod hidden;
mod log;
mod record;
mod recorded;
mod secrets;
mod stored;
mod why;
