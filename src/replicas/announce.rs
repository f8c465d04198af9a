//! Announces uploads: files get an intent each, under which their bytes may be sent. Nothing of a
//! file that was only announced is seen until its bytes have landed, and until then the name may
//! still become another file.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::catalog::history::note_joined;
use crate::catalog::ledger::membership::{Member, MembershipError, attach};
use crate::catalog::ledger::replicas::put_did;
use crate::catalog::ledger::transfers::end;
use crate::catalog::record::{
    DidContent, DidRecord, Dids, FileFacts, IntentAct, IntentRecord, Intents, Paths, Replicas, TransferRecord,
    Transfers,
};
use crate::catalog::wake::Topic;
use crate::catalog::{Catalog, CatalogError, Rows, Txn, metadata};
use crate::model::change::Change;
use crate::model::checksum::{Algorithm, Checksum};
use crate::model::did::{Did, DidKind, DidName};
use crate::model::id::{DidId, EndpointId, IntentId, ProcessId, TransferId};
use crate::model::metadata::Metadata;
use crate::model::replica::ReplicaState;
use crate::model::time::Timestamp;
use crate::model::transfer::TransferState;
use crate::replicas::Target;
use crate::replicas::describe::Given;
use crate::replicas::leave::{IntakeError, Known, Leave, Refusal};
use crate::replicas::names::{KEPT_OUT, conflicts, kept_out, look_up, states_path};
use std::time::Duration;

/// How long an announced upload may take to begin.
pub const UPLOAD_SPAN: Duration = Duration::from_mins(15);

/// The most endpoints at which one file is expected.
const INTENTS_MAX: usize = 1_000;

/// A file to announce.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Its name in the dataset's scope.
    pub name: DidName,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3.
    pub checksum: Checksum,
    /// What is said of it, if anything is. It shows with the file, once the bytes have come.
    pub meta: Option<Metadata>,
}

/// What to do about an announced file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Send the bytes, under this intent.
    Send {
        /// The file.
        file: DidId,
        /// The intent.
        intent: IntentId,
        /// Until when to begin.
        until: Timestamp,
    },
    /// Nothing: the bytes are there, and the file is in the dataset.
    Done,
    /// It cannot be taken.
    Refused {
        /// A stable name of the reason.
        code: &'static str,
        /// The reason in words.
        detail: String,
    },
}

/// Intents whose bytes are being taken by this process.
pub(super) type Taking = Arc<Mutex<BTreeSet<IntentId>>>;

/// Announces at most a thousand files as one transaction; answers in their order. The same
/// announcement again gives the same intents.
pub(super) async fn announce(
    catalog: &Catalog,
    target: Target,
    files: Vec<Announced>,
    taking: Taking,
) -> Result<Vec<Answer>, IntakeError> {
    let first = catalog.did_ids(files.len() as u64).await?;
    let process = catalog.process();
    let answers = catalog
        .transact(move |txn| {
            let (target, files, taking) = (target.clone(), files.clone(), Arc::clone(&taking));
            async move { announce_in(&txn, target, &files, first, process, &taking).await }
        })
        .await?;
    catalog.wakes().wake(Topic::Folds);
    catalog.wakes().wake(Topic::Rules);
    Ok(answers)
}

