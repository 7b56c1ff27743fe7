// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is signed about a period: where each session started and stands in it, and, after a clean stop,
//! the hash of every block of every file of the engine.
//!
//! The chain shows that records fit together; the signature shows that they are the ones this daemon
//! wrote; the seal shows a changed byte even where the engine keeps nothing that is in use.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use enforcer_core::model::UnixMillis;
use enforcer_core::record::Hash;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::heads::Heads;
use super::latest::Latest;
use super::{Error, files};

/// Bytes of a block of the seal: the precision with which a changed place is known.
pub(super) const SEAL_BLOCK_BYTES: usize = 64 * 1024;
/// File of the checkpoint in the folder of a period.
pub(super) const FILE_NAME: &str = "checkpoint";
/// What a crash may leave of a checkpoint's first writing.
pub(super) const UNFINISHED_NAME: &str = "checkpoint.new";
const KEY_NAME: &str = "checkpoint.key";
const PUBLIC_NAME: &str = "checkpoint.pub";

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// Name of the period, so that one cannot stand in for another.
    pub(super) period: String,
    /// Name of the period before it, which must still be there.
    pub(super) previous: Option<String>,
    /// The run of the writer that signed. Records of earlier runs beyond `heads` were lost in a crash.
    pub(super) epoch: u32,
    /// The number of this signature in the journal; only grows.
    pub(super) counter: u64,
    /// What was found wrong with the journal as a whole when runs began in this period.
    pub(super) findings: Vec<String>,
    /// When.
    pub(super) at: UnixMillis,
    /// Where the sessions stood when the period began.
    pub(super) starts: Heads,
    /// Where they stand.
    pub(super) heads: Heads,
    /// The files, if nobody has them open.
    pub(super) seal: Option<Seal>,
}

/// The hash of every block of every file below the engine folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    files: Vec<SealedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SealedFile {
    path: PathBuf,
    bytes: u64,
    blocks: Vec<Hash>,
}

/// A place of a file that is not as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The file, relative to the engine folder.
    pub(super) path: PathBuf,
    /// Where the changed block starts; none if the file is new or gone.
    pub(super) block: Option<u64>,
    /// What happened, in words.
    pub(super) what: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    statement: String,
    signature: String,
}

impl Seal {
    /// The seal of the files below `engine` as they are now.
    pub(super) fn of(engine: &Path) -> Result<Self, Error> {
        let mut sealed = Vec::new();
        for path in files::files_below(engine)? {
            let (bytes, blocks) = blocks_of(&engine.join(&path))?;
            sealed.push(SealedFile { path, bytes, blocks });
        }
        Ok(Self { files: sealed })
    }

    /// What is not as it was sealed.
    pub(super) fn changes(&self, engine: &Path) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for path in files::files_below(engine)? {
            if !self.files.iter().any(|file| file.path == path) {
                changes.push(Change { path, block: None, what: "is new" });
            }
        }
        for file in &self.files {
            let path = file.path.clone();
            if !engine.join(&path).is_file() {
                changes.push(Change { path, block: None, what: "is gone" });
                continue;
            }
            let (bytes, blocks) = blocks_of(&engine.join(&path))?;
            let count = blocks.len().max(file.blocks.len());
            for index in (0_usize..count).filter(|i| blocks.get(*i) != file.blocks.get(*i)) {
                let block = u64::try_from(index.saturating_mul(SEAL_BLOCK_BYTES)).ok();
                changes.push(Change { path: path.clone(), block, what: "was changed" });
            }
            if bytes != file.bytes && blocks == file.blocks {
                changes.push(Change { path, block: None, what: "has another length" });
            }
        }
        Ok(changes)
    }
}

fn blocks_of(path: &Path) -> Result<(u64, Vec<Hash>), Error> {
    let fail = |source| Error::disk("read", path, source);
    let mut file = File::open(path).map_err(fail)?;
    let (mut bytes, mut blocks, mut block) = (0, Vec::new(), Vec::with_capacity(SEAL_BLOCK_BYTES));
    loop {
        block.clear();
        let limit = u64::try_from(SEAL_BLOCK_BYTES).unwrap_or(u64::MAX);
        let read = file.by_ref().take(limit).read_to_end(&mut block).map_err(fail)?;
        if read == 0 {
            return Ok((bytes, blocks));
        }
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
        blocks.push(Hash::of(&block));
    }
}

/// The key that signs.
pub(super) struct Key(Ed25519KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&hex(self.0.public_key().as_ref())).finish()
    }
}

