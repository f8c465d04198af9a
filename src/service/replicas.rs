//! Replicas: list them, register them in bulk, declare one bad.

use std::sync::Arc;

use crate::catalog::Txn;
use crate::catalog::history::note;
use crate::catalog::ledger::replicas::mark_bad;
use crate::catalog::record::{DidRecord, Happening, Parents, Replicas, Several};
use crate::catalog::wake::Topic;
use crate::model::did::{Did, DidKind, DidName};
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::{DidId, EndpointId};
use crate::model::replica::FILE_BYTES_MAX;
use crate::policy::decision::Action;
use crate::replicas::Target;
use crate::replicas::register::{Registered, Stated, register_batch};
use crate::service::dids::ensure_dataset;
use crate::service::error::ServiceError;
use crate::service::lines::{Lines, all_refused, by_present_rights, json, of_line};
use crate::service::metadata::{WRITTEN_BYTES_MAX, bytes_of, read_given};
use crate::service::paging::Paging;
use crate::service::sight::Seen;
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{NewReplica, Page, RefusedLine, RegisteredChunk, ReplicaView};
use crate::service::{Context, endpoints as endpoint_acts};
use crate::storage::layout::StoragePath;

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
    /// Registers a chunk of at most [`CHUNK`](crate::service::lines::CHUNK) lines, of which the first has the
    /// number `line`. Lines that cannot be read are refused one by one.
    pub async fn chunk(&self, line: u64, lines: &[String]) -> Result<RegisteredChunk, ServiceError> {
        let Lines { numbers, items, refused: unread } = Lines::read(line, lines, read_line);
        let mut answer = RegisteredChunk { line, registered: 0, known: 0, refused: unread };
        let files = numbers.iter().copied().zip(items).collect();
        if let Err(error) = by_present_rights(&self.ctx, |ctx| self.register(ctx, files, &mut answer)).await? {
            answer.refused.extend(all_refused(&numbers, &error));
        }
        answer.refused.sort_by_key(|refused| refused.line);
        self.ctx.catalog().wakes().wake(Topic::Folds);
        self.ctx.catalog().wakes().wake(Topic::Rules);
        Ok(answer)
    }

    async fn register(
        &self,
        ctx: Context,
        files: Vec<(u64, Stated)>,
        answer: &mut RegisteredChunk,
    ) -> Result<(), ServiceError> {
        let target = Target { standing: Arc::new(ctx.standing()), ..self.target.clone() };
        for batch in batches(files) {
            let (numbers, files): (Vec<u64>, Vec<Stated>) = batch.into_iter().unzip();
            let registered = register_batch(ctx.catalog(), target.clone(), files).await;
            match of_line(registered.map_err(ServiceError::from))? {
                Err(error) => answer.refused.extend(all_refused(&numbers, &error)),
                Ok(outcomes) => numbers.into_iter().zip(outcomes).for_each(|(line, one)| answer.add(line, one)),
            }
        }
        Ok(())
    }
}

impl RegisteredChunk {
    fn add(&mut self, line: u64, outcome: Registered) {
        match outcome {
            Registered::New => self.registered += 1,
            Registered::Known => self.known += 1,
            Registered::Refused { code, detail } => {
                self.refused.push(RefusedLine { line, code: code.to_owned(), detail, hint: None });
            }
        }
    }
}

/// Files that go into one transaction together: much is said of few, or little of many.
fn batches(files: Vec<(u64, Stated)>) -> Vec<Vec<(u64, Stated)>> {
    let (mut batches, mut bytes) = (vec![Vec::with_capacity(files.len())], 0);
    for file in files {
        let more = bytes_of(file.1.meta.as_ref());
        if bytes + more > WRITTEN_BYTES_MAX {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        batches.last_mut().expect("there is one from the beginning").push(file);
    }
    batches
}

fn read_line(text: &str) -> Result<Stated, ServiceError> {
    let invalid = |error: &dyn std::fmt::Display| ServiceError::invalid("invalid-line", error);
    let new: NewReplica = json(text)?;
    let name = DidName::parse(&new.name).map_err(|error| invalid(&error))?;
    let path = new.path.as_deref().map(StoragePath::parse).transpose().map_err(|error| invalid(&error))?;
    if new.bytes > FILE_BYTES_MAX {
        return Err(invalid(&format!("a file has at most {FILE_BYTES_MAX} bytes")));
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
