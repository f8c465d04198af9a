//! Where a file is saved: below the directory that was given, whatever its name says.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::model::did::DidName;

/// The path of a dataset's member: its name without the dataset's, as `put` had put that before it.
pub(crate) fn of_member(dataset: &DidName, name: &DidName) -> PathBuf {
    let below = name
        .as_str()
        .strip_prefix(dataset.as_str())
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|rest| !rest.is_empty());
    of_name(below.unwrap_or(name.as_str()))
}

/// The relative path of a name. Segments that would lead elsewhere are percent-encoded, as are the
/// encodings themselves, so that two names never mean one path.
pub(crate) fn of_name(name: &str) -> PathBuf {
    name.split('/').map(segment).collect()
}

fn segment(text: &str) -> String {
    match text {
        "" => "%2F".to_owned(),
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ if is_encoding(text) => text.replacen('%', "%25", 1),
        _ => text.to_owned(),
    }
}

/// Tells whether a segment is one that [`segment`] makes, or one that it would make of such a one.
fn is_encoding(text: &str) -> bool {
    let Some(mut rest) = text.strip_prefix('%') else {
        return false;
    };
    while let Some(inner) = rest.strip_prefix("25") {
        rest = inner;
    }
    matches!(rest, "2F" | "2E" | "2E%2E")
}

/// The directory that receives files. Makes directories below it, and never goes through a
/// symbolic link to do so.
pub(crate) struct Root {
    path: PathBuf,
    made: Mutex<HashSet<PathBuf>>,
}

impl Root {
    /// Makes the directory if it is missing. Blocks.
    pub(crate) fn make(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned(), made: Mutex::default() })
    }

    /// The place of a relative path, with its directory made. Blocks.
    pub(crate) fn place(&self, relative: &Path) -> io::Result<PathBuf> {
        let directory = relative.parent().unwrap_or(Path::new(""));
        if !self.made.lock().expect("making does not panic").contains(directory) {
            self.make_below(directory)?;
            self.made.lock().expect("making does not panic").insert(directory.to_owned());
        }
        Ok(self.path.join(relative))
    }

    fn make_below(&self, directory: &Path) -> io::Result<()> {
        let mut path = self.path.clone();
        for part in directory.components() {
            path.push(part);
            match std::fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            let found = std::fs::symlink_metadata(&path)?;
            if !found.is_dir() {
                let what =
                    if found.is_symlink() { "a symbolic link, which may lead elsewhere" } else { "not a directory" };
                return Err(io::Error::other(format!("{} is {what}", path.display())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DidName {
        DidName::parse(text).expect("a name")
    }

    #[test]
    fn members_lose_the_datasets_name_and_nothing_leads_out() {
        let table = [
            ("era5", "era5/a/b.nc", "a/b.nc"),
            ("era5", "era5x/b.nc", "era5x/b.nc"),
            ("era5", "era5", "era5"),
            ("era5", "era5/", "era5/%2F"),
            ("era5", "other.nc", "other.nc"),
            ("a/b", "a/b/c", "c"),
            ("d", "d/../../etc/passwd", "%2E%2E/%2E%2E/etc/passwd"),
            ("d", "/etc/passwd", "%2F/etc/passwd"),
            ("d", "d//etc/passwd", "%2F/etc/passwd"),
            ("d", "..", "%2E%2E"),
            ("d", "a/./b", "a/%2E/b"),
            ("d", "%2E%2E/x", "%252E%2E/x"),
            ("d", "%252E%2E/x", "%25252E%2E/x"),
            ("d", "%", "%"),
            ("d", "%25", "%25"),
            ("d", "%2F", "%252F"),
            ("d", "50%/..x", "50%/..x"),
            ("d", "C:\\x", "C:\\x"),
        ];
        for (dataset, member, path) in table {
            let given = of_member(&name(dataset), &name(member));
            assert_eq!(given, Path::new(path), "{member}");
            assert!(given.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        }
    }

    #[test]
    fn no_two_segments_share_an_encoding() {
        let hostile =
            ["", ".", "..", "%", "%2F", "%252F", "%2E", "%2E%2E", "%25", "%252E", "%252E%2E", "%2525", "%25252E"];
        let encoded: HashSet<String> = hostile.iter().map(|text| segment(text)).collect();
        assert_eq!(encoded.len(), hostile.len());
    }

    #[test]
    fn links_below_the_root_are_not_followed() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let elsewhere = scratch.path().join("elsewhere");
        let root = Root::make(&scratch.path().join("in")).expect("writable");
        std::fs::create_dir(&elsewhere).expect("writable");
        std::os::unix::fs::symlink(&elsewhere, scratch.path().join("in/link")).expect("writable");
        assert!(root.place(Path::new("link/file")).is_err());
        assert!(root.place(Path::new("link/deeper/file")).is_err());
        assert!(!elsewhere.join("deeper").exists());
        assert!(root.place(Path::new("a/b/file")).is_ok());
        assert!(scratch.path().join("in/a/b").is_dir());
    }
}