impl Key {
    /// The key of the journal at `dir`, made at the first start; and what was wrong with the public one
    /// beside it, which is put right.
    pub(super) fn load_or_make(dir: &Path) -> Result<(Self, Option<String>), Error> {
        let path = dir.join(KEY_NAME);
        let unusable = |cause| Error::Key { path: path.clone(), cause };
        let pair = match fs::read(&path) {
            Ok(bytes) => read_pair(&bytes, unusable)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                refuse_missing(dir, unusable)?;
                let pair = Ed25519KeyPair::generate();
                let pair = pair.map_err(|_unspecified| unusable("it cannot be generated"))?;
                let bytes = pair.to_pkcs8();
                let bytes = bytes.map_err(|_unspecified| unusable("it cannot be written down"))?;
                // First, so that from the key on its absence means that it was removed.
                let key = Self(pair);
                Latest::none().write(dir, &key)?;
                files::replace(&path, bytes.as_ref())?;
                key.0
            }
            Err(source) => return Err(Error::disk("read", &path, source)),
        };
        let (path, key) = (dir.join(PUBLIC_NAME), Self(pair));
        let beside = if path.exists() { Some(public_key(dir)) } else { None };
        if matches!(&beside, Some(Ok(public)) if public == key.public()) {
            return Ok((key, None));
        }
        files::replace(&path, hex(key.public()).as_bytes())?;
        let finding =
            beside.map(|_| format!("`{PUBLIC_NAME}` was not the public key of the journal"));
        Ok((key, finding))
    }

    /// Looks whether [`Self::load_or_make`] would succeed; changes nothing.
    pub(super) fn examine(dir: &Path) -> Result<(), Error> {
        let path = dir.join(KEY_NAME);
        let unusable = |cause| Error::Key { path: path.clone(), cause };
        match fs::read(&path) {
            Ok(bytes) => drop(read_pair(&bytes, unusable)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                refuse_missing(dir, unusable)?;
            }
            Err(source) => return Err(Error::disk("read", &path, source)),
        }
        Ok(())
    }

    /// The public key.
    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs and writes the checkpoint of the period folder `period`.
    pub(super) fn write(&self, period: &Path, statement: &Statement) -> Result<(), Error> {
        self.write_signed(&period.join(FILE_NAME), statement)
    }

    /// Signs and writes a statement.
    pub(super) fn write_signed(
        &self,
        path: &Path,
        statement: &impl Serialize,
    ) -> Result<(), Error> {
        let fail = |error: serde_json::Error| Error::checkpoint(path, error);
        let statement = serde_json::to_string(statement).map_err(fail)?;
        let signature = hex(self.0.sign(statement.as_bytes()).as_ref());
        let signed = serde_json::to_vec(&Signed { statement, signature }).map_err(fail)?;
        files::replace(path, &signed)
    }
}

fn read_pair(
    bytes: &[u8],
    unusable: impl Fn(&'static str) -> Error,
) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_pkcs8(bytes).map_err(|_rejected| unusable("it is not an ed25519 key"))
}

/// Only an unused journal may have no key.
fn refuse_missing(dir: &Path, unusable: impl Fn(&'static str) -> Error) -> Result<(), Error> {
    if files::periods(dir)?.is_empty() && !Latest::is_of_a_used_journal(dir) {
        return Ok(());
    }
    Err(unusable("it is gone, although there are records signed with it"))
}

/// The public key of the journal at `dir`.
pub(super) fn public_key(dir: &Path) -> Result<Vec<u8>, Error> {
    let path = dir.join(PUBLIC_NAME);
    let text = fs::read_to_string(&path).map_err(|source| Error::disk("read", &path, source))?;
    unhex(text.trim()).ok_or(Error::Key { path, cause: "it is not hexadecimal" })
}

/// What a person compares to know a public key again: the first 128 bits of its BLAKE3 hash.
pub(super) fn fingerprint(public: &[u8]) -> String {
    let digits: Vec<char> = Hash::of(public).to_string().chars().take(32).collect();
    let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
    groups.join(" ")
}

/// The checkpoint of the period folder `period`; none if there is none.
///
/// # Errors
/// If it is not what the owner of `public` signed about this period.
pub(super) fn read(period: &Path, name: &str, public: &[u8]) -> Result<Option<Statement>, Error> {
    let path = period.join(FILE_NAME);
    let Some(statement) = read_signed::<Statement>(&path, public)? else { return Ok(None) };
    // A period that was moved aside keeps the checkpoint of the day it was.
    let day = name.split_once('.').map_or(name, |(day, _)| day);
    if statement.period != day {
        return Err(Error::checkpoint(&path, format!("it belongs to `{}`", statement.period)));
    }
    Ok(Some(statement))
}

/// A signed statement; none if there is no such file.
///
/// # Errors
/// If it is not what the owner of `public` signed, or says something else. No statement of one kind reads
/// as one of another.
pub(super) fn read_signed<T: DeserializeOwned>(
    path: &Path,
    public: &[u8],
) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::disk("read", path, source)),
    };
    let signed: Signed =
        serde_json::from_slice(&bytes).map_err(|error| Error::checkpoint(path, error))?;
    // The same signed text written another way is a changed file as well.
    if serde_json::to_vec(&signed).ok().as_deref() != Some(bytes.as_slice()) {
        return Err(Error::checkpoint(path, "it is not written as we write it"));
    }
    let signature = unhex(&signed.signature).unwrap_or_default();
    UnparsedPublicKey::new(&ED25519, public)
        .verify(signed.statement.as_bytes(), &signature)
        .map_err(|_unspecified| Error::checkpoint(path, "the signature does not fit"))?;
    let statement = serde_json::from_str(&signed.statement);
    statement.map(Some).map_err(|error| Error::checkpoint(path, error))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|_| !text.bytes().any(|b| b.is_ascii_uppercase()))?;
    if digits.len() % 2 != 0 {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair.iter().fold(0, |sum, d| sum * 16 + d)).ok())
        .collect()
}
