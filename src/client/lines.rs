//! Work in bulk: lines go up while answers come down, in one exchange of any length.

use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, stream};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::client::address::query;
use crate::client::error::ClientError;
use crate::client::request::{Call, judge, unreachable};
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::view::RegisteredChunk;

/// The longest line an answer may have: room for a chunk of which every line was refused.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Client {
    /// Registers files that lie at an endpoint already. `lines` is newline-delimited JSON of
    /// `NewReplica`; each chunk is answered as soon as the server has stored it.
    pub async fn register(
        &self,
        to: &Did,
        endpoint: &EndpointName,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<RegisteredChunk, ClientError>> + use<>, ClientError> {
        let did = to.to_string();
        let wanted = [("to", Some(did.as_str())), ("endpoint", Some(endpoint.as_str())), ("dry_run", self.dry_run())];
        self.exchange_lines(Method::POST, self.api(&format!("/replicas{}", query(&wanted))), lines).await
    }

    /// What the query of a change says of dry runs.
    pub(crate) fn dry_run(&self) -> Option<&'static str> {
        self.rehearses.then_some("true")
    }

    /// Sends lines and reads those of the answer while the others still go up.
    pub(crate) async fn exchange_lines<T: DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let mut request = self
            .http
            .request(method, &url)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(reqwest::Body::wrap_stream(lines));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        // The lines are gone once they are read, so this is sent once.
        let response = judge(&url, request.send().await).await.map_err(|failed| failed.error)?;
        Ok(parse_lines(url, response.bytes_stream().boxed()))
    }
}

impl Client {
    /// Makes a call whose answer is lines, once.
    pub(crate) async fn lines_of<T: DeserializeOwned>(
        &self,
        call: &Call,
    ) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
        let answer = self.request(call).send().await;
        let response = judge(call.url(), answer).await.map_err(|failed| failed.error)?;
        Ok(parse_lines(call.url().to_owned(), response.bytes_stream().boxed()))
    }
}

struct Lines {
    url: String,
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    pending: Vec<u8>,
    /// How much of `pending` is known to have no line end.
    searched: usize,
}

fn parse_lines<T: DeserializeOwned>(
    url: String,
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
) -> impl Stream<Item = Result<T, ClientError>> {
    let begin = Lines { url, chunks, pending: Vec::new(), searched: 0 };
    stream::try_unfold(begin, async |mut lines| {
        loop {
            let Some(line) = lines.next_line().await? else {
                return Ok(None);
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let item = serde_json::from_slice(&line).map_err(|error| lines.protocol(error.to_string()))?;
            return Ok(Some((item, lines)));
        }
    })
}

impl Lines {
    async fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(at) = self.pending[self.searched..].iter().position(|b| *b == b'\n') {
                let rest = self.pending.split_off(self.searched + at + 1);
                self.searched = 0;
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            self.searched = self.pending.len();
            if self.pending.len() > LINE_BYTES_MAX {
                return Err(self.protocol(format!("a line has over {LINE_BYTES_MAX} bytes")));
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.pending.extend_from_slice(&chunk),
                Some(Err(source)) => return Err(unreachable(&self.url, source)),
                None if self.pending.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(std::mem::take(&mut self.pending)));
                }
            }
        }
    }

    fn protocol(&self, detail: String) -> ClientError {
        ClientError::Protocol { url: self.url.clone(), detail }
    }
}
