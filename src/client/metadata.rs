//! Calls about metadata, and the bulk call that streams it.

use std::io;

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use reqwest::Method;

use crate::client::Client;
use crate::client::address::{did_path, query};
use crate::client::error::ClientError;
use crate::client::request::Again;
use crate::model::did::Did;
use crate::service::view::{MetadataChunk, MetadataObject, MetadataView};

impl Client {
    /// Reads the metadata of a DID.
    pub async fn metadata(&self, did: &Did) -> Result<MetadataView, ClientError> {
        self.get(&did_path("/metadata", did)?).await
    }

    /// Gives a DID metadata in place of what it had.
    pub async fn replace_metadata(&self, did: &Did, new: &MetadataObject) -> Result<MetadataView, ClientError> {
        self.send(Method::PUT, &did_path("/metadata", did)?, new, Again::Always).await
    }

    /// Merges into the metadata of a DID; `null` takes a key away.
    pub async fn patch_metadata(&self, did: &Did, patch: &MetadataObject) -> Result<MetadataView, ClientError> {
        self.send(Method::PATCH, &did_path("/metadata", did)?, patch, Again::Always).await
    }

    /// Changes the metadata of many DIDs. `lines` is newline-delimited JSON of `MetadataLine`; each
    /// chunk is answered as soon as the server has stored it.
    pub async fn patch_many_metadata(
        &self,
        replace: bool,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<MetadataChunk, ClientError>> + use<>, ClientError> {
        let wanted = [("replace", replace.then_some("true")), ("dry_run", self.dry_run())];
        self.exchange_lines(Method::PATCH, self.api(&format!("/metadata{}", query(&wanted))), lines).await
    }
}
