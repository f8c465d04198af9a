//! Registers files that lie at an endpoint already, a thousand to a transaction. Nothing is read
//! from the endpoint: what is claimed is recorded as claimed.

use std::collections::BTreeSet;

use crate::catalog::history::note_joined;
use crate::catalog::ledger::membership::{Member, MembershipError, attach};
use crate::catalog::ledger::replicas::{Arrival, Found, land, register};
use crate::catalog::record::{DidContent, DidRecord, Dids, FileFacts, Intents, Paths, Several};
use crate::catalog::{Catalog, CatalogError, Txn};
use crate::model::change::Change;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind, DidName};
use crate::model::id::DidId;
use crate::model::metadata::Metadata;
use crate::model::replica::Verification;
use crate::replicas::Target;
use crate::replicas::describe::Given;
use crate::replicas::leave::{IntakeError, Known, Leave, Refusal};
use crate::replicas::names::{KEPT_OUT, conflicts, kept_out, look_up, owner_of, states_path};
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

impl From<Refusal> for Registered {
    fn from(Refusal { code, detail }: Refusal) -> Self {
        Registered::Refused { code, detail }
    }
}

/// Registers a batch of at most a thousand files as one bulk transaction, in which it is decided whether
/// whoever asks may; answers in their order. The same batch again changes nothing.
pub async fn register_batch(
    catalog: &Catalog,
    target: Target,
    files: Vec<Stated>,
) -> Result<Vec<Registered>, IntakeError> {
    let first = catalog.did_ids(files.len() as u64).await?;
    catalog
        .transact_bulk(move |txn| {
            let (target, files) = (target.clone(), files.clone());
            async move { register_in(&txn, target, &files, first).await }
        })
        .await
}

async fn register_in(
    txn: &Txn,
    mut target: Target,
    files: &[Stated],
    first: DidId,
) -> Result<Vec<Registered>, IntakeError> {
    let asked = target.clone();
    let mut leave = Leave::ask(txn, &asked).await?;
    target.decision = leave.decision;
    let scope = target.scope.as_str();
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let named = look_up(txn, scope, &names).await?;
    let new: Vec<&str> = names.iter().zip(&named).filter(|(_, named)| named.is_none()).map(|(n, _)| &**n).collect();
    let mut conflicts = conflicts(txn, scope, &new).await?.into_iter();
    let known = leave.known(&named).await?;
    let (paths, given) = (BTreeSet::new(), Given::default());
    let mut batch = Batch { first, fresh: Vec::new(), arrivals: Vec::new(), paths, given };
    let names_stated = txn.any::<Paths>(&(target.endpoint,)).await?;
    let kept_out = kept_out(txn, target.dataset, &named).await?;
    let (mut answers, mut seen) = (Vec::with_capacity(files.len()), BTreeSet::new());
    for ((file, known), kept_out) in files.iter().zip(known).zip(kept_out) {
        let conflict = if known.is_none() { conflicts.next().flatten() } else { None };
        let answer = if !seen.insert(&file.name) {
            Err(Refusal::new("name-twice", format!("`{}` stands twice in this chunk", file.name)))
        } else if kept_out {
            Err(Refusal::new(KEPT_OUT.0, KEPT_OUT.1))
        } else if let Some(conflict) = conflict {
            Err(leave.conflict(conflict).await?)
        } else {
            register_one(txn, &target, &mut leave, file, known, names_stated, &mut batch).await?
        };
        answers.push(answer.unwrap_or_else(Registered::from));
    }
    store(txn, &target, &batch.fresh, &batch.arrivals).await?;
    batch.given.tell(txn);
    Ok(answers)
}

/// What a batch comes to.
struct Batch {
    first: DidId,
    fresh: Vec<Found>,
    arrivals: Vec<Arrival>,
    paths: BTreeSet<String>,
    given: Given,
}

/// Finds out what becomes of one file.
async fn register_one(
    txn: &Txn,
    target: &Target,
    leave: &mut Leave<'_>,
    file: &Stated,
    known: Option<Known>,
    names_stated: bool,
    batch: &mut Batch,
) -> Result<Result<Registered, Refusal>, CatalogError> {
    let did = Did { scope: target.scope.clone(), name: file.name.clone() };
    let decision = match &known {
        None => leave.new_file(&did).map(|()| leave.decision),
        Some(known) => leave.known_file(known).await?,
    };
    let decision = match decision {
        Ok(decision) => decision,
        Err(refused) => return Ok(Err(refused)),
    };
    let path = match path_for(txn, target, leave, file, known.as_ref().map(|known| known.id), names_stated).await? {
        Ok(path) => path,
        Err(refused) => return Ok(Err(refused)),
    };
    if let Some(path) = &path
        && !batch.paths.insert(path.clone())
    {
        return Ok(Err(Refusal::new("path-taken", format!("another file of this chunk states `{path}`"))));
    }
    let Some(known) = known else {
        let id = DidId(batch.first.0 + batch.fresh.len() as u64);
        batch.fresh.push(found(txn, target, file, id, path));
        batch.given.put_new(txn, target, id, file.meta.as_ref());
        return Ok(Ok(Registered::New));
    };
    let file_id = match add_replica(txn, file, known) {
        Ok(id) => id,
        Err(refused) => return Ok(Err(refused)),
    };
    let (endpoint, bytes, verification) = (target.endpoint, file.bytes, Verification::Claimed);
    batch.arrivals.push(Arrival { file: file_id, endpoint, bytes, verification, path, decision });
    batch.given.put_known(txn, target, file_id, file.meta.as_ref()).await?;
    Ok(Ok(Registered::Known))
}

