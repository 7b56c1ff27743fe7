// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Push decoders without IO: bytes in, facts and rewritten bytes out.
//!
//! Nothing here connects, waits or decides. What a decoder does not understand it says so; it never
//! passes a guess on.

pub mod answer;
pub mod anthropic;
pub mod body;
pub mod codec;
pub mod content;
pub mod disown;
pub mod door;
mod elsewhere;
pub mod family;
pub mod h2;
pub mod headers;
pub mod http;
pub mod json_text;
mod json_tree;
mod names;
pub mod openai;
pub mod path;
pub mod sse;
mod tokens;
pub mod understood;
