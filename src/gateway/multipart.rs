//! Several ranges in one answer: `multipart/byteranges` (RFC 9110, section 14.6), its length known
//! beforehand.

use std::sync::Arc;

use axum::BoxError;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::{iter, once};
use futures::{Stream, StreamExt as _, TryStreamExt as _};

use crate::gateway::headers::content_range;
use crate::gateway::source::Source;
use crate::storage::backend::{ByteRange, ByteStream};

/// An answer in parts, before its bytes.
pub(super) struct Multipart {
    boundary: String,
    parts: Vec<(String, ByteRange)>,
}

impl Multipart {
    /// Parts of a file. The boundary must be one that whoever made the bytes could not foresee.
    pub(super) fn new(ranges: &[ByteRange], bytes: u64, content_type: &str, boundary: String) -> Self {
        let head = |range: &ByteRange| {
            let placed = content_range(*range, bytes);
            format!("\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {placed}\r\n\r\n")
        };
        let parts = ranges.iter().map(|range| (head(range), *range)).collect();
        Self { boundary, parts }
    }

    /// For `Content-Type`.
    pub(super) fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// For `Content-Length`.
    pub(super) fn length(&self) -> u64 {
        let parts = self.parts.iter();
        let parts: u64 = parts.map(|(head, range)| head.len() as u64 + range.length()).sum();
        parts + self.tail().len() as u64
    }

    fn tail(&self) -> String {
        format!("\r\n--{}--\r\n", self.boundary)
    }

    /// The body. The bytes of the first part are open already, those of others are opened in turn.
    pub(super) fn body(self, source: Source, first: ByteStream) -> Body {
        let tail = once(std::future::ready(Ok(Bytes::from(self.tail()))));
        let (source, mut first) = (Arc::new(source), Some(first));
        let parts = iter(self.parts).map(move |(head, range)| part(head, range, Arc::clone(&source), first.take()));
        Body::from_stream(parts.flatten().chain(tail))
    }
}

fn part(
    head: String,
    range: ByteRange,
    source: Arc<Source>,
    open: Option<ByteStream>,
) -> impl Stream<Item = Result<Bytes, BoxError>> {
    let content = async move {
        let content = match open {
            Some(content) => content,
            None => source.read(range).await?,
        };
        Ok::<_, BoxError>(content.map_err(BoxError::from))
    };
    let head = once(std::future::ready(Ok(Bytes::from(head))));
    head.chain(once(content).try_flatten()).boxed()
}
