//! Calls about DIDs beside their making: closing, history, coverage, and many at once.

use std::io;

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use reqwest::Method;

use crate::client::Client;
use crate::client::address::{did_path, query};
use crate::client::error::ClientError;
use crate::client::listing::Listing;
use crate::client::request::Again;
use crate::model::did::Did;
use crate::service::view::{DatasetCoverage, DidChange, DidView, HistoryView, MovedChunk};

impl Client {
    /// Closes a dataset or container, or opens it again.
    pub async fn change_did(&self, did: &Did, change: &DidChange) -> Result<DidView, ClientError> {
        self.send(Method::PATCH, &did_path("/dids", did)?, change, Again::ByKey).await
    }

    /// Lists what happened to a DID, oldest first.
    pub fn history(&self, did: &Did) -> Result<Listing<HistoryView>, ClientError> {
        Ok(self.listing(&did_path("/history", did)?, &[]))
    }

    /// Tells how much of a dataset is where.
    pub async fn coverage(&self, did: &Did) -> Result<DatasetCoverage, ClientError> {
        self.get(&did_path("/coverage", did)?).await
    }

    /// Makes datasets and containers: a `NewDid` on each line.
    pub async fn create_dids(
        &self,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<MovedChunk, ClientError>> + use<>, ClientError> {
        let url = self.api(&format!("/bulk/dids{}", query(&[("dry_run", self.dry_run())])));
        self.exchange_lines(Method::POST, url, lines).await
    }

    /// Attaches members: an `Attachment` on each line.
    pub async fn attach_many(
        &self,
        parent: &Did,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<MovedChunk, ClientError>> + use<>, ClientError> {
        self.exchange_lines(Method::POST, self.members_url(parent), lines).await
    }

    /// Detaches members: an `Attachment` on each line.
    pub async fn detach_many(
        &self,
        parent: &Did,
        lines: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<impl Stream<Item = Result<MovedChunk, ClientError>> + use<>, ClientError> {
        self.exchange_lines(Method::DELETE, self.members_url(parent), lines).await
    }

    fn members_url(&self, parent: &Did) -> String {
        let parent = parent.to_string();
        self.api(&format!("/bulk/contents{}", query(&[("parent", Some(&parent)), ("dry_run", self.dry_run())])))
    }
}
