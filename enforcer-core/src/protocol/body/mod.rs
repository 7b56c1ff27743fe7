// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON bodies of any API: which of their strings are text, and one way to read them.

mod parts;
mod payload;
mod read;
mod reader;
mod tables;

pub use payload::{is_base64, media_type};
pub use read::{MaskedBody, detect_body, mask_body};
pub(super) use reader::MaskTexts;
pub use tables::Tables;
