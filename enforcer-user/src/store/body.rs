// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bodies: one file each, named by the BLAKE3 of its content, compressed with zstd.
//!
//! A body file is one zstd frame and a skippable zstd frame with the BLAKE3 of everything before it:
//! `zstd -dc` reads it, and a changed byte is seen even where it would decompress to the same content.
//! Writing goes to a temporary file, is made durable, and only then gets its name. The content beyond
//! the limit is counted and not kept.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use enforcer_core::model::AgentName;
use enforcer_core::model::limits::{
    BODY_MEMORY_BYTES_MAX, JOURNAL_PROBE_BYTES, STORED_BODY_BYTES_MAX,
};
use enforcer_core::record::{BodyRef, Hash, Unstored};

use super::journal::Journal;
use super::{Error, files};

const ZSTD_LEVEL: i32 = 1;
/// A skippable frame (RFC 8878 section 3.1.2) with 32 bytes of content.
const TRAILER_HEAD: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];
const TRAILER_BYTES: usize = TRAILER_HEAD.len() + 32;

/// Makes temporary names different; the number of the process is in them as well.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Stores one body. Blocks on the disk once more than [`BODY_MEMORY_BYTES_MAX`] came, and in `finish`:
/// use it on a blocking thread, or use [`AsyncBodyWriter`]. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BodyWriter {
    dir: PathBuf,
    memory: Vec<u8>,
    file: Option<Spill>,
    hasher: blake3::Hasher,
    stored: u64,
    seen: u64,
    /// Who is told when it cannot be stored.
    owner: Option<Journal>,
    /// Whose bytes they are, where that is counted.
    agent: Option<AgentName>,
    /// Why bytes that came are not kept.
    unstored: Option<Unstored>,
}

impl BodyWriter {
    /// A writer into the body folder `dir`.
    pub(super) fn new(dir: PathBuf) -> Self {
        let (memory, hasher) = (Vec::new(), blake3::Hasher::new());
        let (file, owner, agent, unstored) = (None, None, None, None);
        Self { dir, memory, file, hasher, stored: 0, seen: 0, owner, agent, unstored }
    }

    /// Tells `owner` if the body cannot be stored, so that the journal is not healthy then, whatever
    /// becomes of the error.
    pub(super) fn reporting_to(self, owner: Journal) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Takes what it keeps out of what the agent may have stored; from the first bytes that are too many it
    /// keeps none.
    pub(super) fn counted_for(self, agent: AgentName) -> Self {
        Self { agent: Some(agent), ..self }
    }

    /// Why not all bytes that came are kept; none if they are.
    #[must_use]
    pub const fn unstored(&self) -> Option<Unstored> {
        self.unstored
    }

    /// What is kept of the next bytes.
    fn kept<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.unstored.is_some() {
            return &[];
        }
        let room = STORED_BODY_BYTES_MAX.saturating_sub(self.stored);
        let kept = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(bytes);
        if kept.len() < bytes.len() {
            self.unstored = Some(Unstored::TooLarge);
        }
        if let (Some(owner), Some(agent)) = (&self.owner, &self.agent)
            && !owner.may_store(agent, length(kept))
        {
            self.unstored = Some(Unstored::AgentBound);
            return &[];
        }
        kept
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If they cannot be written; the body is then not to be finished.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.take(bytes);
        if let (Err(error), Some(owner)) = (&written, &self.owner) {
            owner.body_failed(&self.path(), error);
        }
        written
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.seen = self.seen.saturating_add(length(bytes));
        let kept = self.kept(bytes);
        self.hasher.update(kept);
        self.stored = self.stored.saturating_add(length(kept));
        if let Some(file) = &mut self.file {
            return file.write(kept);
        }
        self.memory.extend_from_slice(kept);
        if self.memory.len() > BODY_MEMORY_BYTES_MAX {
            let mut file = Spill::create(&self.dir)?;
            file.write(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        Ok(())
    }

    /// Makes the body durable under its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<BodyRef, Error> {
        let (owner, path) = (self.owner.take(), self.path());
        let stored = self.store();
        if let (Err(error), Some(owner)) = (&stored, &owner) {
            owner.body_failed(&path, error);
        }
        stored
    }

    /// Where the body goes, by what came of it so far.
    fn path(&self) -> PathBuf {
        path_of(&self.dir, &Hash::from_bytes(*self.hasher.finalize().as_bytes()))
    }

    fn store(self) -> Result<BodyRef, Error> {
        let hash = Hash::from_bytes(*self.hasher.finalize().as_bytes());
        let reference =
            BodyRef { hash: hash.to_string(), stored_bytes: self.stored, seen_bytes: self.seen };
        let path = path_of(&self.dir, &hash);
        if path.exists() {
            return Ok(reference);
        }
        let file = match self.file {
            Some(file) => file,
            None => {
                let mut file = Spill::create(&self.dir)?;
                file.write(&self.memory)?;
                file
            }
        };
        file.publish(&path)?;
        Ok(reference)
    }
}

