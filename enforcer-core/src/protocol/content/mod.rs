// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a body is framed and packed, whatever API it belongs to. Nothing here knows a provider.

pub mod encoding;
pub mod json_lines;
pub mod multipart;
mod splice;
