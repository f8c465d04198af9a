//! Search: items and collections as STAC has them, for anybody. The index finds, by what the reader may
//! discover. Where it is behind, or policies name single DIDs, every row is decided once more by the
//! catalog as it is before it leaves, and its collection with it. Files, replicas and sums are joined to
//! what is found, never indexed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::View;
use crate::catalog::record::{DidRecord, Dids};
use crate::model::did::{Did, DidKind, DidName};
use crate::model::facts::{DidFacts, DidTraits, Resource, ScopeFacts};
use crate::model::id::DidId;
use crate::model::stac_id::{self, Named};
use crate::policy::decision::Action;
use crate::search::access::Traits;
use crate::search::error::SearchError;
use crate::search::follow::shape::{NO_CONTAINER, Shaper};
use crate::search::follow::{Opened, Standing};
use crate::search::item::ItemText;
use crate::search::query::{Access, Cursor, Hit, PAGE_BYTES, Query};
use crate::service::error::ServiceError;
use crate::service::paging::{self, Paging};
use crate::service::search::turns::in_turn;
use crate::service::sight::{Seen, Sight};
use crate::service::terms::Made;
use crate::service::view::IndexView;
use crate::service::{Context, Lake, Reader};

mod assets;
mod collections;
#[cfg(test)]
mod tests;
mod turns;

pub use assets::{FileAsset, Files, Signed};
pub use collections::{CollectionView, collection, collections};
pub use turns::Turns;

/// How many rows are looked at together when some of a page turned out to be hidden.
const ROWS: usize = 256;
/// How often more rows are looked at because of that, before a page ends early.
const ROUNDS_MAX: usize = 20;
/// How long a search waits for an index that is being built, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(20);
/// Fields that every item has.
const ALWAYS: [&str; 7] = ["id", "collection", "datetime", "created", "updated", "did", "did:kind"];
/// The most items of a page whose URLs are signed.
pub const SIGNED_MAX: usize = 100;

/// An item, with what is joined to it.
#[derive(Debug)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its DID.
    pub did: Did,
    /// Its collection's id.
    pub collection: String,
    /// What is said of it: the item without links and assets.
    pub text: ItemText,
    /// How many files it has, as far as the reader may know.
    pub length: Option<u64>,
    /// Their bytes, likewise.
    pub bytes: Option<u64>,
    /// Its files.
    pub files: Files,
}

/// An answer to a search.
#[derive(Debug)]
pub struct Found {
    /// What was found, in order.
    pub items: Vec<Item>,
    /// Where to go on.
    pub next: Option<String>,
    /// How many there are in all, where that can be told.
    pub matched: Option<u64>,
}

/// Whose eyes an index is searched with.
pub struct Eyes {
    opened: Arc<Opened>,
    access: Access,
    /// Whether that is all that the policies say: neither do they name DIDs, nor is the index behind.
    exact: bool,
}

impl Eyes {
    /// Whether a hit is what the reader may discover, so that it has not to be decided once more: it
    /// was, by all that decides about it, when the eyes were opened. Files are read from the catalog in any
    /// case.
    fn speaks_for(&self, hit: &Hit) -> bool {
        let outlook = || self.opened.access.outlook(hit.access);
        self.exact && outlook().is_some_and(|outlook| outlook.item.kind == DidKind::Dataset)
    }
}

/// Rows of a page.
struct Gathered {
    rows: Vec<Row>,
    next: Option<Cursor>,
    /// Whether the index had any that are not there for the reader.
    dropped: bool,
}

/// A hit that is there for the reader.
struct Row {
    hit: Hit,
    place: Cursor,
    did: Did,
    /// As the catalog has it; a dataset that the index alone has spoken for was not looked up.
    seen: Option<Seen>,
}

impl Row {
    fn of(hit: Hit, place: Cursor, seen: Seen) -> Self {
        Self { hit, place, did: seen.facts.did.clone(), seen: Some(seen) }
    }

    /// A dataset that nothing has to be looked up for; its id is its name.
    fn trusted(hit: Hit, place: Cursor) -> Result<Self, ServiceError> {
        match stac_id::parse(&hit.id) {
            Some(Named::Did(did)) => Ok(Self { hit, place, did, seen: None }),
            _ => Err(SearchError::Damaged { what: format!("`{}` is no item's id", hit.id) }.into()),
        }
    }

    fn id(&self) -> DidId {
        DidId(self.hit.key)
    }
}

