//! Shapes documents from the catalog's records: which DIDs are items, of which collection, and what
//! is said of them. Reads many together, from one state.
//!
//! A dataset is an item of the first container that holds it, or of its scope. Where that container
//! says `"stac:items": "files"`, its files are items in its place. A file is an item once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::catalog::labels::Gatherer;
use crate::catalog::record::{DidRecord, Dids, MetadataRecord, MetadataTable, Parents};
use crate::catalog::{CatalogError, View, metadata};
use crate::model::did::DidKind;
use crate::model::facts::DidFacts;
use crate::model::id::DidId;
use crate::model::metadata::Metadata;
use crate::model::metadata::moment;
use crate::model::stac_id;
use crate::search::access::{Outlook, Traits};
use crate::search::document::Document;
use crate::search::geojson;
use crate::search::item::Said;

/// The metadata key by which a container says what its items are.
pub const ITEMS_KEY: &str = "stac:items";
/// Its value where they are files.
const FILES: &str = "files";
/// The version of the specification that items and collections keep to.
pub const STAC_VERSION: &str = "1.1.0";
/// The number that documents have whose collection is a scope.
pub const NO_CONTAINER: u64 = u64::MAX;
/// The most datasets of one file that are looked at.
const PARENTS_MAX: usize = 1_000;

/// A document, but for its access number.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The document; its access number is not given yet.
    pub document: Document,
    /// What the number is to stand for.
    pub outlook: Outlook,
}

/// A collection as its items see it.
#[derive(Debug)]
struct Collection {
    number: u64,
    id: String,
    files: bool,
    /// What decides who may discover it, if it is a container.
    traits: Option<Traits>,
}

/// A DID that is an item, and the container that is its collection.
type Placed = (DidRecord, Option<Arc<Collection>>);

/// Shapes documents from one state of the catalog.
pub struct Shaper {
    view: View,
    gatherer: Gatherer,
    containers: BTreeMap<DidId, Arc<Collection>>,
}

impl Shaper {
    /// Shapes from a view.
    pub fn new(view: &View) -> Self {
        Self { view: view.clone(), gatherer: Gatherer::new(view), containers: BTreeMap::new() }
    }

    /// The documents of datasets: nothing for one that is no item.
    pub async fn datasets(&mut self, ids: &[DidId]) -> Result<Vec<(DidId, Option<Draft>)>, CatalogError> {
        let keys: Vec<_> = ids.iter().map(|id| (*id,)).collect();
        let records = self.view.get_run::<Dids>(&keys).await?;
        let homes = self.homes(ids).await?;
        let mut wanted = Vec::new();
        for ((id, record), home) in ids.iter().zip(records).zip(homes) {
            let is_item = home.as_ref().is_none_or(|home| !home.files);
            let record = record.filter(|record| is_item && record.kind() == DidKind::Dataset);
            wanted.push((*id, record.map(|record| (record, home))));
        }
        self.drafts(wanted).await
    }

    /// The documents of files: nothing for one that is no item.
    pub async fn files(&mut self, ids: &[DidId]) -> Result<Vec<(DidId, Option<Draft>)>, CatalogError> {
        let keys: Vec<_> = ids.iter().map(|id| (*id,)).collect();
        let records = self.view.get_run::<Dids>(&keys).await?;
        let parents = self.view.scan_many::<Parents>(&keys, PARENTS_MAX).await?;
        let mut datasets: Vec<DidId> = parents.iter().flatten().map(|((_, parent), _)| *parent).collect();
        datasets.sort();
        datasets.dedup();
        let homes = self.homes(&datasets).await?;
        let home_of: BTreeMap<DidId, Arc<Collection>> = datasets
            .into_iter()
            .zip(homes)
            .filter_map(|(dataset, home)| Some((dataset, home.filter(|home| home.files)?)))
            .collect();
        let mut wanted = Vec::new();
        for ((id, record), parents) in ids.iter().zip(records).zip(parents) {
            let home = parents.iter().find_map(|((_, parent), _)| home_of.get(parent)).cloned();
            let there = record.filter(|record| record.file().is_some_and(|facts| !facts.announced));
            wanted.push((*id, there.zip(home).map(|(record, home)| (record, Some(home)))));
        }
        self.drafts(wanted).await
    }

    /// Whether the items of a container are files.
    pub async fn holds_files(&mut self, container: DidId) -> Result<bool, CatalogError> {
        self.load(&[container]).await?;
        Ok(self.containers.get(&container).is_some_and(|collection| collection.files))
    }

    /// The first container of each dataset, if one holds it.
    async fn homes(&mut self, datasets: &[DidId]) -> Result<Vec<Option<Arc<Collection>>>, CatalogError> {
        let keys: Vec<_> = datasets.iter().map(|id| (*id,)).collect();
        // Only containers hold datasets, and rows are in the order of their numbers.
        let parents = self.view.scan_many::<Parents>(&keys, 1).await?;
        let first: Vec<_> = parents.iter().map(|rows| rows.first().map(|((_, parent), _)| *parent)).collect();
        let mut containers: Vec<DidId> = first.iter().copied().flatten().collect();
        containers.sort();
        containers.dedup();
        self.load(&containers).await?;
        Ok(first.into_iter().map(|parent| self.containers.get(&parent?).cloned()).collect())
    }

