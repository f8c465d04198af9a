//! Resolves names beneath the root, and makes directories there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

use crate::storage::backend::{Room, StorageError};
use crate::storage::posix::errno::{fault, outside};
use crate::storage::posix::syncs::Syncs;

/// How often a resolution that raced with a rename is tried again.
const RACES_MAX: usize = 16;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether symbolic links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// If they stay beneath the root.
    Inward,
    /// Never.
    Refused,
}

/// The directory a storage lives below.
pub(super) struct Root {
    path: PathBuf,
    by_segment: bool,
    pub(super) syncs: Syncs,
}

impl Root {
    pub(super) fn new(path: PathBuf, by_segment: bool) -> Self {
        Self { path, by_segment, syncs: Syncs::default() }
    }

    /// Makes the directory, and those above it.
    pub(super) fn create(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.path)
    }

    /// The root as people know it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Opens the root for one operation.
    pub(super) fn open(&self) -> std::result::Result<Beneath, StorageError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, &self.path, flags, Mode::empty()) {
            Ok(fd) => Ok(Beneath { fd, by_segment: self.by_segment }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(StorageError::NoRoot { root: self.name() }),
            Err(errno) => Err(fault(&self.name(), errno)),
        }
    }

    /// How much room its file system has.
    pub(super) fn room(&self) -> std::result::Result<Room, StorageError> {
        let root = self.open()?;
        let stat = rustix::fs::fstatvfs(&root.fd).map_err(|errno| fault(&self.name(), errno))?;
        Ok(Room {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

/// An open root.
pub(super) struct Beneath {
    fd: OwnedFd,
    by_segment: bool,
}

impl Beneath {
    /// Opens what lies under a relative path, never leaving the root; no path means the root.
    pub(super) fn open(&self, path: &str, flags: OFlags, links: Links) -> Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let flags = flags | OFlags::CLOEXEC;
        if self.by_segment {
            return open_by_segment(&self.fd, path, flags);
        }
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        for _ in 0..RACES_MAX {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS) => return open_by_segment(&self.fd, path, flags),
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens a directory for changes in it.
    pub(super) fn directory(&self, path: &str) -> Result<OwnedFd> {
        self.open(path, DIRECTORY, Links::Refused)
    }

    /// Opens a directory, making it and those above it as needed, durably. Fails with `NOENT` if
    /// somebody removes one meanwhile: then begin again.
    pub(super) fn make_directory(&self, path: &str, syncs: &Syncs) -> Result<OwnedFd> {
        match self.directory(path) {
            Err(Errno::NOENT) if !path.is_empty() => {}
            other => return other,
        }
        let mut directory = self.directory("")?;
        for segment in path.split('/') {
            directory = match enter(&directory, segment, DIRECTORY) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&directory, segment, Mode::from_raw_mode(0o755)) {
                        Ok(()) => syncs.sync(&directory)?,
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(errno),
                    }
                    enter(&directory, segment, DIRECTORY)?
                }
                other => other?,
            };
        }
        Ok(directory)
    }
}

/// A path's directory, empty for the root, and its last segment.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// The length of an object; only regular files are objects.
pub(super) fn object_bytes(path: &str, stat: &Stat) -> std::result::Result<u64, StorageError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).expect("files have no negative length")),
        FileType::Directory => Err(outside(path, "it is a directory")),
        FileType::Symlink => Err(outside(path, "it is a symbolic link")),
        _ => Err(outside(path, "it is a socket, pipe or device")),
    }
}

fn open_by_segment(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let (above, last) = split(path);
    let mut directory = enter(root, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    for segment in above.split('/').filter(|segment| !segment.is_empty()) {
        directory = enter(&directory, segment, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    }
    enter(&directory, last, flags)
}

fn enter(directory: impl AsFd, segment: &str, flags: OFlags) -> Result<OwnedFd> {
    if segment == ".." {
        return Err(Errno::XDEV);
    }
    rustix::io::retry_on_intr(|| {
        rustix::fs::openat(directory.as_fd(), segment, flags | OFlags::NOFOLLOW, Mode::empty())
    })
}
