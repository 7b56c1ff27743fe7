// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of users and groups, as this host has them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;

use axum::http::StatusCode;
use nix::unistd::{Group, Uid, User, getgrouplist};

use super::host::{Refusal, blocking};
use crate::approval::Person;

/// Groups of one user that are looked at.
const GROUPS_MAX: usize = 1024;

/// Names of users, where this host has them.
pub(super) async fn users(uids: BTreeSet<u32>) -> Result<BTreeMap<u32, String>, Refusal> {
    let named = |uid: u32| Some((uid, User::from_uid(Uid::from_raw(uid)).ok()??.name));
    blocking(move || uids.into_iter().filter_map(named).collect()).await
}

/// Who has this user id on this host. Directory services may take their time, so it has a thread.
pub(super) async fn person(uid: u32) -> Result<Person, Refusal> {
    let nobody = || Refusal::new(StatusCode::FORBIDDEN, format!("user {uid} is nobody here"));
    let found = blocking(move || {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten()?;
        let name = CString::new(user.name.clone()).ok()?;
        let groups = getgrouplist(&name, user.gid).ok()?;
        let groups = groups.into_iter().take(GROUPS_MAX);
        let groups = groups.filter_map(|gid| Some(Group::from_gid(gid).ok()??.name)).collect();
        Some(Person { user: user.name, groups })
    });
    found.await?.ok_or_else(nobody)
}
