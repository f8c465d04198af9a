//! Collections: containers, and scopes with what no container holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::catalog::metadata;
use crate::catalog::record::{DidRecord, Dids, MetadataTable};
use crate::model::did::{Did, DidKind};
use crate::model::id::DidId;
use crate::model::scope::Scope;
use crate::model::stac_id::{self, Named};
use crate::search::error::SearchError;
use crate::search::follow::shape::{ITEMS_KEY, NO_CONTAINER};
use crate::search::query::{Extent, Query};
use crate::service::Reader;
use crate::service::error::ServiceError;
use crate::service::search::turns::in_turn;
use crate::service::search::{Eyes, eyes, rows};
use crate::service::sight::Sight;

/// How many collections are looked at together.
const TOGETHER: usize = 100;

/// A collection.
#[derive(Debug)]
pub struct CollectionView {
    /// Its id.
    pub id: String,
    /// Its container; none for what no container of a scope holds.
    pub did: Option<Did>,
    /// Its scope.
    pub scope: Scope,
    /// What is said of it.
    pub metadata: Map<String, Value>,
    /// Where and when its items are, of those that the reader may discover; nothing if that cannot be
    /// told.
    pub extent: Option<Extent>,
}

/// The collections with something in them that the reader may discover, by id.
pub async fn collections(
    reader: &Reader,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<CollectionView>, Option<String>), ServiceError> {
    let eyes = eyes(reader).await?;
    let (opened, access) = (Arc::clone(&eyes.opened), eyes.access.clone());
    let extents = in_turn(reader.lake(), move || opened.index.extents(&access)).await;
    let behind = |id: &String| after.is_none_or(|after| id.as_str() > after);
    let all: Vec<(String, Extent)> = extents.into_iter().filter(|(id, _)| behind(id)).collect();
    let mut views: Vec<CollectionView> = Vec::new();
    for some in all.chunks(TOGETHER) {
        let ids: Vec<&str> = some.iter().map(|(id, _)| id.as_str()).collect();
        let shown = show(reader, &ids).await?;
        let extents: BTreeMap<&str, Extent> = some.iter().map(|(id, extent)| (id.as_str(), *extent)).collect();
        for mut view in shown {
            if views.len() == limit {
                let next = views.last().map(|last| last.id.clone());
                return Ok((views, next));
            }
            if eyes.exact {
                view.extent = extents.get(view.id.as_str()).copied();
            } else if !has_items(reader, &eyes, &view.id).await? {
                continue;
            }
            views.push(view);
        }
    }
    Ok((views, None))
}

/// Whether a reader may discover anything in a collection, as the catalog is now.
async fn has_items(reader: &Reader, eyes: &Eyes, id: &str) -> Result<bool, ServiceError> {
    let query = Query { collections: vec![id.to_owned()], ..Query::default() };
    match rows(reader, eyes, query, 1).await {
        // What is there is hidden as far as anybody looked.
        Err(ServiceError::Search(SearchError::TooMuch)) => Ok(false),
        found => Ok(!found?.rows.is_empty()),
    }
}

/// One collection.
pub async fn collection(reader: &Reader, eyes: &Eyes, id: &str) -> Result<CollectionView, ServiceError> {
    let absent = || ServiceError::not_found("collection", id);
    let mut view = show(reader, &[id]).await?.pop().ok_or_else(absent)?;
    if view.did.is_none() && !has_items(reader, eyes, id).await? {
        return Err(absent());
    }
    if eyes.exact {
        let (opened, access, id) = (Arc::clone(&eyes.opened), eyes.access.clone(), id.to_owned());
        view.extent = in_turn(reader.lake(), move || opened.index.extent(&id, &access)).await;
    }
    Ok(view)
}

/// Those of some collections that are there for the reader, in order, without extents.
async fn show(reader: &Reader, ids: &[&str]) -> Result<Vec<CollectionView>, ServiceError> {
    let view = reader.lake().catalog.view().await?;
    let mut sight = Sight::of_reader(reader, &view);
    let named: Vec<_> = ids.iter().filter_map(|id| Some((*id, stac_id::parse(id)?))).collect();
    let dids = named.iter().filter_map(|(_, named)| match named {
        Named::Did(did) => Some(did),
        Named::Scope(_) => None,
    });
    let mut seen = sight.by_names(dids).await?;
    seen.retain(|_, seen| seen.record.kind() == DidKind::Container);
    let keys: Vec<_> = seen.values().map(|seen| (seen.id,)).collect();
    let said = view.get_many::<MetadataTable>(&keys).await?;
    let said: BTreeMap<DidId, _> = keys.into_iter().map(|(id,)| id).zip(said).collect();
    let mut shown = Vec::with_capacity(named.len());
    for (id, named) in named {
        let (did, scope, metadata) = match named {
            // There is no more to it than what is in it.
            Named::Scope(scope) => (None, scope, Map::new()),
            Named::Did(did) => {
                let Some(seen) = seen.get(&did) else { continue };
                let said = said.get(&seen.id).and_then(Option::as_ref);
                let mut metadata = metadata::read(said)?.into_object();
                metadata.remove(ITEMS_KEY);
                let scope = did.scope.clone();
                (Some(did), scope, metadata)
            }
        };
        shown.push(CollectionView { id: id.to_owned(), did, scope, metadata, extent: None });
    }
    Ok(shown)
}

/// The ids of those of some collections, by number and id, that are there for somebody.
pub(super) async fn seen(
    sight: &mut Sight,
    collections: BTreeMap<String, u64>,
) -> Result<BTreeSet<String>, ServiceError> {
    let (mut open, mut containers) = (BTreeSet::new(), Vec::new());
    for (id, number) in collections {
        if number == NO_CONTAINER {
            open.insert(id);
        } else {
            containers.push((DidId(number), id));
        }
    }
    let keys: Vec<_> = containers.iter().map(|(number, _)| (*number,)).collect();
    let records = sight.view().get_many::<Dids>(&keys).await?;
    let there: Vec<(DidId, DidRecord)> =
        keys.iter().zip(records).filter_map(|((id,), record)| Some((*id, record?))).collect();
    let seen: BTreeSet<DidId> = sight.of_these(there).await?.into_iter().map(|(_, seen)| seen.id).collect();
    open.extend(containers.into_iter().filter(|(number, _)| seen.contains(number)).map(|(_, id)| id));
    Ok(open)
}