/// Finds items. With `sign`, their files' URLs are signed where the reader may read.
pub async fn search(reader: &Reader, eyes: &Eyes, query: Query, sign: bool) -> Result<Found, ServiceError> {
    let limit = if sign { query.limit.min(SIGNED_MAX) } else { query.limit };
    // Later pages have the same count, and need not find it again.
    let matched = if query.after.is_none() { count(reader, eyes, &query).await? } else { None };
    let Gathered { rows, next, dropped } = rows(reader, eyes, query, limit).await?;
    let (items, cut) = assets::join(reader, rows, sign).await?;
    let next = cut.or(next).map(|next| next.encode());
    Ok(Found { items, next, matched: matched.filter(|_| !dropped) })
}

/// Refuses to sort by what no item has that the reader may discover.
pub async fn knows_fields(reader: &Reader, eyes: &Eyes, query: &Query) -> Result<(), ServiceError> {
    let plain = |field: &str| field.strip_prefix("properties.").unwrap_or(field).to_owned();
    let mut asked: Vec<String> = query.sort.iter().map(|sort| plain(&sort.field)).collect();
    asked.retain(|field| !ALWAYS.contains(&field.as_str()));
    if asked.is_empty() || !eyes.exact {
        // Where that is not exact, which fields there are would tell of what is hidden.
        return Ok(());
    }
    let (opened, access) = (Arc::clone(&eyes.opened), eyes.access.clone());
    let unknown = in_turn(reader.lake(), move || {
        asked.retain(|field| !opened.index.has_field(field, &access));
        asked
    });
    match unknown.await.first() {
        None => Ok(()),
        Some(field) => {
            let detail = format!(
                "no item has a field `{field}` to sort by; name one of `properties`, or id, collection or datetime"
            );
            Err(ServiceError::invalid("invalid-search", detail))
        }
    }
}

/// How many documents a search finds, where that is what the reader may know.
async fn count(reader: &Reader, eyes: &Eyes, query: &Query) -> Result<Option<u64>, ServiceError> {
    if !eyes.exact {
        return Ok(None);
    }
    let (opened, access) = (Arc::clone(&eyes.opened), eyes.access.clone());
    let query = Query { after: None, ..query.clone() };
    Ok(in_turn(reader.lake(), move || opened.index.count(&query, &access)).await?)
}

/// So many rows that are there for the reader. There is a cursor behind them only if another such row
/// follows, or if so much was hidden that nobody looked so far; it names nothing that is hidden.
async fn rows(reader: &Reader, eyes: &Eyes, mut query: Query, limit: usize) -> Result<Gathered, ServiceError> {
    let (mut rows, mut dropped): (Vec<Row>, bool) = (Vec::new(), false);
    query.limit = limit + 1;
    for _ in 0..ROUNDS_MAX {
        let (opened, access, asked) = (Arc::clone(&eyes.opened), eyes.access.clone(), query.clone());
        let page = in_turn(reader.lake(), move || opened.index.search(&asked, &access)).await?;
        let (found, next) = (page.hits.len(), page.next);
        let hits = page.hits.into_iter().zip(page.places).enumerate();
        let (known, asked): (Vec<_>, Vec<_>) = hits.partition(|(_, (hit, _))| eyes.speaks_for(hit));
        let mut seen = decide(reader, asked).await?;
        for (at, (hit, place)) in known {
            seen.push((at, Row::trusted(hit, place)?));
        }
        seen.sort_by_key(|(at, _)| *at);
        dropped |= seen.len() < found;
        rows.extend(seen.into_iter().map(|(_, row)| row));
        let fit = fit(&rows).min(limit);
        if rows.len() > fit {
            rows.truncate(fit);
            let next = rows.last().map(|row| row.place.clone());
            return Ok(Gathered { rows, next, dropped });
        }
        let Some(next) = next else { return Ok(Gathered { rows, next: None, dropped }) };
        query.after = Some(next);
        query.limit = (limit + 1 - rows.len()).max(ROWS);
    }
    match rows.last().map(|row| row.place.clone()) {
        None => Err(SearchError::TooMuch.into()),
        next => Ok(Gathered { rows, next, dropped }),
    }
}

/// How many rows have no more bytes together than a page has; at least one.
fn fit(rows: &[Row]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&Row| {
        bytes += row.hit.json.len();
        bytes <= PAGE_BYTES
    };
    rows.iter().take_while(fits).count().max(1)
}

