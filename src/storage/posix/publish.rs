//! Gives staged bytes their final name.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use crate::model::id::IntentId;
use crate::storage::backend::{Overwrite, StorageError};
use crate::storage::layout::StoragePath;
use crate::storage::posix::beneath::{Root, object_bytes, split};
use crate::storage::posix::errno::fault;

/// Renames within one directory and syncs it. A directory above that another process has just made
/// needs no sync of ours: file systems make a directory and its name durable together.
pub(super) fn publish(
    root: &Root,
    path: &StoragePath,
    intent: IntentId,
    overwrite: Overwrite,
) -> Result<(), StorageError> {
    let temporary = path.temporary(intent);
    let (above, name) = path.split();
    // What is missing is what was staged; what exists already is the final name.
    let fault = |errno| match errno {
        Errno::NOENT => fault(&temporary, errno),
        _ => fault(path.as_str(), errno),
    };
    let directory = root.open()?.directory(above).map_err(fault)?;
    let staged = split(&temporary).1;
    match overwrite {
        Overwrite::Refuse => rename_unless_there(&directory, staged, name).map_err(fault)?,
        Overwrite::Replace => {
            match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) => object_bytes(path.as_str(), &there).map(drop)?,
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(fault(errno)),
            }
            rustix::fs::renameat(&directory, staged, &directory, name).map_err(fault)?;
        }
    }
    root.syncs.sync(&directory).map_err(fault)
}

fn rename_unless_there(directory: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_and_unlink(directory, from, to),
        other => other,
    }
}

/// The same on file systems that cannot refuse to replace: a link never replaces. The temporary
/// name goes at once, so that no two names stay for one inode.
fn link_and_unlink(directory: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
    rustix::fs::unlinkat(directory, from, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linking_instead_of_renaming_never_replaces_and_leaves_one_name() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let write = |name: &str| std::fs::write(scratch.path().join(name), name).expect("writable");
        let read = |name: &str| std::fs::read_to_string(scratch.path().join(name)).ok();
        let root = Root::new(scratch.path().to_owned(), false);
        let directory = root.open().expect("there").directory("").expect("a directory");

        write("one");
        link_and_unlink(&directory, "one", "final").expect("free");
        write("two");
        assert_eq!(link_and_unlink(&directory, "two", "final"), Err(Errno::EXIST));
        assert_eq!((read("one"), read("two").as_deref(), read("final").as_deref()), (None, Some("two"), Some("one")));
    }
}
