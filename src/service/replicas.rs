//! Replicas: list them, register them in bulk, declare one bad.

use std::sync::Arc;

use crate::catalog::Txn;
use crate::catalog::history::note;
use crate::catalog::ledger::replicas::mark_bad;
use crate::catalog::record::{DidRecord, Happening, Parents, Replicas, Several};
use crate::catalog::wake::Topic;
use crate::fault::{Fault as _, Kind};
use crate::model::did::{Did, DidKind, DidName};
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::{DidId, EndpointId};
use crate::model::replica::FILE_BYTES_MAX;
use crate::policy::decision::Action;
use crate::replicas::Target;
use crate::replicas::register::{Registered, Stated, register_batch};
use crate::service::dids::ensure_dataset;
use crate::service::error::ServiceError;
use crate::service::metadata::{WRITTEN_BYTES_MAX, bytes_of, read_given};
use crate::service::paging::Paging;
use crate::service::sight::Seen;
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{NewReplica, Page, RefusedLine, RegisteredChunk, ReplicaView};
use crate::service::{Context, accounts, endpoints as endpoint_acts};
use crate::storage::layout::StoragePath;

/// How many lines of a registration are one transaction.
pub const CHUNK: usize = crate::catalog::TRANSACTION_FILES_MAX;
/// The most replicas of one file that are listed.
const REPLICAS_MAX: usize = 1_000;

/// The most datasets in whose history it is noted that a replica of a file is bad.
const PARENTS_NOTED_MAX: usize = 100;

/// Lists the replicas of a file, or of the files of a dataset. A page holds whole files.
pub async fn list(ctx: &Context, did: &Did, paging: Paging) -> Result<Page<ReplicaView>, ServiceError> {
    let limit = paging.limit()?;
    let view = ctx.catalog().view().await?;
    let mut sight = ctx.sight(&view);
    let (seen, _) = sight.did_for(Action::Discover, did).await?;
    let (files, next) = match seen.record.kind() {
        DidKind::File => (vec![(0, seen)], None),
        DidKind::Dataset => {
            let (files, next) = sight.members(seen.id, ctx.place(seen.id, &paging)?, limit).await?;
            (files, ctx.cursor(seen.id, next))
        }
        DidKind::Container => {
            let detail = format!("`{did}` is a container; list the replicas of its datasets");
            return Err(ServiceError::invalid("invalid-kind", detail));
        }
    };
    let endpoints = sight.endpoints().await?;
    let prefixes: Vec<_> = files.iter().map(|(_, seen)| (seen.id,)).collect();
    let mut items = Vec::new();
    for ((_, file), replicas) in files.iter().zip(view.scan_many::<Replicas>(&prefixes, REPLICAS_MAX).await?) {
        for ((_, endpoint), replica) in replicas {
            items.extend(to_view(&file.record, endpoint, replica, &endpoints));
        }
    }
    Ok(Page { items, next })
}

fn to_view(
    file: &DidRecord,
    endpoint: EndpointId,
    replica: crate::catalog::record::ReplicaRecord,
    endpoints: &[Endpoint],
) -> Option<ReplicaView> {
    let endpoint = endpoints.iter().find(|known| known.id == endpoint)?;
    let did = file.did();
    Some(ReplicaView {
        endpoint: endpoint.name.clone(),
        path: replica.path.unwrap_or_else(|| StoragePath::derived(&did).to_string()),
        state: replica.state,
        verification: replica.verification,
        bytes: file.file().map_or(0, |facts| facts.bytes),
        did,
    })
}

/// A registration in bulk that is under way: one target, any number of chunks.
pub struct Registration {
    ctx: Context,
    target: Target,
}

/// Begins a registration of files that lie at an endpoint already.
pub async fn begin_registration(
    ctx: &Context,
    to: &Did,
    endpoint: &EndpointName,
) -> Result<Registration, ServiceError> {
    let place = endpoint_acts::find(&ctx.catalog().view().await?, endpoint).await?;
    let (dataset, decision) = ensure_dataset(ctx, to, &place).await?;
    let (scope, account) = (to.scope.clone(), ctx.account().clone());
    let standing = Arc::new(ctx.standing());
    let target = Target { scope, dataset, endpoint: place.id, account, standing, decision };
    Ok(Registration { ctx: ctx.clone(), target })
}

