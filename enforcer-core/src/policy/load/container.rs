// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Containers: how a bundle names one, and which one a cgroup belongs to.
//!
//! Runtimes put the id of a container into the name of its cgroup, each in its own way; a name that a person gave
//! it is there only for machines of systemd. What looks like neither is no container.

use crate::model::limits::CONTAINER_NAME_BYTES_MAX;

/// Digits of a container's id as tools show it.
pub const SHORT_ID_DIGITS: usize = 12;
/// Digits of a whole id.
const ID_DIGITS: usize = 64;

/// What stands before the id in the name of a cgroup: by docker, containerd, CRI-O and podman under systemd; nothing
/// without it. The programs in the kernel know the same ones.
const RUNTIMES: [&str; 5] = ["docker-", "cri-containerd-", "crio-", "libpod-", ""];

/// A container as a bundle names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Container {
    /// By its id, in its short or whole form, lower case.
    Id(String),
    /// By its name.
    Name(String),
}

impl Container {
    /// Reads what a bundle says; the error says what is wrong with it.
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, &'static str> {
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && matches!(text.len(), SHORT_ID_DIGITS | ID_DIGITS) {
            return Ok(Self::Id(text.to_ascii_lowercase()));
        }
        if is_hex && (SHORT_ID_DIGITS..=ID_DIGITS).contains(&text.len()) {
            return Err("an id has 12 digits in its short form and 64 as a whole");
        }
        if text.contains('*') {
            return Err("a name is not a pattern; name each container in an entry of its own");
        }
        // What docker, podman and systemd take alike.
        let is_inner =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let is_name = text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(is_inner);
        if !is_name || text.len() > CONTAINER_NAME_BYTES_MAX {
            return Err("no container has such a name or id");
        }
        Ok(Self::Name(text.to_owned()))
    }
}

/// The id of the container that a cgroup with this name is of; none when it is of none.
#[must_use]
pub fn container_id(cgroup: &str) -> Option<&str> {
    let name = cgroup.strip_suffix(".scope").unwrap_or(cgroup);
    let id = RUNTIMES.iter().find_map(|runtime| name.strip_prefix(runtime))?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (id.len() == ID_DIGITS && id.bytes().all(is_digit)).then_some(id)
}

/// The name of the cgroup of a machine of systemd (systemd-machined.service(8)).
#[must_use]
pub fn machine_scope(name: &str) -> String {
    // In the name of a unit a hyphen separates.
    format!("machine-{}.scope", name.replace('-', "\\x2d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4e5a6b7c8d9e0f112233445566778899aabbccddeeff00112233445566778f";

    #[test]
    fn the_id_is_found_in_the_layout_of_each_runtime() {
        for layout in [
            "/system.slice/docker-{}.scope",
            "/docker/{}",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{}.scope",
            "/machine.slice/libpod-{}.scope",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-{}.scope",
            "/kubepods.slice/kubepods-pod1.slice/crio-{}.scope",
            "/kubepods/besteffort/pod0a1b-2c3d/{}",
            "/actions_job/{}",
        ] {
            let path = layout.replace("{}", ID);
            let name = path.rsplit('/').next().expect("a name");
            assert_eq!(container_id(name), Some(ID), "{path}");
        }
        for other in [
            "docker.service".to_owned(),
            "docker-3f4e5a6b7c8d.scope".to_owned(),
            format!("crio-conmon-{ID}.scope"),
            format!("libpod-conmon-{ID}.scope"),
            format!("{ID}0"),
            format!("docker-{}.scope", ID.to_uppercase()),
            format!("docker-{ID}.slice"),
            format!("docker-g{}.scope", ID.strip_prefix('3').expect("its first digit")),
            format!("machine-{ID}.scope"),
            String::new(),
        ] {
            assert_eq!(container_id(&other), None, "{other}");
        }
    }

    #[test]
    fn a_container_is_named_by_id_or_name() {
        let upper = ID.to_uppercase();
        assert_eq!(Container::parse(&upper), Ok(Container::Id(ID.to_owned())));
        assert_eq!(Container::parse("3f4e5a6b7c8d"), Ok(Container::Id("3f4e5a6b7c8d".to_owned())));
        for name in ["support", "web-1", "a_b.c", "beef"] {
            assert_eq!(Container::parse(name), Ok(Container::Name(name.to_owned())));
        }
        for (bad, why) in [
            ("", "no container"),
            ("web-*", "not a pattern"),
            ("3f4e5a6b7c8d9", "12 digits"),
            ("/web", "no container"),
            ("-web", "no container"),
            ("a b", "no container"),
        ] {
            let error = Container::parse(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(Container::parse(&"a".repeat(CONTAINER_NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_machine_has_a_scope_in_which_hyphens_are_escaped() {
        assert_eq!(machine_scope("web-1"), "machine-web\\x2d1.scope");
    }
}