/// Finds out whether a body can be stored in `dir` at `path`: stores one next to it and removes it.
pub(super) fn probe(dir: &Path, path: &Path) -> Result<(), Error> {
    // What compresses would find room where a body does not.
    let mut noise = vec![0; JOURNAL_PROBE_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let mut spill = Spill::create(dir)?;
    spill.write(&noise)?;
    let path = path.with_extension("probe");
    spill.publish(&path)?;
    files::remove_if_there(&path).map_err(|source| Error::disk("remove", &path, source))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Where the body with this hash is.
pub(super) fn path_of(dir: &Path, hash: &Hash) -> PathBuf {
    let name = hash.to_string();
    let (folder, rest) = name.split_at_checked(2).unwrap_or(("", &name));
    dir.join(folder).join(rest)
}

/// A body on its way to its file.
struct Spill {
    temporary: Temporary,
    encoder: zstd::stream::write::Encoder<'static, HashingFile>,
}

impl std::fmt::Debug for Spill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spill").field("temporary", &self.temporary).finish_non_exhaustive()
    }
}

impl Spill {
    fn create(dir: &Path) -> Result<Self, Error> {
        let folder = dir.join("tmp");
        files::make_dir(&folder)?;
        let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        let fail = |source| Error::disk("write the body", &path, source);
        let file = HashingFile {
            file: files::create(&path).map_err(fail)?,
            hasher: blake3::Hasher::new(),
        };
        let encoder = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL).map_err(fail)?;
        Ok(Self { temporary: Temporary(path), encoder })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.encoder.write_all(bytes);
        written.map_err(|source| Error::disk("write the body", &self.temporary.0, source))
    }

    fn publish(self, path: &Path) -> Result<(), Error> {
        let temporary = self.temporary;
        let fail = |source| Error::disk("write the body", &temporary.0, source);
        let HashingFile { mut file, hasher } = self.encoder.finish().map_err(fail)?;
        let written = file
            .write_all(&TRAILER_HEAD)
            .and_then(|()| file.write_all(hasher.finalize().as_bytes()))
            .and_then(|()| file.sync_data());
        written.map_err(fail)?;
        let folder = path.parent().unwrap_or(path);
        files::make_dir(folder)?;
        fs::rename(&temporary.0, path).map_err(|e| Error::disk("name the body", path, e))?;
        files::sync_dir(folder)?;
        // The folder itself may be new.
        folder.parent().map_or(Ok(()), files::sync_dir)
    }
}

/// A file that is removed when nobody gave it its name.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = files::remove_if_there(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary body file stays behind");
        }
    }
}

/// Hashes what the file holds, that is the compressed bytes.
struct HashingFile {
    file: File,
    hasher: blake3::Hasher,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The content of the body `hash`, proven.
pub(super) fn read(dir: &Path, hash: &Hash) -> Result<Vec<u8>, Error> {
    let path = path_of(dir, hash);
    let altered = |cause: &str| Error::BodyAltered { hash: *hash, cause: cause.to_owned() };
    let raw = fs::read(&path).map_err(|source| Error::disk("read the body", &path, source))?;
    let split = raw.len().checked_sub(TRAILER_BYTES).ok_or_else(|| altered("it is cut off"))?;
    let (compressed, trailer) =
        raw.split_at_checked(split).ok_or_else(|| altered("it is cut off"))?;
    let proof =
        trailer.strip_prefix(&TRAILER_HEAD).ok_or_else(|| altered("its end was changed"))?;
    if proof != blake3::hash(compressed).as_bytes() {
        return Err(altered("its bytes are not those that were written"));
    }
    let mut content = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(compressed);
    // INVARIANT: a stored body is at most this long, so a longer one is not ours, and cannot fill memory.
    let read = decoder.and_then(|d| d.take(STORED_BODY_BYTES_MAX + 1).read_to_end(&mut content));
    read.map_err(|error| altered(&error.to_string()))?;
    if Hash::of(&content) != *hash {
        return Err(altered("its content is not what its name says"));
    }
    Ok(content)
}

/// Stores one body without blocking the runtime: small bodies are held in memory, everything that
/// touches the disk runs on the blocking pool, one piece of [`BODY_MEMORY_BYTES_MAX`] at a time.
#[derive(Debug)]
pub struct AsyncBodyWriter {
    writer: Option<BodyWriter>,
    piece: Vec<u8>,
}

impl AsyncBodyWriter {
    pub(super) const fn new(writer: BodyWriter) -> Self {
        Self { writer: Some(writer), piece: Vec::new() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If earlier ones could not be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() > BODY_MEMORY_BYTES_MAX { self.flush_piece().await } else { Ok(()) }
    }

    /// Makes the body durable under its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn finish(mut self) -> Result<BodyRef, Error> {
        let mut writer = self.writer.take().ok_or_else(broken)?;
        let piece = std::mem::take(&mut self.piece);
        let finished = tokio::task::spawn_blocking(move || {
            writer.write(&piece)?;
            writer.finish()
        });
        finished.await.map_err(|_cancelled| broken())?
    }

    async fn flush_piece(&mut self) -> Result<(), Error> {
        let mut writer = self.writer.take().ok_or_else(broken)?;
        let piece = std::mem::take(&mut self.piece);
        let written = tokio::task::spawn_blocking(move || writer.write(&piece).map(|()| writer));
        self.writer = Some(written.await.map_err(|_cancelled| broken())??);
        Ok(())
    }
}

fn broken() -> Error {
    Error::Failing("an earlier piece of the body was not written".to_owned())
}
