//! Names of new files. Replicas lie under their names, so no file's name may be a directory of
//! another's: `a` and `a/b` cannot both be files of one scope.

use std::collections::BTreeSet;

use crate::catalog::engine::Range;
use crate::catalog::history::is_closed;
use crate::catalog::key::Key;
use crate::catalog::record::{DidNames, NameRecord, Parents, Paths};
use crate::catalog::{CatalogError, View};
use crate::model::did::{Did, DidKind, DidName};
use crate::model::id::DidId;
use crate::replicas::Target;
use crate::storage::layout::StoragePath;

/// How many names below a new one are looked at together for a file among them.
const PAGE: usize = 64;

/// Why a name cannot be given to a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameConflict {
    /// A file has a name that would have to be a directory of the new one's.
    Below(String),
    /// A file's name has the new one as a directory.
    Above(String),
}

impl std::fmt::Display for NameConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NameConflict::Below(other) => write!(f, "`{other}` is a file, so nothing can lie below it"),
            NameConflict::Above(other) => write!(f, "the file `{other}` lies below this name"),
        }
    }
}

/// Looks up names of one scope, in their order.
pub async fn look_up(view: &View, scope: &str, names: &[String]) -> Result<Vec<Option<NameRecord>>, CatalogError> {
    let keys: Vec<_> = names.iter().map(|name| (scope.to_owned(), name.clone())).collect();
    view.get_many::<DidNames>(&keys).await
}

/// Says of each name whether its file is kept out of a dataset: that is closed, and does not hold it.
pub async fn kept_out(view: &View, dataset: DidId, known: &[Option<NameRecord>]) -> Result<Vec<bool>, CatalogError> {
    if !is_closed(view, dataset).await? {
        return Ok(vec![false; known.len()]);
    }
    let keys: Vec<_> = known.iter().flatten().map(|known| (known.id, dataset)).collect();
    let mut held = view.get_many::<Parents>(&keys).await?.into_iter();
    Ok(known.iter().map(|known| known.is_none() || held.next().flatten().is_none()).collect())
}

/// What is said of a file that is kept out.
pub const KEPT_OUT: (&str, &str) = ("did-closed", "the dataset is closed: it takes no more members");

/// Says of each new name whether it conflicts with files there are, or with others of the same
/// batch.
pub async fn conflicts(view: &View, scope: &str, names: &[&str]) -> Result<Vec<Option<NameConflict>>, CatalogError> {
    let batch: BTreeSet<&str> = names.iter().copied().collect();
    let directories: BTreeSet<&str> = names.iter().flat_map(|name| directories(name)).collect();
    let looked_up: Vec<String> = directories.iter().map(|directory| (*directory).to_owned()).collect();
    let found = look_up(view, scope, &looked_up).await?;
    let files: BTreeSet<&str> = directories
        .into_iter()
        .zip(found)
        .filter(|(_, record)| record.is_some_and(|record| record.kind == DidKind::File))
        .map(|(directory, _)| directory)
        .collect();
    let mut answers = Vec::with_capacity(names.len());
    for name in names {
        let below = directories_of(name).find(|directory| files.contains(directory) || batch.contains(directory));
        answers.push(match below {
            Some(directory) => Some(NameConflict::Below(directory.to_owned())),
            None => file_below(view, scope, name).await?.map(NameConflict::Above),
        });
    }
    Ok(answers)
}

fn directories(name: &str) -> Vec<&str> {
    directories_of(name).collect()
}

/// The names of all directories above a name: for `a/b/c`, `a` and `a/b`.
fn directories_of(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at]).filter(|directory| !directory.is_empty())
}

/// A file whose name begins with this one and a slash, if there is one.
async fn file_below(view: &View, scope: &str, name: &str) -> Result<Option<String>, CatalogError> {
    let prefix = Key::new().text(scope).text_prefix(name).text_prefix("/");
    let mut range = Range::prefix(prefix.as_slice(), 1);
    loop {
        let rows = view.range::<DidNames>(range.clone()).await?;
        let Some(((scope, last), _)) = rows.last().map(|(key, record)| (key.clone(), *record)) else {
            return Ok(None);
        };
        if let Some(((_, file), _)) = rows.into_iter().find(|(_, record)| record.kind == DidKind::File) {
            return Ok(Some(file));
        }
        let key = Key::new().text(&scope).text(&last);
        range = Range { limit: PAGE, ..range.after(key.as_slice()) };
    }
}

/// Tells whether a file was registered, by a stated path, where a name's own path leads.
pub async fn states_path(view: &View, target: &Target, name: &DidName) -> Result<bool, CatalogError> {
    let derived = StoragePath::derived(&Did { scope: target.scope.clone(), name: name.clone() });
    let holder = view.get::<Paths>(&(target.endpoint, derived.to_string())).await?;
    let own = view.get::<DidNames>(&(target.scope.to_string(), name.to_string())).await?;
    Ok(holder.is_some_and(|holder| own.is_none_or(|own| own.id.0 != holder)))
}

/// The file whose own path this is, if there is one.
pub async fn owner_of(view: &View, path: &StoragePath) -> Result<Option<DidId>, CatalogError> {
    let Some(did) = path.did() else { return Ok(None) };
    let name = view.get::<DidNames>(&(did.scope.to_string(), did.name.to_string())).await?;
    Ok(name.filter(|name| name.kind == DidKind::File).map(|name| name.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_all_proper_beginnings_at_a_slash() {
        assert_eq!(directories("a/b/c"), ["a", "a/b"]);
        assert_eq!(directories("/a"), [""; 0]);
        assert_eq!(directories("a"), [""; 0]);
    }
}
