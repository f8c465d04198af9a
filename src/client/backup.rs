//! Calls about backups.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use reqwest::{Method, Response};

use crate::client::Client;
use crate::client::error::ClientError;
use crate::client::request::{Again, Call, judge, unreachable};
use crate::model::endpoint::EndpointName;
use crate::service::view::{BackupProgress, EndpointView, NewBackup};

/// How long a server may stay silent in the middle of a backup.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// A backup that comes in.
pub struct IncomingBackup {
    response: Response,
    client: Client,
    url: String,
}

impl Client {
    /// Begins to read a backup of the lake.
    pub async fn backup(&self) -> Result<IncomingBackup, ClientError> {
        let call = Call::get(self.api("/backup"));
        let response = self.open(&call, SILENCE_MAX).await?;
        Ok(IncomingBackup { response, client: self.clone(), url: call.url().to_owned() })
    }

    /// Puts a backup to an endpoint; each line says how far it has come.
    pub async fn send_backup(
        &self,
        new: &NewBackup,
    ) -> Result<impl Stream<Item = Result<BackupProgress, ClientError>> + use<>, ClientError> {
        self.lines_of(&Call::new(Method::POST, self.api("/backup"), Again::IfUnsent).json(new)).await
    }

    /// Accepts what is at an endpoint since the lake was restored.
    pub async fn accept_audit(&self, name: &EndpointName) -> Result<EndpointView, ClientError> {
        let url = self.api(&format!("/endpoints/{name}/accept-audit"));
        self.call(&Call::new(Method::POST, url, Again::ByKey)).await
    }
}

impl IncomingBackup {
    /// The next piece; `None` when no more comes.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let next = self.response.chunk();
        let piece = self.client.within(SILENCE_MAX, &self.url, next).await?;
        piece.map_err(|source| unreachable(&self.url, source))
    }
}

impl Client {
    /// Sends a call whose answer is read as it comes.
    async fn open(&self, call: &Call, silence: Duration) -> Result<Response, ClientError> {
        self.persist(call.again(), || async {
            let answer = self.within(silence, call.url(), self.request(call).send()).await?;
            judge(call.url(), answer).await
        })
        .await
    }
}
