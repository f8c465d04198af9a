//! Announces hashed files in batches, so that what is there already costs one line instead of one
//! upload, while the files of the batch before are on their way.

use tokio::sync::mpsc::{Receiver, Sender};

use crate::cli::put::Target;
use crate::cli::put::hash::{Hashed, HashedFile};
use crate::cli::table::FailedFile;
use crate::client::{Client, ClientError};
use crate::service::view::{NewUpload, NewUploads, UploadView};

/// Files in one announcement at most.
pub(crate) const BATCH_FILES_MAX: usize = 500;
/// The same where much is said of the files: what is announced is one body.
const BATCH_META_BYTES_MAX: u64 = 1024 * 1024;
/// A batch with more bytes than this does not wait for more files: uploading can begin.
const BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is left to do for a file.
pub(crate) enum Ready {
    Skipped,
    Failed(FailedFile),
    /// Nothing: so many bytes are there.
    AlreadyThere(u64),
    Upload(Upload),
}

/// A file that the server waits for.
pub(crate) struct Upload {
    pub(crate) file: HashedFile,
    pub(crate) url: String,
}

/// The third stage. It ends with the first announcement that fails as a whole. If there is nothing to
/// announce it announces just that, so that the dataset is there afterwards.
pub(crate) async fn announce_all(
    client: Client,
    target: Target,
    mut hashed: Receiver<Hashed>,
    ready: Sender<Result<Ready, ClientError>>,
) {
    let mut batch = Vec::new();
    let (mut bytes, mut meta_bytes) = (0, 0);
    let mut is_announced = false;
    loop {
        let next = hashed.recv().await;
        let ended = next.is_none();
        let passed_on = match next {
            Some(Hashed::File(file)) => {
                bytes += file.stamp.bytes;
                meta_bytes += target.meta.as_ref().map_or(0, |meta| meta.bytes_of(&file.file.name));
                batch.push(file);
                None
            }
            Some(Hashed::Skipped) => Some(Ready::Skipped),
            Some(Hashed::Failed(failed)) => Some(Ready::Failed(failed)),
            None => None,
        };
        if let Some(passed_on) = passed_on
            && ready.send(Ok(passed_on)).await.is_err()
        {
            return;
        }
        let full = batch.len() >= BATCH_FILES_MAX || bytes >= BATCH_BYTES_MAX || meta_bytes >= BATCH_META_BYTES_MAX;
        if full || (ended && !(batch.is_empty() && is_announced)) {
            (bytes, meta_bytes) = (0, 0);
            is_announced = true;
            if !pass_on(&client, &target, std::mem::take(&mut batch), &ready).await {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

/// Announces a batch and passes its answers on; tells whether there is a use in going on.
async fn pass_on(
    client: &Client,
    target: &Target,
    batch: Vec<HashedFile>,
    ready: &Sender<Result<Ready, ClientError>>,
) -> bool {
    match announce(client, target, batch).await {
        Ok(answers) => {
            for answer in answers {
                if ready.send(Ok(answer)).await.is_err() {
                    return false;
                }
            }
            true
        }
        Err(error) => {
            // If nobody listens, nobody needs to know.
            let _ = ready.send(Err(error)).await;
            false
        }
    }
}

/// Announces files and says what is left to do for each.
pub(crate) async fn announce(
    client: &Client,
    target: &Target,
    batch: Vec<HashedFile>,
) -> Result<Vec<Ready>, ClientError> {
    let (mut ready, mut announced, mut files) = (Vec::new(), Vec::with_capacity(batch.len()), Vec::new());
    for hashed in batch {
        let meta = match target.meta.as_ref().map(|all| all.of(&hashed.file.name).map_err(|error| all.lost(&error))) {
            None => None,
            Some(Ok(meta)) => meta,
            Some(Err(detail)) => {
                ready.push(Ready::Failed(hashed.file.failed("unreadable", detail)));
                continue;
            }
        };
        let (name, bytes, checksum) = (hashed.file.name.to_string(), hashed.stamp.bytes, hashed.checksum.clone());
        files.push(NewUpload { name, bytes, checksum, meta });
        announced.push(hashed);
    }
    let new = NewUploads { to: target.to.clone(), endpoint: target.endpoint.clone(), files };
    let answers = client.announce(&new).await?;
    ready.extend(announced.into_iter().zip(answers.items).map(|(file, answer)| match answer {
        UploadView::Done => Ready::AlreadyThere(file.stamp.bytes),
        UploadView::Refused { code, detail } => Ready::Failed(file.file.failed(&code, detail)),
        UploadView::Put { url, .. } => Ready::Upload(Upload { file, url }),
    }));
    Ok(ready)
}
