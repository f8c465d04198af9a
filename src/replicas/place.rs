//! The place of an uploaded file at its endpoint: takes the bytes there, or finds them there. What
//! fails is told apart: the endpoint, which is named, from the sender whose bytes broke off.

use std::sync::Arc;

use crate::model::checksum::Checksum;
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::IntentId;
use crate::model::replica::Verification;
use crate::replicas::upload::{Sending, UploadError};
use crate::storage::arrival::{self, Sent};
use crate::storage::backend::{Backend, ByteStream, Overwrite, StorageError};
use crate::storage::hash::{hash_stream, hashing};
use crate::storage::layout::StoragePath;
use crate::storage::overheard::overheard;
use crate::storage::registry::Registry;

/// Where a file belongs.
pub(super) struct Place {
    backend: Arc<dyn Backend>,
    endpoint: EndpointName,
    path: StoragePath,
}

impl Place {
    pub(super) fn of(stores: &Registry, endpoint: &Endpoint, path: StoragePath) -> Result<Self, UploadError> {
        let name = endpoint.name.clone();
        match stores.get(endpoint) {
            Ok(backend) => Ok(Self { backend, endpoint: name, path }),
            Err(source) => Err(UploadError::Storage { endpoint: name, source }),
        }
    }

    /// How many of a file's bytes wait in memory on their way.
    pub(super) fn waiting_bytes(&self, bytes: u64) -> u64 {
        self.backend.waiting_bytes(bytes)
    }

    fn failed(&self, source: StorageError) -> UploadError {
        UploadError::Storage { endpoint: self.endpoint.clone(), source }
    }

    /// Stages the bytes, and compares them with what was announced.
    pub(super) async fn stage(&self, sending: &Sending, content: ByteStream) -> Result<Vec<Checksum>, UploadError> {
        let mut algorithms = self.backend.tells();
        algorithms.push(sending.checksum.algorithm());
        let (content, heard) = overheard(content);
        let (content, hashed) = hashing(content, &algorithms);
        let staged = self.backend.stage(&self.path, sending.intent, sending.bytes, content).await;
        let heard = heard.lock().expect("nothing panics while holding it").take();
        let staged = staged.map_err(|error| match (heard, error) {
            (Some(error), _) | (None, error @ StorageError::WrongLength { .. }) => UploadError::BrokeOff(error),
            (None, error) => self.failed(error),
        })?;
        let hashed = hashed.finish();
        let found = hashed.checksum(sending.checksum.algorithm()).cloned();
        if found.as_ref() != Some(&sending.checksum) {
            // What is not removed now is swept when the upload expires.
            let _ = self.discard(sending.intent).await;
            let found = found.map_or_else(|| "nothing".to_owned(), |found| found.to_string());
            return Err(UploadError::WrongBytes { expected: sending.checksum.to_string(), found });
        }
        let sent = Sent { bytes: sending.bytes, checksums: &hashed.checksums };
        let compared = sent.compare(self.path.as_str(), staged.bytes, &staged.checksums);
        compared.map_err(|error| self.failed(error))?;
        Ok(hashed.checksums)
    }

    /// Gives what is staged its final name.
    pub(super) async fn publish(
        &self,
        sending: &Sending,
        checksums: &[Checksum],
        overwrite: Overwrite,
    ) -> Result<Verification, UploadError> {
        let sent = Sent { bytes: sending.bytes, checksums };
        let published = arrival::publish(self.backend.as_ref(), &self.path, sending.intent, sent, overwrite).await;
        published.map_err(|error| self.failed(error))?;
        Ok(Verification::Streamed)
    }

    /// Something lies under the final name. If it is this file, a request before this one published it
    /// and could not say so.
    pub(super) async fn adopt(&self, sending: &Sending) -> Result<Verification, UploadError> {
        let failed = |error| self.failed(error);
        let there = self.backend.stat(&self.path).await.map_err(failed)?;
        let occupied = || UploadError::Occupied { path: self.path.to_string(), endpoint: self.endpoint.to_string() };
        if there.bytes != sending.bytes {
            return Err(occupied());
        }
        let content = self.backend.read(&self.path, None).await.map_err(failed)?;
        let hashed = hash_stream(content, &[sending.checksum.algorithm()]).await.map_err(failed)?;
        if hashed.checksum(sending.checksum.algorithm()) != Some(&sending.checksum) {
            return Err(occupied());
        }
        self.discard(sending.intent).await?;
        Ok(Verification::ReadBack)
    }

    /// Removes what is staged.
    pub(super) async fn discard(&self, intent: IntentId) -> Result<(), UploadError> {
        self.backend.discard(&self.path, intent).await.map_err(|error| self.failed(error))
    }
}