    async fn load(&mut self, containers: &[DidId]) -> Result<(), CatalogError> {
        let new: Vec<_> = containers.iter().filter(|id| !self.containers.contains_key(id)).map(|id| (*id,)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let records = self.view.get_many::<Dids>(&new).await?;
        let said = self.view.get_many::<MetadataTable>(&new).await?;
        let there: Vec<(DidId, DidRecord)> =
            new.iter().zip(&records).filter_map(|((id,), record)| Some((*id, record.clone()?))).collect();
        let asked: Vec<_> = there.iter().map(|(id, record)| (*id, record)).collect();
        let mut facts = self.gatherer.dids(&asked).await?.into_iter();
        for (((id,), record), said) in new.iter().zip(&records).zip(said) {
            let Some(record) = record else { continue };
            let facts = facts.next().expect("one answer for each that is there");
            let files = record.kind() == DidKind::Container && says_files(said.as_ref())?;
            let (traits, name) = (Some(Traits::from(&facts.traits)), stac_id::of_did(&record.did()));
            self.containers.insert(*id, Arc::new(Collection { number: id.0, id: name, files, traits }));
        }
        Ok(())
    }

    async fn drafts(
        &mut self,
        wanted: Vec<(DidId, Option<Placed>)>,
    ) -> Result<Vec<(DidId, Option<Draft>)>, CatalogError> {
        let there: Vec<_> = wanted.iter().filter_map(|(id, one)| Some((*id, &one.as_ref()?.0))).collect();
        let keys: Vec<_> = there.iter().map(|(id, _)| (*id,)).collect();
        let mut facts = self.gatherer.dids(&there).await?.into_iter();
        let mut said = self.view.get_run::<MetadataTable>(&keys).await?.into_iter();
        let mut drafts = Vec::with_capacity(wanted.len());
        for (id, one) in wanted {
            let Some((record, home)) = one else {
                drafts.push((id, None));
                continue;
            };
            let (facts, said) = (facts.next().expect("one for each"), said.next().expect("one for each"));
            let home = home.unwrap_or_else(|| {
                let id = stac_id::of_scope(&record.scope);
                Arc::new(Collection { number: NO_CONTAINER, id, files: false, traits: None })
            });
            drafts.push((id, Some(draft(id, &record, said.as_ref(), facts, &home)?)));
        }
        Ok(drafts)
    }
}

/// Whether metadata of a container says that files are its items.
pub fn says_files(said: Option<&MetadataRecord>) -> Result<bool, CatalogError> {
    // Few have the key at all.
    let Some(record) = said.filter(|record| record.json.contains(ITEMS_KEY)) else { return Ok(false) };
    Ok(metadata::read(Some(record))?.as_object().get(ITEMS_KEY).and_then(Value::as_str) == Some(FILES))
}

fn draft(
    id: DidId,
    record: &DidRecord,
    said: Option<&MetadataRecord>,
    facts: DidFacts,
    home: &Collection,
) -> Result<Draft, CatalogError> {
    let metadata = metadata::read(said)?;
    let created = i64::try_from(record.created_at.as_millis()).unwrap_or(i64::MAX);
    let extent = metadata.extent();
    let (start, end) = extent.interval.map_or((created, created), |span| (span.start_ms, span.end_ms));
    let text = text(&facts, &metadata);
    let mut properties = metadata.into_object();
    let geometry = properties.remove("geometry").filter(|geometry| !geometry.is_null());
    properties.remove(ITEMS_KEY);
    say_times(&mut properties, &record.created_at.to_string(), extent.interval.is_some());
    properties.insert("created".to_owned(), record.created_at.to_string().into());
    let updated = said.map_or(record.created_at, |said| said.at);
    properties.insert("updated".to_owned(), updated.to_string().into());
    properties.insert("did".to_owned(), facts.did.to_string().into());
    properties.insert("did:kind".to_owned(), facts.traits.kind.to_string().into());
    let item_id = stac_id::of_did(&facts.did);
    let shape = geometry.as_ref().and_then(|geometry| geojson::geometry(geometry).ok());
    let said = Said {
        kind: "Feature",
        stac_version: STAC_VERSION,
        id: &item_id,
        collection: &home.id,
        bbox: extent.bounds.map(|bounds| [bounds.west, bounds.south, bounds.east, bounds.north]),
        geometry: &geometry.unwrap_or(Value::Null),
        properties: &properties,
    };
    let json = said.to_text();
    let document = Document {
        key: id.0,
        collection: home.number,
        collection_id: home.id.clone(),
        id: item_id,
        access: u32::MAX,
        start,
        end,
        geometry: shape,
        fields: properties,
        text,
        json,
    };
    let outlook = Outlook { item: Traits::from(&facts.traits), collection: home.traits.clone() };
    Ok(Draft { document, outlook })
}

/// An item has a `datetime`, which may be null if there is a span; one of which no time is known has
/// the time at which it was registered.
fn say_times(properties: &mut Map<String, Value>, created: &str, has_time: bool) {
    for key in ["datetime", "start_datetime", "end_datetime"] {
        // The schema of items knows times in UTC alone.
        if let Some(Value::String(text)) = properties.get_mut(key)
            && !text.ends_with('Z')
            && let Some(at) = moment::parse(text)
        {
            *text = moment::show(at);
        }
    }
    if !has_time {
        properties.insert("datetime".to_owned(), created.into());
        properties.insert("did:datetime_source".to_owned(), "created".into());
    } else if !properties.contains_key("datetime") {
        properties.insert("datetime".to_owned(), Value::Null);
    }
}

/// What words are looked for in.
fn text(facts: &DidFacts, metadata: &Metadata) -> String {
    let object = metadata.as_object();
    let said = ["title", "description"].into_iter().filter_map(|key| object.get(key)?.as_str());
    let keywords = object.get("keywords").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut text = facts.did.to_string();
    for part in said.chain(keywords) {
        text.push('\n');
        text.push_str(part);
    }
    text
}
