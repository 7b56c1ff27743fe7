// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Other network namespaces.

mod entered;
mod socket_of_another;
mod unshared;
