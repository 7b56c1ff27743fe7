// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a body is framed, whatever API it belongs to. Nothing here knows a provider.

pub mod json_lines;
pub mod multipart;
mod splice;