async fn announce_in(
    txn: &Txn,
    mut target: Target,
    files: &[Announced],
    first: DidId,
    process: ProcessId,
    taking: &Taking,
) -> Result<Vec<Answer>, IntakeError> {
    let asked = target.clone();
    let mut leave = Leave::ask(txn, &asked).await?;
    target.decision = leave.decision;
    let (target, scope) = (&target, asked.scope.as_str());
    let names: Vec<String> = files.iter().map(|file| file.name.to_string()).collect();
    let named = look_up(txn, scope, &names).await?;
    let new: Vec<&str> = names.iter().zip(&named).filter(|(_, named)| named.is_none()).map(|(n, _)| &**n).collect();
    let mut conflicts = conflicts(txn, scope, &new).await?.into_iter();
    let known = leave.known(&named).await?;
    let (mut answers, mut members) = (Vec::with_capacity(files.len()), Vec::new());
    let (mut registered, mut seen, mut given) = (0, BTreeSet::new(), Given::default());
    let kept_out = kept_out(txn, target.dataset, &named).await?;
    let names_stated = txn.any::<Paths>(&(target.endpoint,)).await?;
    for ((file, known), kept_out) in files.iter().zip(known).zip(kept_out) {
        let conflict = if known.is_none() { conflicts.next().flatten() } else { None };
        let answer = if !seen.insert(&file.name) {
            refused("name-twice", format!("`{}` was announced twice", file.name))
        } else if kept_out {
            refused(KEPT_OUT.0, KEPT_OUT.1)
        } else if let Some(conflict) = conflict {
            leave.conflict(conflict).await?.into()
        } else if let Err(refused) = may(target, &mut leave, file, known.as_ref()).await? {
            refused.into()
        } else if names_stated && states_path(txn, target, &file.name).await? {
            refused("path-taken", format!("another file is registered where `{}` would lie", file.name))
        } else if let Some(known) = known {
            let answer = again(txn, target, file, &known, process, taking, &mut members).await?;
            if !matches!(answer, Answer::Refused { .. }) {
                given.put_known(txn, target, known.id, file.meta.as_ref()).await?;
            }
            answer
        } else {
            let id = DidId(first.0 + registered);
            registered += 1;
            put_did(txn, id, &announced_record(txn, target, file));
            given.put_new(txn, target, id, file.meta.as_ref());
            expect_bytes(txn, target, id, process, None)
        };
        answers.push(answer);
    }
    if registered > 0 {
        txn.emit(&Change::DidsRegistered { first, count: registered });
    }
    given.tell(txn);
    let new = attach(txn, Member { id: target.dataset, kind: DidKind::Dataset, bytes: 0 }, &members).await?;
    note_joined(txn, target.dataset, &target.account, new).await?;
    Ok(answers)
}

/// Whether a file may be announced: what is decided again before its bytes are published.
async fn may(
    target: &Target,
    leave: &mut Leave<'_>,
    file: &Announced,
    known: Option<&Known>,
) -> Result<Result<(), Refusal>, CatalogError> {
    Ok(match known {
        None => leave.new_file(&Did { scope: target.scope.clone(), name: file.name.clone() }),
        Some(known) => leave.known_file(known).await?.map(drop),
    })
}

impl From<Refusal> for Answer {
    fn from(Refusal { code, detail }: Refusal) -> Self {
        Answer::Refused { code, detail }
    }
}

fn refused(code: &'static str, detail: impl Into<String>) -> Answer {
    Refusal::new(code, detail).into()
}

fn announced_record(txn: &Txn, target: &Target, file: &Announced) -> DidRecord {
    let facts = FileFacts { bytes: file.bytes, checksums: vec![file.checksum.clone()], announced: true };
    DidRecord {
        scope: target.scope.clone(),
        name: file.name.clone(),
        account: target.account.clone(),
        created_at: txn.now(),
        content: DidContent::File(facts),
    }
}

/// Writes or renews the intent of an upload.
fn expect_bytes(txn: &Txn, target: &Target, file: DidId, process: ProcessId, old: Option<&IntentRecord>) -> Answer {
    let until = txn.now().after(UPLOAD_SPAN);
    let key = (file, target.endpoint);
    let intent = IntentRecord {
        id: old.map_or_else(|| IntentId(txn.fresh()), |old| old.id),
        decision: target.decision,
        act: IntentAct::Upload { dataset: target.dataset, until, process },
    };
    match old {
        Some(old) => txn.replace::<Intents>(&key, old, &intent),
        None => txn.put::<Intents>(&key, &intent),
    }
    Answer::Send { file, intent: intent.id, until }
}

