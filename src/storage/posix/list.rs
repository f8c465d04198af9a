//! Walks the tree below the root, with one open directory per level and a bounded batch per hop.
//!
//! Symbolic links and special files are no objects and are passed over. What could not be looked
//! at, names that are not UTF-8 included, comes as an error among the items and the walk goes on:
//! a listing with an error in it is not complete.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::storage::backend::{Listed, StorageError};
use crate::storage::posix::beneath::Root;
use crate::storage::posix::errno::fault;
use crate::storage::posix::hop::Hop;

const BATCH: usize = 256;

type Item = Result<Listed, StorageError>;

/// Lists all objects.
pub(super) fn list(root: Arc<Root>) -> BoxStream<'static, Item> {
    let name = root.name();
    let begin = move || {
        let mut walk = Walk::default();
        walk.begin(&root)?;
        Ok(walk.batch())
    };
    stream::once(async move { Hop::start(&name, begin).await })
        .flat_map(|first| match first {
            Ok((items, walk)) => stream::iter(items).chain(rest(walk)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        })
        .boxed()
}

fn rest(walk: Walk) -> BoxStream<'static, Item> {
    stream::unfold(Some(walk), |walk| async {
        let walk = walk.filter(|walk| !walk.levels.is_empty())?;
        Some(match Hop::start("", move || Ok(walk.batch())).await {
            Ok((items, walk)) => (items, Some(walk)),
            Err(error) => (vec![Err(error)], None),
        })
    })
    .map(stream::iter)
    .flatten()
    .boxed()
}

/// Where a walk stands: the directories from the root down to the one being read.
#[derive(Default)]
struct Walk {
    levels: Vec<Level>,
}

/// Reads the beginning of the root directory.
pub(super) fn check(root: &Root) -> Result<(), StorageError> {
    let directory = root.open()?.directory("").map_err(|errno| fault(&root.name(), errno))?;
    let mut entries = Dir::new(directory).map_err(|errno| fault(&root.name(), errno))?;
    entries.read().transpose().map(drop).map_err(|errno| fault(&root.name(), errno))
}

struct Level {
    /// The directory's path with a `/` behind, empty for the root.
    prefix: String,
    entries: Dir,
}

impl Walk {
    fn begin(&mut self, root: &Root) -> Result<(), StorageError> {
        let directory = root.open()?.directory("");
        directory
            .and_then(|directory| self.descend(String::new(), directory))
            .map_err(|errno| fault(&root.name(), errno))
    }

    fn descend(&mut self, prefix: String, directory: OwnedFd) -> rustix::io::Result<()> {
        let entries = Dir::new(directory)?;
        self.levels.push(Level { prefix, entries });
        Ok(())
    }

    fn batch(mut self) -> (Vec<Item>, Self) {
        let mut items = Vec::new();
        while items.len() < BATCH
            && let Some(level) = self.levels.last_mut()
        {
            match level.entries.read() {
                None => drop(self.levels.pop()),
                Some(Ok(entry)) => items.extend(self.look(entry.file_name(), entry.file_type())),
                Some(Err(errno)) => {
                    items.push(Err(fault(&level.prefix, errno)));
                    self.levels.pop();
                }
            }
        }
        (items, self)
    }

    /// Looks at an entry of the lowest directory, and enters it if it is one itself.
    fn look(&mut self, name: &CStr, kind: FileType) -> Option<Item> {
        if matches!(name.to_bytes(), b"." | b"..") {
            return None;
        }
        let level = self.levels.last()?;
        let path = format!("{}{}", level.prefix, name.to_string_lossy());
        if name.to_str().is_err() {
            return Some(Err(StorageError::Unavailable { path, what: "its name is not UTF-8".to_owned() }));
        }
        match self.enter_or_measure(&path, name, kind) {
            Ok(bytes) => bytes.map(|bytes| Ok(Listed { path, bytes })),
            // Gone since, or replaced by a link: no object any more.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(errno) => Some(Err(fault(&path, errno))),
        }
    }

    fn enter_or_measure(&mut self, path: &str, name: &CStr, kind: FileType) -> rustix::io::Result<Option<u64>> {
        let level = self.levels.last().expect("an entry has a directory");
        let here = level.entries.fd()?;
        let stat = match kind {
            FileType::RegularFile | FileType::Unknown => {
                Some(rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW)?)
            }
            _ => None,
        };
        let kind = stat.as_ref().map_or(kind, |stat| FileType::from_raw_mode(stat.st_mode));
        match (kind, stat) {
            (FileType::Directory, _) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(here, name, flags, Mode::empty())?;
                self.descend(format!("{path}/"), directory)?;
                Ok(None)
            }
            (FileType::RegularFile, Some(stat)) => {
                Ok(Some(u64::try_from(stat.st_size).expect("files have no negative length")))
            }
            _ => Ok(None),
        }
    }
}
