//! Reads objects and ranges of them. What a server says it sends has to be what was asked for; a
//! server that sends the whole instead of a range is cut.

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, HeaderValue, RANGE};

use crate::storage::backend::{ByteRange, ByteStream, CHUNK_BYTES_MAX, StorageError};
use crate::storage::silence::unless_silent;
use crate::storage::webdav::Webdav;
use crate::storage::webdav::look::Seen;
use crate::storage::webdav::publish::is_collection;
use crate::storage::webdav::server::{Ask, Verb, faulty, refusal, sends_to_collection, stated_length, unavailable};
use crate::storage::webdav::style::is_risky;

impl Webdav {
    pub(super) async fn open_stream(&self, path: &str, range: Option<ByteRange>) -> Result<ByteStream, StorageError> {
        self.reads_name(path).await?;
        // Some servers take what follows for a query, and would read another object.
        let is_empty = range.is_some_and(|range| range.length() == 0);
        if is_risky(path) || is_empty {
            match self.server.look(path).await? {
                Seen::Nothing => return Err(self.absent(path).await),
                Seen::Collection => return Err(is_collection(path)),
                Seen::Object(bytes) => {
                    if let Some(range) = range.filter(|range| range.start > bytes || range.end > bytes) {
                        return Err(beyond(path, range, bytes));
                    }
                }
            }
        }
        if is_empty {
            return Ok(stream::empty().boxed());
        }
        let mut ask = Ask::new(Verb::Get, self.server.address.object(path), path).header("accept-encoding", "identity");
        ask.span = None;
        if let Some(range) = range {
            let value = HeaderValue::from_str(&format!("bytes={}-{}", range.start, range.end - 1));
            ask.headers.insert(RANGE, value.expect("two numbers"));
        }
        let response = self.server.ask(ask).await?;
        match (response.status().as_u16(), range) {
            (200, None) => {
                let expected = stated_length(&response);
                Ok(self.cut(path, response, 0, expected))
            }
            (206, Some(range)) => {
                fits(path, &response, range)?;
                Ok(self.cut(path, response, 0, Some(range.length())))
            }
            (200, Some(_)) if !self.server.address.is_home(response.url()) => {
                Err(faulty(path, "it sends to another server, which sends the whole instead of a range".to_owned()))
            }
            (200, Some(range)) => match stated_length(&response) {
                Some(bytes) if bytes < range.end => Err(beyond(path, range, bytes)),
                _ => Ok(self.cut(path, response, range.start, Some(range.length()))),
            },
            (416, Some(range)) => match self.server.look(path).await? {
                Seen::Object(bytes) if bytes < range.end => Err(beyond(path, range, bytes)),
                _ => Err(faulty(path, "it refuses a range that it has".to_owned())),
            },
            (404 | 410, _) => Err(self.absent(path).await),
            _ if sends_to_collection(&response) => Err(is_collection(path)),
            _ => Err(refusal(path, response.status())),
        }
    }

    fn cut(&self, path: &str, response: Response, skip: u64, expected: Option<u64>) -> ByteStream {
        unless_silent(cut(path, response, skip, expected), self.server.clock.clone(), path.to_owned())
    }
}

fn beyond(path: &str, range: ByteRange, found: u64) -> StorageError {
    StorageError::WrongLength { path: path.to_owned(), expected: range.end.max(range.start), found }
}

/// Checks that an answer has the range that was asked for. XRootD announces whatever it was asked
/// for, even beyond the end, so the whole length counts.
fn fits(path: &str, response: &Response, range: ByteRange) -> Result<(), StorageError> {
    let stated = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let Some((start, last, whole)) = stated.and_then(read_content_range) else {
        return Err(faulty(path, "it sends a range without saying which".to_owned()));
    };
    match whole {
        Some(whole) if whole < range.end => Err(beyond(path, range, whole)),
        _ if (start, last) == (range.start, range.end - 1) => Ok(()),
        _ => {
            let what = format!("it sends {start}-{last} where {}-{} was asked for", range.start, range.end - 1);
            Err(faulty(path, what))
        }
    }
}

fn read_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, whole) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let whole = if whole == "*" { None } else { Some(whole.parse().ok()?) };
    Some((start.parse().ok()?, last.parse().ok()?, whole))
}

struct Cutting {
    path: String,
    body: BoxStream<'static, Result<Bytes, reqwest::Error>>,
    chunk: Bytes,
    skip: u64,
    expected: Option<u64>,
    given: u64,
}

impl Cutting {
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            if self.expected == Some(self.given) {
                return Ok(None);
            }
            if self.chunk.is_empty() {
                match self.body.try_next().await.map_err(|error| unavailable(&self.path, error))? {
                    Some(chunk) => self.chunk = chunk,
                    None => return self.end(),
                }
            }
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(self.chunk.len());
            drop(self.chunk.split_to(skipped));
            self.skip -= skipped as u64;
            if !self.chunk.is_empty() {
                let left = self.expected.map_or(u64::MAX, |expected| expected - self.given);
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
                let chunk = self.chunk.split_to(most.min(self.chunk.len()));
                self.given += chunk.len() as u64;
                return Ok(Some(chunk));
            }
        }
    }

    fn end(&self) -> Result<Option<Bytes>, StorageError> {
        match self.expected {
            Some(expected) => Err(StorageError::WrongLength { path: self.path.clone(), expected, found: self.given }),
            None => Ok(None),
        }
    }
}

/// A body from some byte on, of so many bytes, in chunks that are not too large.
fn cut(path: &str, response: Response, skip: u64, expected: Option<u64>) -> ByteStream {
    let body = response.bytes_stream().boxed();
    let cutting = Cutting { path: path.to_owned(), body, chunk: Bytes::new(), skip, expected, given: 0 };
    stream::try_unfold(cutting, |mut cutting| async move {
        let chunk = cutting.next().await?;
        Ok(chunk.map(|chunk| (chunk, cutting)))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        let table = [
            ("bytes 0-4/11", Some((0, 4, Some(11)))),
            ("bytes 5-9/*", Some((5, 9, None))),
            ("bytes */11", None),
            ("lines 0-4/11", None),
            ("bytes 0-4/x", None),
        ];
        for (text, expected) in table {
            assert_eq!(read_content_range(text), expected, "{text}");
        }
    }
}
