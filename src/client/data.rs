//! Bytes up and down signed URLs. The URL is the permission: no key is sent along.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_RANGE, RANGE};
use reqwest::{Response, StatusCode};

use crate::client::Client;
use crate::client::error::ClientError;
use crate::client::request::{Again, judge, unreachable, unsigned};
use crate::service::view::Uploaded;

/// How long a server may stay silent: before it answers, and between two pieces of a download.
const SILENCE_MAX: Duration = Duration::from_mins(2);
/// An upload may take as long as a line of this speed needs for it, on top.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// What is sent.
pub enum Payload {
    /// Bytes in memory; the cheapest way for small files.
    Whole(Bytes),
    /// Bytes as they are read.
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

/// A download that has begun.
pub struct Download {
    /// Where the first byte to come stands in the file: what was asked for, or 0 when the server
    /// gives the file from its beginning.
    pub offset: u64,
    /// Names the content, for going on later.
    pub etag: Option<String>,
    response: Response,
    client: Client,
    url: String,
}

impl Client {
    /// Sends a file's bytes to the URL that its announcement gave. `open` is asked for the bytes
    /// anew at each attempt.
    pub async fn upload(
        &self,
        url: &str,
        bytes: u64,
        mut open: impl FnMut() -> Payload,
    ) -> Result<Uploaded, ClientError> {
        let url = &self.absolute(url);
        let deadline = SILENCE_MAX + Duration::from_secs(bytes / UPLOAD_BYTES_PER_SECOND_MIN);
        self.persist(Again::Always, || {
            let body = match open() {
                Payload::Whole(bytes) => reqwest::Body::from(bytes),
                Payload::Stream(stream) => reqwest::Body::wrap_stream(stream),
            };
            let request = self
                .http
                .put(url)
                .header(CONTENT_LENGTH, bytes)
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(body);
            async move {
                let work = async {
                    let response = judge(url, request.send().await).await?;
                    response.json().await.map_err(|error| not_understood(url, error).into())
                };
                self.within(deadline, url, work).await?
            }
        })
        .await
    }

    /// Begins to read a signed URL, from `offset` on if the content still has the ETag `etag`.
    pub async fn download(&self, url: &str, offset: u64, etag: Option<&str>) -> Result<Download, ClientError> {
        let url = self.absolute(url);
        self.persist(Again::Always, || async {
            let mut request = self.http.get(&url);
            if offset > 0 {
                request = request.header(RANGE, format!("bytes={offset}-"));
                if let Some(etag) = etag {
                    request = request.header(IF_RANGE, etag);
                }
            }
            let answer = self.within(SILENCE_MAX, &url, request.send()).await?;
            let response = judge(&url, answer).await?;
            Ok(Download {
                offset: if response.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 },
                etag: text(response.headers(), &ETAG),
                response,
                client: self.clone(),
                url: url.clone(),
            })
        })
        .await
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() }
    }
}

impl Download {
    /// The next piece; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let next = self.response.chunk();
        let piece = self.client.within(SILENCE_MAX, &self.url, next).await?;
        piece.map_err(|source| unreachable(&self.url, source))
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// A body that broke off is the connection's fault; one that is no JSON is the server's.
fn not_understood(url: &str, error: reqwest::Error) -> ClientError {
    if error.is_decode() {
        ClientError::Protocol {
            url: unsigned(url),
            detail: "the answer to an upload is not what it should be".to_owned(),
        }
    } else {
        unreachable(url, error)
    }
}
