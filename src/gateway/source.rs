//! Bytes of a file from whichever replica gives them. Replicas are tried in order until one gives
//! its first bytes; from then on a failure aborts, as an answer that has begun cannot be taken back.
//! A stream from here gives exactly as many bytes as were asked for, or an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{once, try_unfold};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::clock::{SharedClock, within};
use crate::fault::Fault as _;
use crate::http::request::current_id;
use crate::model::stuck::StuckReason;
use crate::replicas::locate::Located;
use crate::service::Lake;
use crate::service::error::ServiceError;
use crate::service::urls::{Opened, replicas};
use crate::storage::backend::{ByteRange, ByteStream, StorageError};

/// How long a replica may take to give its first bytes before the next one is tried.
const OPEN_SPAN_MAX: Duration = Duration::from_secs(20);
/// How long bytes that are on their way may stand still.
pub(super) const STALL_SPAN_MAX: Duration = Duration::from_mins(1);

/// A file with the replicas it can be read from.
pub(super) struct Source {
    lake: Arc<Lake>,
    opened: Opened,
    replicas: Vec<Located>,
    request_id: String,
}

impl Source {
    /// Looks up where a file can be read.
    pub(super) async fn of(lake: &Arc<Lake>, opened: Opened) -> Result<Self, ServiceError> {
        Ok(Self { replicas: replicas(lake, &opened).await?, lake: Arc::clone(lake), opened, request_id: current_id() })
    }

    /// Opens a range at the first replica that gives its first bytes.
    pub(super) async fn read(&self, range: ByteRange) -> Result<ByteStream, ServiceError> {
        let clock = self.lake.catalog.clock();
        for replica in &self.replicas {
            let opening = within(clock.as_ref(), OPEN_SPAN_MAX, self.read_at(replica, range)).await;
            match opening.unwrap_or_else(|| Err(stalled(replica, OPEN_SPAN_MAX))) {
                Ok(content) => {
                    self.lake.stores.health().well(replica.endpoint.id);
                    return Ok(self.watched(content, replica));
                }
                Err(error) => {
                    self.log(replica, &error, "cannot be read, trying the next replica if there is one");
                    self.note(replica, &error);
                }
            }
        }
        Err(self.unreadable())
    }

    fn unreadable(&self) -> ServiceError {
        let did = self.opened.did.clone();
        match (self.opened.from, &self.replicas[..]) {
            (Some(_), [only]) => ServiceError::UnreadableThere { did, endpoint: only.endpoint.name.clone() },
            _ => ServiceError::Unreadable { did },
        }
    }

    async fn read_at(&self, replica: &Located, range: ByteRange) -> Result<ByteStream, StorageError> {
        let backend = self.lake.stores.get(&replica.endpoint)?;
        let content = backend.read(&replica.path, Some(range)).await?;
        let clock = self.lake.catalog.clock().clone();
        let mut content = exactly(content, range.length(), clock, replica.path.to_string());
        let first = content.try_next().await?;
        Ok(match first {
            Some(first) => once(async { Ok(first) }).chain(content).boxed(),
            None => content,
        })
    }

    /// The same bytes; an error among them is logged here, where the endpoint is known.
    fn watched(&self, content: ByteStream, replica: &Located) -> ByteStream {
        let watcher = Self {
            lake: Arc::clone(&self.lake),
            opened: self.opened.clone(),
            replicas: vec![replica.clone()],
            request_id: self.request_id.clone(),
        };
        content
            .inspect_err(move |error| watcher.log(&watcher.replicas[0], error, "broke off, the answer was aborted"))
            .boxed()
    }

    /// Lets others know of an endpoint that does not answer, so that not every reader waits for it.
    fn note(&self, replica: &Located, error: &StorageError) {
        if matches!(error, StorageError::Unavailable { .. } | StorageError::NoRoot { .. }) {
            let (clock, endpoint) = (self.lake.catalog.clock(), &replica.endpoint);
            let reason = StuckReason::SourceUnreachable { endpoint: endpoint.name.clone() };
            self.lake.stores.health().failed(endpoint.id, reason, error.to_string(), clock.as_ref());
        }
    }

    fn log(&self, replica: &Located, error: &StorageError, outcome: &str) {
        let (did, endpoint) = (&self.opened.did, &replica.endpoint.name);
        tracing::warn!(
            request.id = %self.request_id, did = %did, endpoint.name = %endpoint, code = error.code(),
            "{did} at {endpoint} {outcome}: {error}"
        );
    }
}

/// The same bytes if there are `length` of them; else an error in time for the caller to notice.
/// The last ones are held back until the storage has said that no more follow.
fn exactly(content: ByteStream, length: u64, clock: SharedClock, path: String) -> ByteStream {
    let state = (Some(content), 0, clock, path);
    try_unfold(state, move |(content, sent, clock, path)| async move {
        let Some(mut content) = content else { return Ok(None) };
        let wrong = |found| StorageError::WrongLength { path: path.clone(), expected: length, found };
        let Some(chunk) = next_bytes(&mut content, &clock, &path).await? else {
            return if sent == length { Ok(None) } else { Err(wrong(sent)) };
        };
        let sent = sent + chunk.len() as u64;
        if sent > length {
            return Err(wrong(sent));
        }
        if sent < length {
            return Ok(Some((chunk, (Some(content), sent, clock, path))));
        }
        match next_bytes(&mut content, &clock, &path).await? {
            Some(more) => Err(wrong(sent + more.len() as u64)),
            None => Ok(Some((chunk, (None, sent, clock, path)))),
        }
    })
    .boxed()
}

/// The next chunk that has bytes in it.
async fn next_bytes(content: &mut ByteStream, clock: &SharedClock, path: &str) -> Result<Option<Bytes>, StorageError> {
    loop {
        let next = within(clock.as_ref(), STALL_SPAN_MAX, content.try_next()).await;
        let next = next.unwrap_or_else(|| {
            Err(StorageError::Unavailable {
                path: path.to_owned(),
                what: format!("no bytes came for {} seconds", STALL_SPAN_MAX.as_secs()),
            })
        })?;
        match next {
            Some(chunk) if chunk.is_empty() => {}
            other => return Ok(other),
        }
    }
}

fn stalled(replica: &Located, span: Duration) -> StorageError {
    StorageError::Unavailable {
        path: replica.path.to_string(),
        what: format!("it did not open within {} seconds", span.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::iter;

    use super::*;
    use crate::clock::SystemClock;

    async fn run(chunks: &[&'static str], length: u64) -> (String, bool) {
        let content = iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect::<Vec<_>>());
        let mut content = exactly(content.boxed(), length, SystemClock::shared(), "p".to_owned());
        let mut got = String::new();
        loop {
            match content.next().await {
                Some(Ok(chunk)) => got.push_str(std::str::from_utf8(&chunk).unwrap()),
                Some(Err(_)) => return (got, false),
                None => return (got, true),
            }
        }
    }

    #[tokio::test]
    async fn a_stream_of_another_length_is_an_error_before_its_end() {
        let table: [(&[&'static str], u64, &str, bool); 8] = [
            (&["ab", "c"], 3, "abc", true),
            (&["", "ab", "", "c", ""], 3, "abc", true),
            (&[], 0, "", true),
            (&["ab"], 3, "ab", false),
            (&[], 3, "", false),
            (&["ab", "cd"], 3, "ab", false),
            (&["abc", "d"], 3, "", false),
            (&["a"], 0, "", false),
        ];
        for (chunks, length, got, whole) in table {
            assert_eq!(run(chunks, length).await, (got.to_owned(), whole), "{chunks:?} {length}");
        }
    }
}