impl Registration {
    /// Registers a chunk of at most [`CHUNK`] lines, of which the first has the number `line`.
    /// Lines that cannot be read are refused one by one.
    pub async fn chunk(&self, line: u64, lines: &[String]) -> Result<RegisteredChunk, ServiceError> {
        let mut answer = RegisteredChunk { line, registered: 0, known: 0, refused: Vec::new() };
        let (mut files, mut numbers) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        for (number, text) in (line..).zip(lines).filter(|(_, text)| !text.is_empty()) {
            match read_line(text) {
                Ok(file) => {
                    files.push(file);
                    numbers.push(number);
                }
                Err((code, detail)) => {
                    answer.refused.push(RefusedLine { line: number, code: code.to_owned(), detail });
                }
            }
        }
        let outcomes = match self.register(files).await {
            // What they might when the stream began they may no more: the lines are answered, not broken off.
            Err(error) if matches!(error.kind(), Kind::Denied | Kind::Unauthenticated) => {
                let (code, detail) = (error.code(), error.to_string());
                vec![Registered::Refused { code, detail }; numbers.len()]
            }
            outcomes => outcomes?,
        };
        for (number, outcome) in numbers.into_iter().zip(outcomes) {
            match outcome {
                Registered::New => answer.registered += 1,
                Registered::Known => answer.known += 1,
                Registered::Refused { code, detail } => {
                    answer.refused.push(RefusedLine { line: number, code: code.to_owned(), detail });
                }
            }
        }
        answer.refused.sort_by_key(|refused| refused.line);
        self.ctx.catalog().wakes().wake(Topic::Folds);
        self.ctx.catalog().wakes().wake(Topic::Rules);
        Ok(answer)
    }
}

impl Registration {
    /// Registers files by what the account and its key may do by now: a stream may take hours.
    async fn register(&self, files: Vec<Stated>) -> Result<Vec<Registered>, ServiceError> {
        let ctx = accounts::renewed(&self.ctx).await?;
        let target = Target { standing: Arc::new(ctx.standing()), ..self.target.clone() };
        // A rehearsal of each chunk by itself: one of them all would grow with their number.
        let rehearsal = if ctx.is_dry_run() { Some(ctx.catalog().rehearsing().await?) } else { None };
        let catalog = rehearsal.as_ref().unwrap_or(ctx.catalog());
        let mut outcomes = Vec::with_capacity(files.len());
        for batch in batches(files) {
            outcomes.extend(register_batch(catalog, target.clone(), batch).await?);
        }
        Ok(outcomes)
    }
}

/// Files that go into one transaction together: much is said of few, or little of many.
fn batches(files: Vec<Stated>) -> Vec<Vec<Stated>> {
    let (mut batches, mut bytes) = (vec![Vec::with_capacity(files.len())], 0);
    for file in files {
        let more = bytes_of(file.meta.as_ref());
        if bytes + more > WRITTEN_BYTES_MAX {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        batches.last_mut().expect("there is one from the beginning").push(file);
    }
    batches
}

fn read_line(text: &str) -> Result<Stated, (&'static str, String)> {
    let invalid = |detail: String| ("invalid-line", detail);
    let new: NewReplica = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let name = DidName::parse(&new.name).map_err(|error| invalid(error.to_string()))?;
    let path = new.path.as_deref().map(StoragePath::parse).transpose().map_err(|error| invalid(error.to_string()))?;
    if new.bytes > FILE_BYTES_MAX {
        return Err(invalid(format!("a file has at most {FILE_BYTES_MAX} bytes")));
    }
    let meta = read_given(new.meta.as_ref())?;
    Ok(Stated { name, bytes: new.bytes, checksum: new.checksum, path, meta })
}

/// A file and the datasets that hold it.
async fn holders(txn: &Txn, file: DidId) -> Result<Vec<DidId>, ServiceError> {
    let parents = txn.scan::<Parents>(&(file,), PARENTS_NOTED_MAX).await?;
    Ok(std::iter::once(file).chain(parents.into_iter().map(|((_, parent), _)| parent)).collect())
}

/// Declares a replica bad: it is read no more, and rules replace it.
pub async fn declare_bad(ctx: &Context, did: Did, endpoint: EndpointName) -> Result<Tagged<ReplicaView>, ServiceError> {
    let asking = ctx.clone();
    let done = ctx
        .transact(Made::Changed, move |txn| {
            let (ctx, did, endpoint) = (asking.clone(), did.clone(), endpoint.clone());
            async move {
                let (Seen { id, record, .. }, _) = ctx.sight(&txn).did_for(Action::Write, &did).await?;
                let place = endpoint_acts::find(&txn, &endpoint).await?;
                let Some(facts) = record.file() else {
                    let detail = format!("`{did}` is a {}; name the file whose replica is bad", record.kind());
                    return Err(ServiceError::invalid("invalid-kind", detail));
                };
                let missing = || ServiceError::not_found("replica", format!("{did} at {endpoint}"));
                let key = (id, place.id);
                if txn.get::<Replicas>(&key).await?.is_none() {
                    return Err(missing());
                }
                if mark_bad(&txn, id, place.id, facts.bytes).await? {
                    let what = Happening::ReplicasBad(place.id, Several { first: id, count: 1 });
                    for of in holders(&txn, id).await? {
                        note(&txn, of, Some(ctx.account()), what.clone()).await?;
                    }
                }
                let replica = txn.get::<Replicas>(&key).await?.ok_or_else(missing)?;
                let tag = Tag::of(&replica);
                let view = to_view(&record, place.id, replica, &[place]).ok_or_else(missing)?;
                Ok(Tagged { tag, view })
            }
        })
        .await?;
    ctx.catalog().wakes().wake(Topic::Rules);
    ctx.catalog().wakes().wake(Topic::Folds);
    Ok(done)
}
