//! Metadata that goes with a put: of the dataset, and of files from a file of lines. The lines are read
//! and checked once before anything is sent, and where each stands is remembered, not what it says.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::did::meta::{pair, read_object};
use crate::cli::failure::Failure;
use crate::cli::put::{Target, walk};
use crate::cli::table::FailedFile;
use crate::client::Client;
use crate::fault::{Fault as _, Kind};
use crate::model::did::DidName;
use crate::model::metadata::Metadata;
use crate::service::view::{MetadataObject, NewUploads};

/// One line: a file of the tree, and what is said of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    file: String,
    meta: Map<String, Value>,
}

/// Where a line stands.
#[derive(Debug)]
struct Place {
    at: u64,
    bytes: usize,
    is_used: AtomicBool,
}

/// What is said of files, by their names in the scope.
#[derive(Debug)]
pub(crate) struct FileMeta {
    path: PathBuf,
    file: File,
    places: HashMap<String, Place>,
}

impl FileMeta {
    /// Reads and checks all lines. Their files get the names that walking the tree would give them.
    pub(crate) fn open(path: &Path, prefix: &str) -> Result<Self, Failure> {
        let failed = |source| Failure::io("read", path, source);
        let file = File::open(path).map_err(failed)?;
        let mut places = HashMap::new();
        let (mut lines, mut text, mut at) = (BufReader::new(&file), Vec::new(), 0);
        for number in 1_u64.. {
            text.clear();
            let bytes = lines.read_until(b'\n', &mut text).map_err(failed)?;
            if bytes == 0 {
                break;
            }
            if !text.trim_ascii().is_empty() {
                let wrong = |(detail, hint)| Failure::Usage {
                    detail: format!("{}, line {number}: {detail}", path.display()),
                    hint: Some(hint),
                };
                let line = check(&text).map_err(wrong)?;
                let place = Place { at, bytes, is_used: AtomicBool::new(false) };
                if places.insert(walk::join(prefix, &line.file), place).is_some() {
                    let hint = "say all of a file in one line".to_owned();
                    return Err(wrong((format!("`{}` stands in two lines", line.file), hint)));
                }
            }
            at += bytes as u64;
        }
        drop(lines);
        Ok(Self { path: path.to_owned(), file, places })
    }

    /// How long the line of a file is; 0 if it has none.
    pub(crate) fn bytes_of(&self, name: &DidName) -> u64 {
        self.places.get(name.as_str()).map_or(0, |place| place.bytes as u64)
    }

    /// What is said of a file.
    pub(crate) fn of(&self, name: &DidName) -> io::Result<Option<MetadataObject>> {
        let Some(place) = self.places.get(name.as_str()) else { return Ok(None) };
        place.is_used.store(true, Ordering::Relaxed);
        let mut text = vec![0; place.bytes];
        self.file.read_exact_at(&mut text, place.at)?;
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "it was changed meanwhile");
        let line: Line = serde_json::from_slice(&text).map_err(|_| changed())?;
        Ok(Some(MetadataObject(line.meta)))
    }

    /// A failure for a file whose line cannot be read any more.
    pub(crate) fn lost(&self, error: &io::Error) -> String {
        format!("its metadata in {} cannot be read: {error}", self.path.display())
    }

    /// Files that lines name and that are not in the tree.
    pub(crate) fn unused(&self) -> Vec<FailedFile> {
        let unused = self.places.iter().filter(|(_, place)| !place.is_used.load(Ordering::Relaxed));
        let mut names: Vec<&String> = unused.map(|(name, _)| name).collect();
        names.sort();
        let failed = |name: &String| FailedFile {
            path: name.clone(),
            code: "no-such-file".to_owned(),
            detail: format!("{} says something of it, and no such file was put", self.path.display()),
        };
        names.into_iter().map(failed).collect()
    }
}

fn check(text: &[u8]) -> Result<Line, (String, String)> {
    let shape = || "write `{\"file\": \"its path below the tree\", \"meta\": {...}}`".to_owned();
    let line: Line = serde_json::from_slice(text).map_err(|error| (error.to_string(), shape()))?;
    match Metadata::read(&line.meta) {
        Ok(_) => Ok(line),
        Err(error) => Err((error.to_string(), error.hint)),
    }
}

/// What `--meta` says: `KEY=VALUE`, or a file with a JSON object. Later ones win.
pub(crate) fn of_dataset(said: &[String]) -> Result<MetadataObject, Failure> {
    let mut all = Map::new();
    for text in said {
        if text.contains('=') {
            let usage = |detail| Failure::Usage { detail, hint: None };
            all.extend([pair(text).map_err(usage)?]);
        } else {
            all.extend(read_object(Path::new(text))?);
        }
    }
    Ok(MetadataObject(all))
}

/// Says of the dataset what `--meta` says, before any file goes in: what is wrong is refused while
/// nothing has happened.
pub(crate) async fn describe_dataset(client: &Client, target: &Target, said: &MetadataObject) -> Result<(), Failure> {
    match client.patch_metadata(&target.to, said).await {
        Err(error) if error.kind() == Kind::NotFound => {}
        done => return Ok(done.map(|_| ())?),
    }
    // It is not there yet: an announcement of nothing makes it.
    Metadata::default()
        .patched(&said.0)
        .map_err(|error| Failure::Usage { detail: error.to_string(), hint: Some(error.hint) })?;
    let new = NewUploads { to: target.to.clone(), endpoint: target.endpoint.clone(), files: Vec::new() };
    client.announce(&new).await?;
    if !client.is_rehearsing() {
        client.patch_metadata(&target.to, said).await?;
    }
    Ok(())
}
