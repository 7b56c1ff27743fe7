// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names of containers, from the files in which docker and podman keep them: they are not in the names of cgroups.
//!
//! Only read where a bundle names a container by name. A file that cannot be read names nobody. A container is
//! written down when it is created, before it is started.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use enforcer_core::model::limits;
use enforcer_core::policy::container_id;
use serde::Deserialize;

use super::resolve::Stamp;

/// Where docker keeps a folder for each container.
const DOCKER: &str = "/var/lib/docker/containers";
/// The file in there that has the name.
const DOCKER_FILE: &str = "config.v2.json";
/// Where podman and CRI-O keep the list of containers.
const PODMAN: &str = "/var/lib/containers/storage/overlay-containers/containers.json";

/// What was read, so that a file is read once for each of its states.
#[derive(Debug)]
pub(super) struct Containers {
    docker: PathBuf,
    podman: PathBuf,
    read: HashMap<PathBuf, (Stamp, Vec<Named>)>,
}

/// A container with its names.
#[derive(Clone, Debug, Deserialize)]
struct Named {
    #[serde(alias = "ID")]
    id: String,
    #[serde(default)]
    names: Vec<String>,
    /// Docker has one, with a slash in front.
    #[serde(default, rename = "Name")]
    name: Option<String>,
}

impl Default for Containers {
    fn default() -> Self {
        Self::at(DOCKER.into(), PODMAN.into())
    }
}

impl Containers {
    fn at(docker: PathBuf, podman: PathBuf) -> Self {
        Self { docker, podman, read: HashMap::new() }
    }

    /// Reads what is new; forgets everything where nobody asks.
    pub(super) fn look(&mut self, is_asked: bool) {
        let folders = is_asked.then(|| fs::read_dir(&self.docker)).into_iter().flatten().flatten();
        let folders = folders.flatten().take(limits::CONTAINERS_MAX);
        let files = folders.map(|folder| folder.path().join(DOCKER_FILE));
        let podman = is_asked.then(|| self.podman.clone());
        let mut read = HashMap::new();
        for path in files.chain(podman) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let stamp = Stamp::of(&metadata);
            let known = self.read.remove(&path).filter(|(known, _)| *known == stamp);
            let named = known.map_or_else(|| names_in(&path), |(_, named)| named);
            read.insert(path, (stamp, named));
        }
        self.read = read;
    }

    /// Ids of the containers of this name.
    pub(super) fn ids_of(&self, name: &str) -> Vec<String> {
        let all = self.read.values().flat_map(|(_, named)| named);
        let has_name = |named: &&Named| {
            let docker = named.name.as_deref().and_then(|name| name.strip_prefix('/'));
            docker == Some(name) || named.names.iter().any(|other| other == name)
        };
        let mut ids: Vec<String> = all.filter(has_name).map(|named| named.id.clone()).collect();
        ids.retain(|id| container_id(id).is_some());
        ids.sort();
        ids
    }
}

/// One container or a list of them.
fn names_in(path: &Path) -> Vec<Named> {
    let mut text = String::new();
    let limit = limits::CONTAINER_FILE_BYTES_MAX;
    match File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "a container has no name");
            return Vec::new();
        }
    }
    let list = serde_json::from_str::<Vec<Named>>(&text);
    list.or_else(|_| serde_json::from_str::<Named>(&text).map(|one| vec![one])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_docker_and_podman_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let (docker, podman) = (folder.path().join("docker"), folder.path().join("podman.json"));
        let [first, second, third] = ["a", "b", "c"].map(|digit| digit.repeat(64));
        let write = |id: &str, name: &str| {
            fs::create_dir_all(docker.join(id)).unwrap();
            let text = format!(r#"{{"ID":"{id}","Name":"/{name}","State":{{"Pid":1}}}}"#);
            fs::write(docker.join(id).join(DOCKER_FILE), text).unwrap();
        };
        write(&first, "support");
        write("not-an-id", "support");
        let list = format!(
            r#"[{{"id":"{second}","names":["web","support"]}},{{"id":"{third}","layer":"x"}}]"#
        );
        fs::write(&podman, list).unwrap();
        let mut containers = Containers::at(docker.clone(), podman);
        assert!(containers.ids_of("support").is_empty(), "nothing is read yet");
        containers.look(true);
        assert_eq!(containers.ids_of("support"), [first.clone(), second.clone()]);
        assert_eq!(containers.ids_of("web"), [second]);
        write(&first, "renamed");
        containers.look(true);
        assert_eq!(containers.ids_of("renamed"), std::slice::from_ref(&first));
        fs::write(docker.join(&first).join(DOCKER_FILE), "{ half").unwrap();
        containers.look(true);
        assert!(containers.ids_of("renamed").is_empty());
        containers.look(false);
        assert!(containers.ids_of("web").is_empty());
    }
}
