//! Locates a copy to read: which available replica of a file to serve, and where it lies.

use crate::catalog::record::Replicas;
use crate::catalog::{CatalogError, View, endpoints};
use crate::model::did::Did;
use crate::model::endpoint::{Endpoint, EndpointKind};
use crate::model::id::DidId;
use crate::model::replica::ReplicaState;
use crate::storage::layout::StoragePath;

/// The most replicas of one file that are considered.
const REPLICAS_MAX: usize = 1_000;

/// A replica that can be read.
#[derive(Debug, Clone)]
pub struct Located {
    /// Where.
    pub endpoint: Endpoint,
    /// Its path there.
    pub path: StoragePath,
}

/// Available replicas of a file, nearest first: what this machine has mounted comes before what is
/// behind a network. Whoever serves tries the next if one cannot be read.
pub async fn locate(view: &View, file: DidId, did: &Did) -> Result<Vec<Located>, CatalogError> {
    let endpoints = endpoints::all(view).await?;
    let derived = StoragePath::derived(did);
    let mut located = Vec::new();
    for ((_, id), replica) in view.scan::<Replicas>(&(file,), REPLICAS_MAX).await? {
        if replica.state != ReplicaState::Available {
            continue;
        }
        if let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.id == id) {
            let stated = replica.path.as_deref().and_then(|path| StoragePath::parse(path).ok());
            located.push(Located { endpoint: endpoint.clone(), path: stated.unwrap_or_else(|| derived.clone()) });
        }
    }
    located.sort_by_key(|one| one.endpoint.kind != EndpointKind::Posix);
    Ok(located)
}
