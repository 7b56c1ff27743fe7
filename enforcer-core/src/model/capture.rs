// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which connections of an agent are redirected.

use serde::{Deserialize, Serialize};

/// Which connections of an agent's processes go through the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// All of them; what cannot go there is refused.
    #[default]
    All,
    /// Those to addresses of endpoints; everything else is left alone.
    Endpoints,
}

impl Capture {
    /// The word in a bundle.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Endpoints => "endpoints",
        }
    }

    /// Whether everything is taken.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}
