//! The lake's own secrets: files that only their owner can read, made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::app::error::AppError;
use crate::clock::Clock;
use crate::service::accounts;

/// The admin's API key below the lake's directory.
const ADMIN_KEY: &str = "admin.key";
/// The seed of the key that signs URLs.
const SIGNING_KEY: &str = "url-signing.key";
/// The key that seals the endpoints' secrets.
const INSTANCE_KEY: &str = "instance.key";

/// Where the admin's API key is.
pub fn admin_key_file(directory: &Path) -> PathBuf {
    directory.join(ADMIN_KEY)
}

/// The keys that a lake's directory holds and its catalog does not.
pub const KEY_FILES: [&str; 3] = [INSTANCE_KEY, SIGNING_KEY, ADMIN_KEY];

/// Copies the keys of another lake's directory that this one does not have.
pub fn copy_keys(from: &Path, to: &Path) -> Result<(), AppError> {
    for name in KEY_FILES {
        let (there, here) = (from.join(name), to.join(name));
        let secret = match fs::read_to_string(&there) {
            Ok(secret) => secret.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(AppError::file(&there)(error)),
        };
        read_or_make(&here, || secret)?;
    }
    Ok(())
}

/// The admin's API key, and whether it was made just now.
pub fn admin_key(directory: &Path, clock: &dyn Clock) -> Result<(String, bool), AppError> {
    read_or_make(&admin_key_file(directory), || accounts::new_key(random(clock)))
}

/// The seed of the key that signs URLs.
pub fn signing_seed(directory: &Path, clock: &dyn Clock) -> Result<[u8; 32], AppError> {
    key_of_32_bytes(directory.join(SIGNING_KEY), clock)
}

/// The key that seals the endpoints' secrets. Where it is lost, another is made: what it is to open
/// tells by itself that it was sealed with the lost one.
pub fn instance_key(directory: &Path, clock: &dyn Clock) -> Result<[u8; 32], AppError> {
    key_of_32_bytes(directory.join(INSTANCE_KEY), clock)
}

/// The keys that all servers of a lake share: a name for each, and its file.
pub(crate) fn shared(directory: &Path) -> [(&'static str, PathBuf); 2] {
    [("key_mark:url-signing", directory.join(SIGNING_KEY)), ("key_mark:instance", directory.join(INSTANCE_KEY))]
}

/// A number by which a key is known again, and from which nothing of it can be told.
pub(crate) fn mark_of(path: &Path, clock: &dyn Clock) -> Result<u64, AppError> {
    let mark = blake3::derive_key("dapple 2026-11 mark of a key", &key_of_32_bytes(path.to_owned(), clock)?);
    Ok(u64::from_be_bytes(*mark.first_chunk().expect("32 bytes have 8")))
}

fn key_of_32_bytes(path: PathBuf, clock: &dyn Clock) -> Result<[u8; 32], AppError> {
    let (text, _) = read_or_make(&path, || blake3::Hash::from_bytes(random(clock)).to_hex().to_string())?;
    let key = blake3::Hash::from_hex(&text).ok();
    key.map(|key| *key.as_bytes()).ok_or(AppError::Spoilt { path, what: "a key of 64 hexadecimal digits" })
}

fn random(clock: &dyn Clock) -> [u8; 32] {
    let mut bytes = [0; 32];
    clock.fill(&mut bytes);
    bytes
}

/// Reads a secret, or makes it: whole or not at all, synced, for its owner's eyes.
pub(crate) fn read_or_make(path: &Path, make: impl FnOnce() -> String) -> Result<(String, bool), AppError> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok((text.trim().to_owned(), false)),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(AppError::file(path)(error)),
    }
    let secret = make();
    let part = path.with_extension("part");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(AppError::file(&part))?;
    writeln!(file, "{secret}").and_then(|()| file.sync_all()).map_err(AppError::file(&part))?;
    fs::rename(&part, path).map_err(AppError::file(path))?;
    Ok((secret, true))
}
