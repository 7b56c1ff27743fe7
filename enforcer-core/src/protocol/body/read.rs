// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One reading of a whole JSON body: for masks, and for detectors.
//!
//! Everything is text, names of members too, except what the [`Tables`] of its API name. Lists of token
//! probabilities become `null`, a number that is masked becomes a string. Errs to masking. The content of
//! files and images is not looked at. Detectors look at what masks read, and also at what masks leave alone.

use std::collections::BTreeSet;

use crate::mask::{DetectorSet, Masker};
use crate::model::{DetectorName, OpaqueCause};

use super::parts::read_body;
use super::reader::MaskTexts;
use super::tables::Tables;

/// A body after masking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedBody {
    /// The body; the input bytes where nothing was masked.
    pub bytes: Vec<u8>,
    /// Places masked.
    pub count: u64,
}

/// Masks a whole body.
///
/// # Errors
/// When the body cannot be read, and so not be masked.
pub fn mask_body(
    tables: &'static Tables,
    body: &[u8],
    masker: &Masker,
) -> Result<MaskedBody, OpaqueCause> {
    let mut masking = MaskTexts { masker, tables, count: 0 };
    let bytes = read_body(tables, body, &mut masking)?.into_owned();
    Ok(MaskedBody { bytes, count: masking.count })
}

/// The detectors that find something in a whole body.
///
/// # Errors
/// When the body cannot be read.
pub fn detect_body(
    tables: &'static Tables,
    body: &[u8],
    detectors: &DetectorSet,
) -> Result<BTreeSet<DetectorName>, OpaqueCause> {
    let mut look = detectors.look();
    if !detectors.is_empty() {
        read_body(tables, body, &mut look)?;
    }
    Ok(look.names())
}