/// Those of some hits that are there for the reader now, together with their collections.
async fn decide(reader: &Reader, hits: Vec<(usize, (Hit, Cursor))>) -> Result<Vec<(usize, Row)>, ServiceError> {
    if hits.is_empty() {
        return Ok(Vec::new());
    }
    let view = reader.lake().catalog.view().await?;
    let mut sight = Sight::of_reader(reader, &view);
    let names = hits.iter().map(|(_, (hit, _))| (hit.collection_id.clone(), hit.collection)).collect();
    let open = collections::seen(&mut sight, names).await?;
    let hits: Vec<_> = hits.into_iter().filter(|(_, (hit, _))| open.contains(&hit.collection_id)).collect();
    let keys: Vec<_> = hits.iter().map(|(_, (hit, _))| (DidId(hit.key),)).collect();
    let records = view.get_many::<Dids>(&keys).await?;
    let there: Vec<(DidId, DidRecord)> =
        keys.into_iter().zip(records).filter_map(|((id,), record)| Some((id, there(record?)?))).collect();
    let seen = sight.of_these(there).await?;
    let mut seen: BTreeMap<DidId, Seen> = seen.into_iter().map(|(_, seen)| (seen.id, seen)).collect();
    let row = |(at, (hit, place)): (usize, (Hit, Cursor))| {
        let seen = seen.remove(&DidId(hit.key))?;
        Some((at, Row::of(hit, place, seen)))
    };
    Ok(hits.into_iter().filter_map(row).collect())
}

/// A file that was only announced is not there yet.
fn there(record: DidRecord) -> Option<DidRecord> {
    record.file().is_none_or(|facts| !facts.announced).then_some(record)
}

/// The item of an id in a collection, read from the catalog.
pub async fn item(reader: &Reader, collection: &str, id: &str, sign: bool) -> Result<Item, ServiceError> {
    let view = reader.lake().catalog.view().await?;
    let (seen, json) = find(reader, &view, collection, id).await?;
    let hit = Hit {
        key: seen.id.0,
        collection: NO_CONTAINER,
        collection_id: collection.to_owned(),
        id: id.to_owned(),
        access: u32::MAX,
        json,
    };
    let row = Row::of(hit, Cursor::default(), seen);
    let (items, _) = assets::join(reader, vec![row], sign).await?;
    items.into_iter().next().ok_or_else(|| absent(collection, id))
}

/// A page of an item's files.
pub async fn files(
    reader: &Reader,
    collection: &str,
    id: &str,
    paging: Paging,
    sign: bool,
) -> Result<(Vec<FileAsset>, Option<String>), ServiceError> {
    let limit = paging.limit()?;
    let view = reader.lake().catalog.view().await?;
    let (seen, _) = find(reader, &view, collection, id).await?;
    let after = paging::place(reader.lake(), seen.id, &paging)?;
    let mut sight = Sight::of_reader(reader, &view);
    if seen.record.kind() == DidKind::File {
        return Ok((assets::of_files(reader, &sight, &seen, std::slice::from_ref(&seen), sign).await?, None));
    }
    let (members, next) = sight.members(seen.id, after, limit).await?;
    let members = members.into_iter().map(|(_, seen)| seen).filter(|seen| there(seen.record.clone()).is_some());
    let members: Vec<Seen> = members.collect();
    Ok((assets::of_files(reader, &sight, &seen, &members, sign).await?, paging::cursor(reader.lake(), seen.id, next)))
}

/// An item's DID and JSON, if it is an item of this collection and both are there for the reader.
async fn find(reader: &Reader, view: &View, collection: &str, id: &str) -> Result<(Seen, Vec<u8>), ServiceError> {
    admit(reader)?;
    let Some(Named::Did(did)) = stac_id::parse(id) else { return Err(absent(collection, id)) };
    let mut sight = Sight::of_reader(reader, view);
    let seen = match sight.did(&did).await {
        Err(ServiceError::NotFound { .. }) => return Err(absent(collection, id)),
        seen => seen?,
    };
    let mut shaper = Shaper::new(view);
    let shaped = match seen.record.kind() {
        DidKind::Dataset => shaper.datasets(&[seen.id]).await?,
        DidKind::File => shaper.files(&[seen.id]).await?,
        DidKind::Container => return Err(absent(collection, id)),
    };
    let document = shaped.into_iter().find_map(|(_, draft)| draft).map(|draft| draft.document);
    let document = document.filter(|document| document.collection_id == collection);
    let document = document.ok_or_else(|| absent(collection, id))?;
    let open = collections::seen(&mut sight, [(collection.to_owned(), document.collection)].into()).await?;
    if open.is_empty() { Err(absent(collection, id)) } else { Ok((seen, document.json)) }
}

