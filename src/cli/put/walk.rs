//! Finds the files of a tree and names them. Follows no symbolic link below the tree, and holds the
//! directories still to be read, never the files.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::Sender;

use crate::cli::table::FailedFile;
use crate::model::did::DidName;

/// What walking came upon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    File(LocalFile),
    /// A symbolic link or a special file.
    Skipped,
    Failed(FailedFile),
}

/// A file and the name it shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    pub(crate) name: DidName,
}

impl LocalFile {
    pub(crate) fn failed(&self, code: &str, detail: impl Into<String>) -> FailedFile {
        FailedFile { path: self.path.display().to_string(), code: code.to_owned(), detail: detail.into() }
    }
}

/// Nobody listens any more.
struct Stopped;

/// Walks a tree, or takes a single file, until all is told or nobody listens. Blocks.
pub(crate) fn walk(tree: &Path, is_dir: bool, prefix: &str, found: &Sender<Found>) {
    // Who no longer listens knows why.
    let _ = if is_dir {
        walk_directory(tree, prefix, found)
    } else {
        let name = tree.file_name().unwrap_or_default();
        tell(found, name_file(tree, Some(prefix), name))
    };
}

fn walk_directory(tree: &Path, prefix: &str, found: &Sender<Found>) -> Result<(), Stopped> {
    // Each with the name of its files up to their last part; none if a part is not UTF-8.
    let mut open = vec![(tree.to_owned(), Some(prefix.to_owned()))];
    while let Some((directory, prefix)) = open.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                tell(found, unreadable(&directory, &error))?;
                continue;
            }
        };
        for entry in entries {
            let kind = entry.and_then(|entry| Ok((entry.file_type()?, entry)));
            let (kind, entry) = match kind {
                Ok(read) => read,
                Err(error) => {
                    tell(found, unreadable(&directory, &error))?;
                    continue;
                }
            };
            if kind.is_dir() {
                open.push(below(&entry, prefix.as_deref()));
            } else if kind.is_file() {
                tell(found, name_file(&entry.path(), prefix.as_deref(), &entry.file_name()))?;
            } else {
                tell(found, Found::Skipped)?;
            }
        }
    }
    Ok(())
}

fn below(entry: &DirEntry, prefix: Option<&str>) -> (PathBuf, Option<String>) {
    let name = entry.file_name();
    let prefix = prefix.and_then(|prefix| Some(join(prefix, name.to_str()?)));
    (entry.path(), prefix)
}

/// The name of what is called so below a prefix.
pub(crate) fn join(prefix: &str, part: &str) -> String {
    if prefix.is_empty() { part.to_owned() } else { format!("{prefix}/{part}") }
}

fn name_file(path: &Path, prefix: Option<&str>, file_name: &OsStr) -> Found {
    let failed = |code: &str, detail: String| {
        Found::Failed(FailedFile { path: path.display().to_string(), code: code.to_owned(), detail })
    };
    let (Some(prefix), Some(part)) = (prefix, file_name.to_str()) else {
        let detail = "its name is not UTF-8, and a DID's must be; rename it".to_owned();
        return failed("name-not-utf8", detail);
    };
    match DidName::parse(&join(prefix, part)) {
        Ok(name) => Found::File(LocalFile { path: path.to_owned(), name }),
        Err(error) => failed("name-invalid", error.to_string()),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Found {
    Found::Failed(FailedFile {
        path: path.display().to_string(),
        code: "unreadable".to_owned(),
        detail: format!("the directory cannot be read: {error}"),
    })
}

fn tell(found: &Sender<Found>, what: Found) -> Result<(), Stopped> {
    found.blocking_send(what).map_err(|_| Stopped)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    fn walked(tree: &Path, prefix: &str) -> (Vec<String>, usize, Vec<String>) {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(1_000);
        walk(tree, tree.is_dir(), prefix, &sender);
        drop(sender);
        let (mut names, mut skipped, mut failed) = (Vec::new(), 0, Vec::new());
        while let Some(found) = receiver.blocking_recv() {
            match found {
                Found::File(file) => names.push(file.name.to_string()),
                Found::Skipped => skipped += 1,
                Found::Failed(file) => failed.push(file.code),
            }
        }
        names.sort();
        failed.sort();
        (names, skipped, failed)
    }

    #[test]
    fn a_tree_is_named_below_its_prefix_and_odd_entries_are_told() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let root = scratch.path();
        std::fs::create_dir_all(root.join("a/b")).expect("writable");
        for path in ["x 1.nc", "a/y+z", "a/b/%41#"] {
            std::fs::write(root.join(path), b"").expect("writable");
        }
        std::os::unix::fs::symlink(root.join("a"), root.join("link")).expect("writable");
        std::fs::write(root.join(OsStr::from_bytes(b"\xff")), b"").expect("writable");
        std::fs::create_dir(root.join(OsStr::from_bytes(b"d\xfe"))).expect("writable");
        std::fs::write(root.join(OsStr::from_bytes(b"d\xfe/in")), b"").expect("writable");
        std::fs::write(root.join("line\nbreak"), b"").expect("writable");
        std::fs::write(root.join("l".repeat(241)), b"").expect("writable");

        let (names, skipped, failed) = walked(root, "era5");
        assert_eq!(names, ["era5/a/b/%41#", "era5/a/y+z", "era5/x 1.nc"]);
        assert_eq!(skipped, 1);
        assert_eq!(failed, ["name-invalid", "name-invalid", "name-not-utf8", "name-not-utf8"]);
        assert_eq!(walked(&root.join("a"), "").0, ["b/%41#", "y+z"]);
        assert_eq!(walked(&root.join("a/y+z"), "era5").0, ["era5/y+z"]);
    }
}