/// A file whose name is known is announced.
async fn again(
    txn: &Txn,
    target: &Target,
    file: &Announced,
    known: &Known,
    process: ProcessId,
    taking: &Taking,
    members: &mut Vec<Member>,
) -> Result<Answer, MembershipError> {
    let (id, record) = (known.id, &known.record);
    let Some(facts) = record.file() else {
        return Ok(refused("name-taken", format!("`{}` is a {}, not a file", file.name, record.kind())));
    };
    let intent = txn.get::<Intents>(&(id, target.endpoint)).await?;
    let same = facts.bytes == file.bytes && facts.checksums.contains(&file.checksum);
    if !same && facts.announced {
        return become_another(txn, target, file, id, process, taking, intent).await;
    }
    if !same {
        let detail = if facts.checksums.iter().any(|known| known.algorithm() == Algorithm::Blake3) {
            format!("`{}` is registered with other content, and a file's content never changes", file.name)
        } else {
            format!("`{}` is registered without a BLAKE3 checksum to compare with", file.name)
        };
        return Ok(refused("name-taken", detail));
    }
    let replica = txn.get::<Replicas>(&(id, target.endpoint)).await?;
    let there = replica.is_some_and(|replica| replica.state == ReplicaState::Available);
    if there {
        members.push(Member { id, kind: DidKind::File, bytes: file.bytes });
        return Ok(Answer::Done);
    }
    if let Some(IntentRecord { act: IntentAct::Transfer(transfer), .. }) = intent
        && !give_way(txn, transfer).await?
    {
        return Ok(refused("place-busy", "a transfer is bringing this file at this moment; try again soon"));
    }
    // The same intent, so that what is staged under it is written over.
    Ok(expect_bytes(txn, target, id, process, intent.as_ref()))
}

/// Ends a transfer that only waits: whoever has the bytes in hand is the better source. Tells whether
/// the place is free.
async fn give_way(txn: &Txn, transfer: TransferId) -> Result<bool, CatalogError> {
    match txn.get::<Transfers>(&(transfer,)).await? {
        Some(TransferRecord { state: TransferState::Running { .. }, .. }) => Ok(false),
        Some(waiting) => {
            end(txn, transfer, &waiting).await?;
            Ok(true)
        }
        None => Ok(true),
    }
}

/// Lets a file that was only announced become another: no bytes of it were ever there. URLs for what
/// it was to be are refused from now on, as they name other bytes.
async fn become_another(
    txn: &Txn,
    target: &Target,
    file: &Announced,
    id: DidId,
    process: ProcessId,
    taking: &Taking,
    intent: Option<IntentRecord>,
) -> Result<Answer, MembershipError> {
    let uploads = txn.scan::<Intents>(&(id,), INTENTS_MAX).await?;
    for (_, upload) in &uploads {
        let IntentAct::Upload { process: of, .. } = upload.act else { continue };
        // Bytes of what it was to be may be published at this moment, or were by a process that is
        // gone and has not been swept up after.
        let now = taking.lock().expect("nothing panics while holding it").contains(&upload.id);
        if now || of != process {
            return Ok(refused("upload-under-way", "other content is being uploaded under this name; try again soon"));
        }
    }
    expire_others(txn, target.endpoint, &uploads);
    txn.put::<Dids>(&(id,), &announced_record(txn, target, file));
    // What was said of what it was to be does not hold for it.
    metadata::forget(txn, id);
    // The same intent, so that what is staged under it is written over.
    Ok(expect_bytes(txn, target, id, process, intent.as_ref()))
}

/// Ends uploads of what a file was to be elsewhere; the sweep then removes what they have staged.
fn expire_others(txn: &Txn, endpoint: EndpointId, uploads: &Rows<Intents>) {
    for (key, old) in uploads {
        if let IntentAct::Upload { dataset, process, .. } = old.act
            && key.1 != endpoint
        {
            let act = IntentAct::Upload { dataset, until: txn.now(), process };
            txn.replace::<Intents>(key, old, &IntentRecord { act, ..old.clone() });
        }
    }
}
