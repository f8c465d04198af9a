//! Backups of the lake: as a stream to whoever asks, or to an endpoint. Who reads one reads everything,
//! so only admins may, whatever else policy says.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::catalog::backup::Export;
use crate::clock::SharedClock;
use crate::model::endpoint::EndpointName;
use crate::model::id::{GrantId, IntentId};
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::endpoints::find;
use crate::service::error::ServiceError;
use crate::service::view::{BackupProgress, BackupView, NewBackup};
use crate::storage::backend::{Backend, ByteStream, CHUNK_BYTES_MAX, Overwrite, StorageError};
use crate::storage::layout::StoragePath;

/// How many pieces are made between two words of progress.
const PIECES_AT_ONCE: usize = 32;

fn permit(ctx: &Context) -> Result<(), ServiceError> {
    ctx.permit(Action::Administer, "backup")?;
    if !ctx.principal.admin {
        return Err(ServiceError::Denied { action: Action::Administer.name(), resource: "backup".to_owned() });
    }
    Ok(())
}

/// Begins a backup of the lake as it is now. The state is held until the backup is dropped.
pub async fn create(ctx: &Context) -> Result<Export, ServiceError> {
    permit(ctx)?;
    Ok(Export::begin(&ctx.lake.catalog).await?)
}

/// Begins a backup that goes to an endpoint, under a path that is no file's and at which nothing lies.
pub async fn send(ctx: &Context, new: NewBackup) -> Result<Sending, ServiceError> {
    permit(ctx)?;
    let path = StoragePath::parse(&new.path).map_err(|error| ServiceError::invalid("invalid-path", error))?;
    if path.did().is_some() {
        return Err(ServiceError::Invalid {
            code: "invalid-path",
            detail: format!("`{path}` is where a file of the lake would lie"),
            hint: Some(format!("begin with what can be no scope, as `.backups/{path}`")),
        });
    }
    let endpoint = find(&ctx.catalog().view().await?, &new.endpoint).await?;
    let store = ctx.lake.stores.get(&endpoint)?;
    match store.stat(&path).await {
        Err(StorageError::NotFound { .. }) => {}
        Ok(_) => return Err(StorageError::Exists { path: path.to_string() }.into()),
        Err(error) => return Err(error.into()),
    }
    if ctx.is_dry_run() {
        return Ok(Sending { stage: Stage::Rehearsed });
    }
    let clock = ctx.lake.catalog.clock().clone();
    let export = Export::begin(&ctx.lake.catalog).await?;
    let spool = spool(ctx)?;
    let work = Work { clock, store, endpoint: endpoint.name, path, export, spool, hasher: blake3::Hasher::new() };
    Ok(Sending { stage: Stage::Making(Box::new(work)) })
}

/// A file without a name: a store has to be told the length before the first byte.
fn spool(ctx: &Context) -> Result<Arc<File>, ServiceError> {
    let directory = ctx.lake.directory.clone().unwrap_or_else(std::env::temp_dir);
    let path = directory.join(format!("backup-{}.part", GrantId(ctx.lake.catalog.clock().id())));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|file| std::fs::remove_file(&path).map(|()| Arc::new(file))).map_err(no_spool)
}

fn no_spool(cause: std::io::Error) -> ServiceError {
    let what = format!("the lake's directory cannot take the backup on its way: {cause}");
    StorageError::Unavailable { path: "backup".to_owned(), what }.into()
}

/// A backup on its way to an endpoint.
pub struct Sending {
    stage: Stage,
}

enum Stage {
    /// Is written to the spool.
    Making(Box<Work>),
    /// Is in the spool, and sent.
    Made(Box<Work>),
    Rehearsed,
    Over,
}

struct Work {
    clock: SharedClock,
    store: Arc<dyn Backend>,
    endpoint: EndpointName,
    path: StoragePath,
    export: Export,
    spool: Arc<File>,
    hasher: blake3::Hasher,
}

impl Sending {
    /// Goes on for a while and says how far it has come; `None` when there is no more to say.
    pub async fn next(&mut self) -> Result<Option<BackupProgress>, ServiceError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Making(mut work) => {
                let more = work.make().await?;
                let said = work.progress(None);
                self.stage = if more { Stage::Making(work) } else { Stage::Made(work) };
                Ok(Some(said))
            }
            Stage::Made(work) => {
                let intent = IntentId(work.clock.id());
                match work.send(intent).await {
                    Ok(view) => Ok(Some(work.progress(Some(view)))),
                    Err(error) => {
                        // What is left there of it has no use; the error says more than that it stays.
                        let _ = work.store.discard(&work.path, intent).await;
                        Err(error)
                    }
                }
            }
            Stage::Rehearsed => Ok(Some(BackupProgress { rows: 0, bytes: 0, done: None, failed: None })),
            Stage::Over => Ok(None),
        }
    }
}

impl Work {
    fn progress(&self, done: Option<BackupView>) -> BackupProgress {
        BackupProgress { rows: self.export.totals().rows(), bytes: self.export.bytes(), done, failed: None }
    }

    /// Makes some pieces; tells whether there are more.
    async fn make(&mut self) -> Result<bool, ServiceError> {
        for _ in 0..PIECES_AT_ONCE {
            let Some(piece) = self.export.next().await? else { return Ok(false) };
            self.hasher.update(&piece);
            let spool = Arc::clone(&self.spool);
            self.clock.compute(move || (&*spool).write_all(&piece)).await.map_err(no_spool)?;
        }
        Ok(true)
    }

    /// Sends what was made, and reads it back: a backup that nobody has read is none.
    async fn send(&self, intent: IntentId) -> Result<BackupView, ServiceError> {
        let bytes = self.export.bytes();
        self.store.stage(&self.path, intent, bytes, self.content()).await?;
        self.store.publish(&self.path, intent, Overwrite::Refuse).await?;
        let mut hasher = blake3::Hasher::new();
        let mut there = self.store.read(&self.path, None).await?;
        while let Some(piece) = there.try_next().await? {
            hasher.update(&piece);
        }
        if hasher.finalize() != self.hasher.finalize() {
            let what = "the backup that it gives back is not the one that it was given".to_owned();
            return Err(StorageError::Faulty { path: self.path.to_string(), what }.into());
        }
        let header = self.export.header();
        Ok(BackupView {
            endpoint: self.endpoint.clone(),
            path: self.path.to_string(),
            lake: header.lake.to_string(),
            epoch: header.epoch,
            made_at: header.made_at,
            position: header.position,
            rows: self.export.totals().rows(),
            bytes,
            blake3: hasher.finalize().to_hex().to_string(),
        })
    }

    /// What is in the spool.
    fn content(&self) -> ByteStream {
        let begin = (Arc::clone(&self.spool), self.clock.clone(), 0_u64);
        let pieces = stream::try_unfold(begin, |(spool, clock, at)| async move {
            let from = Arc::clone(&spool);
            let piece = clock.compute(move || read_at(&from, at)).await.map_err(|cause| StorageError::Unavailable {
                path: "backup".to_owned(),
                what: format!("the lake's directory does not give it back: {cause}"),
            })?;
            let next = at + piece.len() as u64;
            Ok((!piece.is_empty()).then_some((piece, (spool, clock, next))))
        });
        pieces.boxed()
    }
}

fn read_at(mut file: &File, at: u64) -> std::io::Result<Bytes> {
    let mut piece = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(CHUNK_BYTES_MAX as u64).read_to_end(&mut piece)?;
    Ok(piece.into())
}
