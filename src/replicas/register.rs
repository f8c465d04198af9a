//! Registers files that lie at an endpoint already, a thousand to a transaction. Nothing is read
//! from the endpoint: what is claimed is recorded as claimed.

use std::collections::BTreeSet;

use crate::catalog::ledger::membership::{Member, MembershipError, attach};
use crate::catalog::ledger::replicas::{Arrival, Found, land, register};
use crate::catalog::record::{DidContent, DidRecord, Dids, FileFacts, Intents, NameRecord, Paths};
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::change::Change;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind, DidName};
use crate::model::id::DidId;
use crate::model::metadata::Metadata;
use crate::model::replica::Verification;
use crate::replicas::Target;
use crate::replicas::describe::{Given, refusal};
use crate::replicas::names::{conflicts, look_up, owner_of, states_path};
use crate::storage::layout::StoragePath;

/// A file as a registration states it.
#[derive(Debug, Clone)]
pub struct Stated {
    /// Its name in the dataset's scope.
    pub name: DidName,
    /// Its length.
    pub bytes: u64,
    /// Its checksum.
    pub checksum: Checksum,
    /// Its path below the root, if stated.
    pub path: Option<StoragePath>,
    /// What is said of it, if anything is.
    pub meta: Option<Metadata>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// It is new.
    New,
    /// It was known, with the same content.
    Known,
    /// It was refused; nothing of it was stored.
    Refused {
        /// A stable name of the reason.
        code: &'static str,
        /// The reason in words.
        detail: String,
    },
}

impl Registered {
    fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Registered::Refused { code, detail: detail.into() }
    }
}

/// Registers a batch of at most a thousand files as one bulk transaction; answers in their order.
/// The same batch again changes nothing.
pub async fn register_batch(
    catalog: &Catalog,
    target: Target,
    files: Vec<Stated>,
) -> Result<Vec<Registered>, MembershipError> {
    let first = catalog.did_ids(files.len() as u64).await?;
    catalog
        .transact_bulk(move |txn| {
            let (target, files) = (target.clone(), files.clone());
            async move { register_in(&txn, &target, &files, first).await }
        })
        .await
}

async fn register_in(
    txn: &Txn,
    target: &Target,
    files: &[Stated],
    first: DidId,
) -> Result<Vec<Registered>, MembershipError> {
    let scope = target.scope.as_str();
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let known = look_up(txn, scope, &names).await?;
    let new: Vec<&str> = names.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(n, _)| &**n).collect();
    let mut conflicts = conflicts(txn, scope, &new).await?.into_iter();
    let (mut answers, mut fresh, mut arrivals) = (Vec::with_capacity(files.len()), Vec::new(), Vec::new());
    let (mut seen, mut paths, mut given) = (BTreeSet::new(), BTreeSet::new(), Given::default());
    let names_stated = txn.any::<Paths>(&(target.endpoint,)).await?;
    for (file, known) in files.iter().zip(&known) {
        let conflict = if known.is_none() { conflicts.next().flatten() } else { None };
        let answer = if !seen.insert(&file.name) {
            Registered::refused("name-twice", format!("`{}` stands twice in this chunk", file.name))
        } else if let Some(conflict) = conflict {
            Registered::refused("name-conflict", conflict.to_string())
        } else {
            let path = path_for(txn, target, file, known.map(|known| known.id), names_stated).await?;
            match (path, known) {
                (Err(refused), _) => refused,
                (Ok(Some(path)), _) if !paths.insert(path.clone()) => {
                    Registered::refused("path-taken", format!("another file of this chunk states `{path}`"))
                }
                (Ok(path), None) => {
                    let id = DidId(first.0 + fresh.len() as u64);
                    fresh.push(found(txn, target, file, id, path));
                    given.put_new(txn, target, id, file.meta.as_ref());
                    Registered::New
                }
                (Ok(path), Some(known)) => {
                    add_known(txn, target, file, *known, path, &mut arrivals, &mut given).await?
                }
            }
        };
        answers.push(answer);
    }
    store(txn, target, &fresh, &arrivals).await?;
    given.tell(txn);
    Ok(answers)
}

async fn store(txn: &Txn, target: &Target, fresh: &[Found], arrivals: &[Arrival]) -> Result<(), MembershipError> {
    if let Some(first) = fresh.first() {
        txn.emit(&Change::DidsRegistered { first: first.id, count: fresh.len() as u64 });
    }
    register(txn, target.endpoint, target.dataset, fresh, target.decision).await?;
    if arrivals.is_empty() {
        return Ok(());
    }
    let members: Vec<_> =
        arrivals.iter().map(|arrival| Member { id: arrival.file, kind: DidKind::File, bytes: arrival.bytes }).collect();
    attach(txn, Member { id: target.dataset, kind: DidKind::Dataset, bytes: 0 }, &members).await?;
    land(txn, arrivals).await?;
    Ok(())
}