fn absent(collection: &str, id: &str) -> ServiceError {
    ServiceError::not_found("item", format!("{id} in the collection {collection}"))
}

/// Asks whether the reader's key lets them look for things at all.
fn admit(reader: &Reader) -> Result<(), ServiceError> {
    let (action, scope) = (Action::Discover.name(), Action::Discover.key_scope());
    match reader {
        Reader::Known(ctx) if !ctx.principal.key.lets(scope) => Err(ServiceError::KeyScope { action, scope }),
        Reader::Known(_) | Reader::Anonymous(_) => Ok(()),
    }
}

/// The index, and what of it the reader may discover.
pub async fn eyes(reader: &Reader) -> Result<Eyes, ServiceError> {
    admit(reader)?;
    let lake = reader.lake();
    let opened = ready(lake).await?;
    let set = lake.judge.set();
    if set.names_dids {
        return Ok(Eyes { opened, access: Access::all(), exact: false });
    }
    let view = lake.catalog.view().await?;
    let mut sight = Sight::of_reader(reader, &view);
    let mut numbers = Vec::new();
    for number in opened.index.accesses().into_keys() {
        let Some(outlook) = opened.access.outlook(number) else { continue };
        let is_open = match &outlook.collection {
            None => true,
            Some(traits) => sees(&mut sight, traits).await?,
        };
        if is_open && sees(&mut sight, &outlook.item).await? {
            numbers.push(number);
        }
    }
    let access = Access::only(numbers);
    // Asked before anything is searched, and behind what it is searched with: what comes later is as if it
    // came after the answer. Answers of two sets of policies make no sense together.
    let knows = lake.search.knows_all_access(&lake.catalog).await?;
    let exact = knows && lake.judge.set().revision() == set.revision();
    Ok(Eyes { opened, access, exact })
}

/// Decides for all DIDs with the same traits; the name is of no account.
async fn sees(sight: &mut Sight, traits: &Traits) -> Result<bool, ServiceError> {
    let gatherer = sight.gatherer();
    let (owner, scope_owner) = (gatherer.owner(&traits.owner).await?, gatherer.owner(&traits.scope_owner).await?);
    let labels = Arc::clone(&traits.scope_labels);
    let scope = Arc::new(ScopeFacts { scope: traits.scope.clone(), owner: scope_owner, labels });
    let did = Did { scope: traits.scope.clone(), name: DidName::parse("any").expect("a name") };
    let traits = DidTraits { kind: traits.kind, owner, scope, labels: Arc::clone(&traits.labels) };
    Ok(sight.sees(&Resource::Did(DidFacts { did, traits })))
}

async fn ready(lake: &Lake) -> Result<Arc<Opened>, ServiceError> {
    let clock = lake.catalog.clock();
    let began = clock.monotonic();
    loop {
        match lake.search.ready() {
            Err(SearchError::Building) if clock.monotonic().saturating_sub(began) < PATIENCE => {
                clock.sleep(GLANCE).await;
            }
            ready => return Ok(ready?),
        }
    }
}

/// Shows how far the index is.
pub fn status(ctx: &Context) -> Result<IndexView, ServiceError> {
    ctx.permit(Action::Discover, "the search index")?;
    Ok(to_view(&ctx.lake, ctx.lake.search.standing()))
}

/// Has the index built anew.
pub fn rebuild(ctx: &Context) -> Result<IndexView, ServiceError> {
    ctx.permit(Action::Administer, "the search index")?;
    if !ctx.is_dry_run() {
        ctx.lake.search.ask_rebuild();
        ctx.lake.catalog.wakes().wake(crate::catalog::wake::Topic::Feed);
    }
    Ok(to_view(&ctx.lake, ctx.lake.search.standing()))
}

/// What becomes of a rebuild that was asked for.
pub const REBUILT: Made = Made::Changed;

fn to_view(lake: &Lake, standing: Standing) -> IndexView {
    let Standing { ready, position, stats } = standing;
    let stats = stats.filter(|_| ready || position == 0);
    IndexView {
        state: if ready { "ready" } else { "building" }.to_owned(),
        position,
        behind: lake.catalog.meters().feed_head().saturating_sub(position),
        documents: stats.map_or(0, |stats| stats.documents),
        dead: stats.map_or(0, |stats| stats.dead),
        segments: stats.map_or(0, |stats| stats.segments),
        bytes: stats.map_or(0, |stats| stats.bytes),
    }
}
