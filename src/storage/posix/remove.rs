//! Removes objects and staged bytes, and directories that are empty for it.

use std::os::fd::OwnedFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::storage::backend::StorageError;
use crate::storage::posix::beneath::{Beneath, Root, object_bytes, split};
use crate::storage::posix::errno::fault;

/// Removes an object durably.
pub(super) fn delete(root: &Root, path: &str) -> Result<(), StorageError> {
    let fault = |errno| fault(path, errno);
    let beneath = root.open()?;
    let (above, name) = split(path);
    let directory = beneath.directory(above).map_err(fault)?;
    let there = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fault)?;
    object_bytes(path, &there)?;
    rustix::fs::unlinkat(&directory, name, AtFlags::empty()).map_err(fault)?;
    let kept = prune(&beneath, above).unwrap_or(directory);
    root.syncs.sync(&kept).map_err(fault)
}

/// Removes staged bytes durably, if they are there.
pub(super) fn discard(root: &Root, temporary: &str) -> Result<(), StorageError> {
    let fault = |errno| fault(temporary, errno);
    let beneath = root.open()?;
    let (above, name) = split(temporary);
    let directory = match beneath.directory(above) {
        Err(Errno::NOENT) => {
            prune(&beneath, above);
            return Ok(());
        }
        other => other.map_err(fault)?,
    };
    match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(fault(errno)),
    }
    let kept = prune(&beneath, above).unwrap_or(directory);
    root.syncs.sync(&kept).map_err(fault)
}

/// Removes a directory and those above it as long as they are empty, never the root. Gives the
/// directory in which the last one was removed. A failure is no harm: an empty directory stays.
pub(super) fn prune(root: &Beneath, path: &str) -> Option<OwnedFd> {
    let mut kept = None;
    let mut path = path;
    while !path.is_empty() {
        let (above, name) = split(path);
        let Ok(directory) = root.directory(above) else {
            // Somebody else removed it as well.
            path = above;
            continue;
        };
        match rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR) {
            Ok(()) => kept = Some(directory),
            Err(Errno::NOENT) => {}
            Err(_) => break,
        }
        path = above;
    }
    kept
}