fn found(txn: &Txn, target: &Target, file: &Stated, id: DidId, path: Option<String>) -> Found {
    let facts = FileFacts { bytes: file.bytes, checksums: vec![file.checksum.clone()], announced: false };
    let record = DidRecord {
        scope: target.scope.clone(),
        name: file.name.clone(),
        account: target.account.clone(),
        created_at: txn.now(),
        content: DidContent::File(facts),
    };
    Found { id, record, path }
}

/// The path to store for a file: none where it follows from the name. Refuses one that another file
/// has.
async fn path_for(
    txn: &Txn,
    target: &Target,
    file: &Stated,
    id: Option<DidId>,
    names_stated: bool,
) -> Result<Result<Option<String>, Registered>, CatalogError> {
    let derived = StoragePath::derived(&Did { scope: target.scope.clone(), name: file.name.clone() });
    let Some(path) = file.path.as_ref().filter(|path| **path != derived) else {
        let taken = names_stated && states_path(txn, target, &file.name).await?;
        let detail = || format!("another file is registered where `{}` would lie", file.name);
        return Ok(if taken { Err(Registered::refused("path-taken", detail())) } else { Ok(None) });
    };
    if let Some(owner) = owner_of(txn, path).await?
        && Some(owner) != id
    {
        return Ok(Err(Registered::refused("path-taken", format!("`{path}` is where another file lies by its name"))));
    }
    // An upload or a transfer is about to put the bytes where they belong by name.
    if let Some(id) = id
        && txn.get::<Intents>(&(id, target.endpoint)).await?.is_some()
    {
        return Ok(Err(Registered::refused(
            "place-busy",
            format!("bytes of `{}` are on their way to this endpoint; try again later", file.name),
        )));
    }
    let holder = txn.get::<Paths>(&(target.endpoint, path.to_string())).await?;
    Ok(match holder {
        Some(holder) if id.map(|id| id.0) != Some(holder) => {
            Err(Registered::refused("path-taken", format!("another file is registered at `{path}`")))
        }
        _ => Ok(Some(path.to_string())),
    })
}

/// Takes note of a file that is known: of its replica here, and of what is said of it.
async fn add_known(
    txn: &Txn,
    target: &Target,
    file: &Stated,
    known: NameRecord,
    path: Option<String>,
    arrivals: &mut Vec<Arrival>,
    given: &mut Given,
) -> Result<Registered, CatalogError> {
    let meta = file.meta.as_ref();
    if let Some(detail) = refusal(txn, target, known.id, &file.name, meta).await? {
        return Ok(Registered::refused("denied", detail));
    }
    let answer = add_replica(txn, target, file, known, path, arrivals).await?;
    if answer == Registered::Known {
        given.put_known(txn, target, known.id, meta).await?;
    }
    Ok(answer)
}

/// Adds a replica of a file that is known, if the statement agrees with what is known.
async fn add_replica(
    txn: &Txn,
    target: &Target,
    file: &Stated,
    known: NameRecord,
    path: Option<String>,
    arrivals: &mut Vec<Arrival>,
) -> Result<Registered, CatalogError> {
    let record = txn.get::<Dids>(&(known.id,)).await?;
    let Some(mut record) = record.filter(|record| record.kind() == DidKind::File) else {
        return Ok(Registered::refused("name-taken", format!("`{}` is a {}, not a file", file.name, known.kind)));
    };
    let DidContent::File(facts) = &mut record.content else { unreachable!("filtered above") };
    let agrees = |known: &Checksum| known.algorithm() != file.checksum.algorithm() || *known == file.checksum;
    if facts.bytes != file.bytes || !facts.checksums.iter().all(agrees) {
        let detail = format!("`{}` is registered with other content, and a file's content never changes", file.name);
        return Ok(Registered::refused("name-taken", detail));
    }
    if facts.announced || !facts.checksums.contains(&file.checksum) {
        facts.announced = false;
        if !facts.checksums.contains(&file.checksum) {
            facts.checksums.push(file.checksum.clone());
        }
        txn.put::<Dids>(&(known.id,), &record);
    }
    arrivals.push(Arrival {
        file: known.id,
        endpoint: target.endpoint,
        bytes: file.bytes,
        verification: Verification::Claimed,
        path,
        decision: target.decision,
    });
    Ok(Registered::Known)
}
