// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The certificate authority of this host: made once, kept in the state folder, trusted by guarded
//! processes only.
//!
//! It is made whole in a folder beside its place and renamed into it, so that a crash leaves either
//! no CA or a complete one. It is refused, not repaired, when others could have read the key, when a
//! half is missing, or when the halves do not match: a silently new CA would break every client
//! that trusts the old one.

use std::fmt::{self, Debug, Formatter};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Error, files};

const FOLDER: &str = "ca";
const DRAFT: &str = ".ca.new";
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
/// How long a new CA is valid: ten years.
const LIFETIME: Duration = Duration::from_secs(3652 * 24 * 3600);
/// How far certificates reach back, for clients whose clock is behind.
pub(super) const BACKDATE: Duration = Duration::from_secs(24 * 3600);
/// RFC 5280 appendix A, `ub-common-name`: characters of a common name.
pub(super) const COMMON_NAME_CHARS_MAX: usize = 64;

/// The certificate authority: certificate and key, checked to belong together.
pub struct Ca {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_after: UnixTime,
}

impl Ca {
    /// Opens the CA in `state/ca`, or makes one if there is none.
    ///
    /// # Errors
    /// If it cannot be read or made, or must not be used: see the module's text.
    pub fn open_or_create(state: &Path) -> Result<Self, Error> {
        let now = DefaultTimeProvider.current_time().ok_or(Error::System { what: "clock" })?;
        Self::open_or_create_at(state, now)
    }

    /// Looks whether the CA in `state/ca` can be used; changes nothing. One that is not there yet is fine.
    ///
    /// # Errors
    /// As [`Self::open_or_create`].
    pub fn examine(state: &Path) -> Result<(), Error> {
        let now = DefaultTimeProvider.current_time().ok_or(Error::System { what: "clock" })?;
        let dir = state.join(FOLDER);
        match fs::symlink_metadata(&dir) {
            Ok(_) => open(&dir, now).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(files::failed("examine", &dir)(error)),
        }
    }

    /// As [`Self::open_or_create`], at a given time.
    pub(super) fn open_or_create_at(state: &Path, now: UnixTime) -> Result<Self, Error> {
        let dir = state.join(FOLDER);
        match fs::symlink_metadata(&dir) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(state, &dir, now)?,
            Err(error) => return Err(files::failed("examine", &dir)(error)),
        }
        open(&dir, now)
    }

    /// The certificate, for those who shall trust it.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What signs leaves.
    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The end of its validity; no leaf may outlive it.
    pub(super) fn not_after(&self) -> UnixTime {
        self.not_after
    }
}

impl Debug for Ca {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Ca").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

fn create(state: &Path, dir: &Path, now: UnixTime) -> Result<(), Error> {
    files::create_dir(state, 0o711)?;
    let draft = state.join(DRAFT);
    files::remove(&draft)?;
    files::create_dir(&draft, 0o700)?;
    let (certificate, key) = generate(now)?;
    files::create(&draft.join(KEY), 0o600, key.as_bytes())?;
    files::create(&draft.join(CERTIFICATE), 0o644, certificate.as_bytes())?;
    files::sync_dir(&draft)?;
    fs::rename(&draft, dir).map_err(files::failed("create", dir))?;
    files::sync_dir(state)
}

fn generate(now: UnixTime) -> Result<(String, String), Error> {
    let name = common_name();
    let mint = |source| Error::Mint { name: name.clone(), source };
    let key = KeyPair::generate().map_err(mint)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.clone());
    // Path length 0: it signs leaves and no further authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(serial()?);
    set_validity(&mut params, now, unix(now.as_secs().saturating_add(LIFETIME.as_secs())))?;
    let certificate = params.self_signed(&key).map_err(mint)?;
    Ok((to_pem(certificate.der()), key.serialize_pem()))
}

fn open(dir: &Path, now: UnixTime) -> Result<Ca, Error> {
    check_private(dir, &fs::symlink_metadata(dir).map_err(files::failed("examine", dir))?, 0o022)?;
    for missing in [CERTIFICATE, KEY] {
        if !dir.join(missing).exists() {
            return Err(Error::Incomplete { dir: dir.to_owned(), missing });
        }
    }
    let key = read_key(&dir.join(KEY))?;
    let path = dir.join(CERTIFICATE);
    let certificate = read_certificate(&path)?;
    let malformed = || Error::Malformed { path: path.clone(), expected: "a CA certificate" };
    let (not_after, spki) = {
        let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else {
            return Err(malformed());
        };
        if !parsed.is_ca() {
            return Err(malformed());
        }
        let validity = parsed.validity();
        let valid =
            time_of(validity.not_before.timestamp())..time_of(validity.not_after.timestamp());
        if !valid.contains(&now) {
            return Err(Error::Expired { path });
        }
        (valid.end, parsed.tbs_certificate.subject_pki.raw.to_vec())
    };
    if key.subject_public_key_info() != spki {
        return Err(Error::Mismatch { dir: dir.to_owned() });
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key)
        .map_err(|source| Error::Mint { name: path.display().to_string(), source })?;
    Ok(Ca { pem: to_pem(&certificate), certificate, issuer, not_after })
}

fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, Error> {
    let bytes = files::read(&files::open(path, false)?, path)?;
    CertificateDer::from_pem_slice(&bytes).map_err(|_unreadable| Error::Malformed {
        path: path.to_owned(),
        expected: "a certificate in PEM form",
    })
}

/// Reads the key through the very descriptor whose permissions were checked.
fn read_key(path: &Path) -> Result<KeyPair, Error> {
    let malformed =
        || Error::Malformed { path: path.to_owned(), expected: "a private key in PEM form" };
    let file = files::open(path, false)?;
    check_private(path, &file.metadata().map_err(files::failed("examine", path))?, 0o077)?;
    let text = String::from_utf8(files::read(&file, path)?).map_err(|_not_text| malformed())?;
    KeyPair::from_pem(&text).map_err(|_unreadable| malformed())
}

fn check_private(path: &Path, found: &fs::Metadata, forbidden: u32) -> Result<(), Error> {
    let (mode, owner) = (found.mode() & 0o7777, found.uid());
    let is_ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    if mode & forbidden != 0 || !is_ours || found.is_symlink() {
        return Err(Error::Exposed { path: PathBuf::from(path), mode, owner });
    }
    Ok(())
}

fn common_name() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    let name = format!("Enforcer CA {}", host.as_deref().unwrap_or("of this host"));
    name.chars().take(COMMON_NAME_CHARS_MAX).collect()
}

/// A random positive serial number; the library's own is made from the key, which leaves share.
pub(super) fn serial() -> Result<SerialNumber, Error> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_unspecified| Error::System { what: "random source" })?;
    if let Some(first) = bytes.first_mut() {
        // RFC 5280 section 4.1.2.2: positive, hence no sign bit, and not zero.
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// Valid from a day before `now` until `end`.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    now: UnixTime,
    end: UnixTime,
) -> Result<(), Error> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |seconds: u64| {
        Duration::from_secs(seconds)
            .try_into()
            .ok()
            .and_then(|since| epoch.checked_add(since))
            .ok_or(Error::System { what: "clock" })
    };
    params.not_before = at(now.as_secs().saturating_sub(BACKDATE.as_secs()))?;
    params.not_after = at(end.as_secs())?;
    Ok(())
}

/// A certificate in PEM form.
pub(super) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let unix_lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new("CERTIFICATE", certificate.to_vec()), unix_lines)
}

/// A time in seconds since 1970.
pub(super) fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn time_of(timestamp: i64) -> UnixTime {
    unix(u64::try_from(timestamp).unwrap_or(0))
}
