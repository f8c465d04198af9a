//! What an error number means for a replica.

use rustix::io::Errno;

use crate::storage::backend::StorageError;

/// Tells the failures apart that lead to different acts.
pub(super) fn fault(path: &str, errno: Errno) -> StorageError {
    let path = path.to_owned();
    match errno {
        Errno::NOENT => StorageError::NotFound { path },
        Errno::EXIST => StorageError::Exists { path },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => StorageError::Denied { path },
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => StorageError::Full { path },
        Errno::XDEV => outside(&path, "a symbolic link on the way leads out of the root"),
        Errno::LOOP => outside(&path, "a symbolic link is on the way"),
        Errno::NOTDIR => outside(&path, "a part of the way is not a directory"),
        Errno::ISDIR => outside(&path, "it is a directory"),
        Errno::NXIO | Errno::NODEV => outside(&path, "it is a socket, pipe or device"),
        Errno::NAMETOOLONG => outside(&path, "the file system takes no name so long"),
        other => StorageError::Unavailable { path, what: std::io::Error::from(other).to_string() },
    }
}

/// The name leads to something that cannot hold a replica.
pub(super) fn outside(path: &str, why: &str) -> StorageError {
    StorageError::Outside { path: path.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault as _;

    #[test]
    fn each_errno_has_its_kind() {
        let table = [
            (Errno::NOENT, "storage-not-found"),
            (Errno::EXIST, "storage-exists"),
            (Errno::ACCESS, "storage-denied"),
            (Errno::PERM, "storage-denied"),
            (Errno::ROFS, "storage-denied"),
            (Errno::NOSPC, "storage-full"),
            (Errno::DQUOT, "storage-full"),
            (Errno::FBIG, "storage-full"),
            (Errno::XDEV, "storage-outside-root"),
            (Errno::LOOP, "storage-outside-root"),
            (Errno::NOTDIR, "storage-outside-root"),
            (Errno::ISDIR, "storage-outside-root"),
            (Errno::NXIO, "storage-outside-root"),
            (Errno::NAMETOOLONG, "storage-outside-root"),
            (Errno::IO, "storage-unavailable"),
            (Errno::STALE, "storage-unavailable"),
            (Errno::MFILE, "storage-unavailable"),
        ];
        for (errno, code) in table {
            assert_eq!(fault("a/b", errno).code(), code, "{errno:?}");
        }
    }
}
