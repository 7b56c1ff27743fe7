// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events and another policy: what it would have decided.