async fn store(txn: &Txn, target: &Target, fresh: &[Found], arrivals: &[Arrival]) -> Result<(), MembershipError> {
    if let Some(first) = fresh.first() {
        let count = fresh.len() as u64;
        txn.emit(&Change::DidsRegistered { first: first.id, count });
        let new = Some(Several { first: first.id, count });
        note_joined(txn, target.dataset, &target.account, new).await?;
    }
    register(txn, target.endpoint, target.dataset, fresh, target.decision).await?;
    if arrivals.is_empty() {
        return Ok(());
    }
    let members: Vec<_> =
        arrivals.iter().map(|arrival| Member { id: arrival.file, kind: DidKind::File, bytes: arrival.bytes }).collect();
    let new = attach(txn, Member { id: target.dataset, kind: DidKind::Dataset, bytes: 0 }, &members).await?;
    note_joined(txn, target.dataset, &target.account, new).await?;
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
    leave: &mut Leave<'_>,
    file: &Stated,
    id: Option<DidId>,
    names_stated: bool,
) -> Result<Result<Option<String>, Refusal>, CatalogError> {
    let taken = |detail: String| Ok(Err(Refusal::new("path-taken", detail)));
    let derived = StoragePath::derived(&Did { scope: target.scope.clone(), name: file.name.clone() });
    let Some(path) = file.path.as_ref().filter(|path| **path != derived) else {
        if names_stated && states_path(txn, target, &file.name).await? {
            return taken(format!("another file is registered where `{}` would lie", file.name));
        }
        return Ok(Ok(None));
    };
    if let Err(refused) = leave.path(path).await? {
        return Ok(Err(refused));
    }
    if let Some(owner) = owner_of(txn, path).await?
        && Some(owner) != id
    {
        return taken(format!("`{path}` is where another file lies by its name"));
    }
    // An upload or a transfer is about to put the bytes where they belong by name.
    if let Some(id) = id
        && txn.get::<Intents>(&(id, target.endpoint)).await?.is_some()
    {
        return Ok(Err(Refusal::new(
            "place-busy",
            format!("bytes of `{}` are on their way to this endpoint; try again later", file.name),
        )));
    }
    let holder = txn.get::<Paths>(&(target.endpoint, path.to_string())).await?;
    match holder {
        Some(holder) if id.map(|id| id.0) != Some(holder) => taken(format!("another file is registered at `{path}`")),
        _ => Ok(Ok(Some(path.to_string()))),
    }
}

/// Adds a replica of a file that is known, if the statement agrees with what is known. Bytes are the same
/// if a checksum that both have says so: nothing is read here that could tell of two that differ in kind.
fn add_replica(txn: &Txn, file: &Stated, known: Known) -> Result<DidId, Refusal> {
    let Known { id, mut record, .. } = known;
    let kind = record.kind();
    let DidContent::File(facts) = &mut record.content else {
        return Err(Refusal::new("name-taken", format!("`{}` is a {kind}, not a file", file.name)));
    };
    let comparable = facts.checksums.iter().find(|known| known.algorithm() == file.checksum.algorithm());
    if facts.bytes != file.bytes || comparable.is_some_and(|known| *known != file.checksum) {
        let detail = format!("`{}` is registered with other content, and a file's content never changes", file.name);
        return Err(Refusal::new("name-taken", detail));
    }
    if comparable.is_none() {
        let algorithms: Vec<_> = facts.checksums.iter().map(|known| known.algorithm().name()).collect();
        let (known, stated) = (algorithms.join(" and "), file.checksum.algorithm().name());
        let detail = format!(
            "`{}` is known by its {known}, and {stated} cannot tell whether these are the same bytes: state its {known}",
            file.name
        );
        return Err(Refusal::new("checksum-not-comparable", detail));
    }
    if facts.announced {
        facts.announced = false;
        txn.put::<Dids>(&(id,), &record);
    }
    Ok(id)
}
