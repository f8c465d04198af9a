//! Signed URLs: mint them, and open them for the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::catalog::record::{DidNames, Dids, Heads, Parents};
use crate::catalog::{Txn, View, endpoints};
use crate::fault::{Fault as _, Kind};
use crate::model::api_key::KeyReach;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind};
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::facts::{EndpointFacts, Resource};
use crate::model::id::{DecisionId, DidId, EndpointId, GrantId};
use crate::model::time::Timestamp;
use crate::policy::decision::Action;
use crate::policy::grant::{Grant, GrantError, Method, Methods, Mode, Target};
use crate::replicas::locate::{Located, locate};
use crate::service::endpoints::find;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, cursor, place};
use crate::service::sight::{Seen, Sight};
use crate::service::view::{ContentView, NewUrl, Page, UrlView};
use crate::service::{Context, Lake, Reader};

/// The longest that a URL may be good for.
pub const EXPIRY_MAX: Duration = Duration::from_hours(7 * 24);

/// What those are told who have not said who they are, of all that is not public.
const NEEDS_KEY: ServiceError = ServiceError::Unauthenticated("this is not public, or not there");

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Mints a signed URL that reads a file, or the files of a dataset.
pub async fn mint(ctx: &Context, new: NewUrl) -> Result<UrlView, ServiceError> {
    let span = span(new.expires_seconds)?;
    let (wish, asking) = (new.clone(), ctx.clone());
    let granted = ctx.catalog().transact(move |txn| {
        let (wish, ctx) = (wish.clone(), asking.clone());
        async move { grant(&ctx, &txn, &mut ctx.sight(&txn), &wish).await }
    });
    signed(ctx, new, span, granted.await?)
}

/// Mints signed URLs of many DIDs in one transaction, good for so many seconds. There is none of a DID
/// that is not there for whoever asks, of which they may not have one, or that makes too long a URL.
pub(super) async fn mint_many(
    ctx: &Context,
    dids: Vec<Did>,
    expires_seconds: u64,
) -> Result<BTreeMap<Did, UrlView>, ServiceError> {
    let span = span(expires_seconds)?;
    let wish = move |did| NewUrl { did, expires_seconds, from: None, redirect: false };
    let asking = ctx.clone();
    let granted = ctx.catalog().transact(move |txn| {
        let (ctx, dids) = (asking.clone(), dids.clone());
        async move {
            let mut sight = ctx.sight(&txn);
            let mut granted = Vec::with_capacity(dids.len());
            for did in dids {
                match grant(&ctx, &txn, &mut sight, &wish(did.clone())).await {
                    Ok(one) => granted.push((did, one)),
                    Err(error) if is_of_one(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, ServiceError>(granted)
        }
    });
    let mut all = BTreeMap::new();
    for (did, one) in granted.await? {
        match signed(ctx, wish(did.clone()), span, one) {
            Ok(url) => drop(all.insert(did, url)),
            Err(error) if is_of_one(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Whether an error is one DID's own: another may have its URL all the same.
fn is_of_one(error: &ServiceError) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Denied | Kind::Invalid)
}

/// What is granted: to read what, from where, and by which decision.
type Granted = (Target, Option<EndpointId>, DecisionId);

fn span(seconds: u64) -> Result<Duration, ServiceError> {
    let span = Duration::from_secs(seconds);
    if span.is_zero() || span > EXPIRY_MAX {
        return Err(ServiceError::invalid("invalid-expiry", "a URL is good for between one second and 7 days"));
    }
    Ok(span)
}

async fn grant(ctx: &Context, txn: &Txn, sight: &mut Sight, wish: &NewUrl) -> Result<Granted, ServiceError> {
    let seen = sight.did(&wish.did).await?;
    let at = match &wish.from {
        Some(name) => Some(Arc::new(EndpointFacts::from(&find(txn, name).await?))),
        None => None,
    };
    let permit = sight.permit(Action::Read, &seen.resource(), at.as_ref())?;
    let target = target(&ctx.lake, txn, &ctx.principal.key, seen).await?;
    let from = source(txn, wish, &target).await?;
    Ok((target, from, permit.record(txn)))
}

fn signed(ctx: &Context, new: NewUrl, span: Duration, granted: Granted) -> Result<UrlView, ServiceError> {
    let (target, from, decision) = granted;
    let did = new.did;
    let now = ctx.catalog().clock().now();
    let grant = Grant {
        id: GrantId(ctx.catalog().clock().id()),
        subject: ctx.account().clone(),
        issued_at: now,
        not_before: now,
        // It does not outlive the key that it is asked for with.
        expires_at: ctx.principal.key.ends_at.map_or(now.after(span), |end| end.min(now.after(span))),
        methods: Methods::from_iter([Method::Read]),
        target,
        from,
        mode: if new.redirect { Mode::Redirect } else { Mode::Stream },
        decision,
    };
    let token = ctx.lake.signer.mint(&grant)?;
    // What never happens is granted to nobody.
    let token = if ctx.is_dry_run() { String::new() } else { token };
    let url = match grant.target {
        Target::Dataset { .. } => format!("{}/s/{token}/{}/", ctx.lake.public_url, did.scope),
        Target::Object { .. } | Target::Upload { .. } => object_url(&ctx.lake, &did, &token),
    };
    Ok(UrlView { url, did, expires_at: grant.expires_at })
}

/// What a grant to read a DID is for.
async fn target(lake: &Lake, view: &View, key: &KeyReach, seen: Seen) -> Result<Target, ServiceError> {
    let (id, did) = (seen.id, seen.facts.did);
    match seen.record.kind() {
        DidKind::File => Ok(Target::Object { did, id }),
        DidKind::Dataset => {
            if key.only.is_some() {
                // Its members may be of any scope.
                let detail = "a key for some data scopes alone signs URLs of files, not of datasets";
                return Err(ServiceError::invalid("key-too-narrow", detail));
            }
            let head = view.get::<Heads>(&(id,)).await?;
            let up_to = head.map(|head| lake.signer.places().seal(id, head.next_seq));
            Ok(Target::Dataset { did, id, up_to, up_to_seq: None })
        }
        DidKind::Container => {
            let detail = format!("`{did}` is a container; ask for a URL of one of its datasets");
            Err(ServiceError::invalid("invalid-kind", detail))
        }
    }
}

/// The endpoint that a wish names. Refuses a redirect that nobody would carry out: for a file, by an
/// endpoint that has it; for a dataset, whose files come and go, by any.
async fn source(view: &View, wish: &NewUrl, target: &Target) -> Result<Option<EndpointId>, ServiceError> {
    let from = match &wish.from {
        Some(name) => Some(find(view, name).await?.id),
        None => None,
    };
    if !wish.redirect {
        return Ok(from);
    }
    let candidates: Vec<Endpoint> = match target {
        Target::Object { id, did } => locate(view, *id, did).await?.into_iter().map(|one| one.endpoint).collect(),
        Target::Dataset { .. } | Target::Upload { .. } => endpoints::all(view).await?,
    };
    let takes_readers = |endpoint: &Endpoint| endpoint.settings.redirect && from.is_none_or(|from| from == endpoint.id);
    if candidates.iter().any(takes_readers) {
        return Ok(from);
    }
    let detail = match (target, &wish.from) {
        (Target::Object { did, .. }, Some(name)) => {
            format!("`{name}` does not take readers itself, or has no available replica of `{did}`")
        }
        (Target::Object { did, .. }, None) => {
            format!("no endpoint that has an available replica of `{did}` takes readers itself")
        }
        (_, Some(name)) => format!("`{name}` does not take readers itself"),
        (_, None) => "no endpoint takes readers itself".to_owned(),
    };
    let hint = Some("leave out `--redirect`, or allow it with `dapple endpoint set NAME --redirect`".to_owned());
    Err(ServiceError::Conflict { code: "redirect-not-allowed", detail, hint })
}

/// The URL of one object with its token. The path ends in the file's own name, as readers look at
/// suffixes.
pub(super) fn object_url(lake: &Lake, did: &Did, token: &str) -> String {
    format!("{}/d/{}/{}?grant={token}", lake.public_url, did.scope, encode_name(did.name.as_str()))
}

/// The URL of a file without a grant: it never changes, and opens what a reader may read anyway.
pub fn plain_url(public_url: &str, did: &Did) -> String {
    format!("{public_url}/d/{}/{}", did.scope, encode_name(did.name.as_str()))
}

/// A name as the end of a path, its slashes kept.
pub(crate) fn encode_name(name: &str) -> String {
    let segments: Vec<_> = name.split('/').map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
    segments.join("/")
}

/// A file that a grant opens.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The file.
    pub id: DidId,
    /// Its name.
    pub did: Did,
    /// Its length.
    pub bytes: u64,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
    /// The only endpoint to read it from, if the grant names one.
    pub from: Option<EndpointId>,
    /// The endpoints that the reader may read it from, where policies look at that; `None` for any.
    pub places: Option<BTreeSet<EndpointId>>,
    /// How its bytes reach the reader.
    pub mode: Mode,
    /// The first moment at which the grant does not hold any more.
    pub expires_at: Timestamp,
}

/// Opens a signed URL for reading `did`. Touches no storage. Who asked for it has to be let read still:
/// labels, policies and accounts change faster than URLs expire.
pub async fn open(lake: &Lake, token: &str, did: &Did) -> Result<Opened, ServiceError> {
    let grant = lake.verifier.verify(token, lake.catalog.clock().now())?;
    grant.permits(Method::Read, did)?;
    let view = lake.catalog.view().await?;
    let id = match &grant.target {
        Target::Object { id, .. } => *id,
        Target::Dataset { id: dataset, .. } => {
            // What is no member is outside the grant, whether it exists or not.
            let outside = || GrantError::OutOfScope { asked: did.clone() };
            let name = view.get::<DidNames>(&(did.scope.to_string(), did.name.to_string())).await?;
            let file = name.ok_or_else(outside)?.id;
            let seq = view.get::<Parents>(&(file, *dataset)).await?.ok_or_else(outside)?;
            if end(lake, &grant.target).is_some_and(|end| seq >= end) {
                return Err(outside().into());
            }
            file
        }
        Target::Upload { .. } => return Err(GrantError::WrongMethod.into()),
    };
    let record = view.get::<Dids>(&(id,)).await?.ok_or_else(|| ServiceError::no_did(did))?;
    let facts = record.file().ok_or_else(|| ServiceError::no_did(did))?;
    let mut sight = Sight::of_grant(lake, &view, &grant.subject).await?.ok_or(ServiceError::Withdrawn)?;
    let resource = Resource::Did(sight.gatherer().did(id, &record).await?);
    let at = match grant.from {
        Some(from) => endpoints::by_id(&view, from).await?.map(|endpoint| Arc::new(EndpointFacts::from(&endpoint))),
        None => None,
    };
    let (may, places) = may_read(lake, &sight, (id, did), &resource, at.as_ref()).await?;
    if !may {
        return Err(match &grant.target {
            // What may not be read of a dataset is as if it were no member.
            Target::Dataset { .. } => GrantError::OutOfScope { asked: did.clone() }.into(),
            Target::Object { .. } | Target::Upload { .. } => ServiceError::Withdrawn,
        });
    }
    Ok(Opened {
        id,
        did: did.clone(),
        bytes: facts.bytes,
        checksums: facts.checksums.clone(),
        from: grant.from,
        places,
        mode: grant.mode,
        expires_at: grant.expires_at,
    })
}

/// Whether a reader may read a file from an endpoint, or from any that has it if none is named; and from
/// which, where policies look at that.
async fn may_read(
    lake: &Lake,
    sight: &Sight,
    (id, did): (DidId, &Did),
    resource: &Resource,
    at: Option<&Arc<EndpointFacts>>,
) -> Result<(bool, Option<BTreeSet<EndpointId>>), ServiceError> {
    if at.is_none() && lake.judge.set().reads_place {
        let located = locate(sight.view(), id, did).await?;
        if !located.is_empty() {
            let endpoints = located.into_iter().map(|one| one.endpoint);
            let open = endpoints.filter(|endpoint| {
                let at = Arc::new(EndpointFacts::from(endpoint));
                sight.decide(Action::Read, resource, Some(&at)).allows()
            });
            let places: BTreeSet<_> = open.map(|endpoint| endpoint.id).collect();
            return Ok((!places.is_empty(), Some(places)));
        }
    }
    Ok((sight.decide(Action::Read, resource, at).allows(), None))
}

/// Opens a file for whoever may read it without a grant: by the key that came with the request, or
/// because everybody may. It is streamed, as nobody asked for anything else.
pub async fn open_unsigned(reader: &Reader, did: &Did, from: Option<&EndpointName>) -> Result<Opened, ServiceError> {
    let lake = reader.lake();
    let view = lake.catalog.view().await?;
    let mut sight = Sight::of_reader(reader, &view);
    let seen = match (sight.did(did).await, reader) {
        // What is hidden and what is not there are told apart by nobody: a key may open either.
        (Err(ServiceError::NotFound { .. }), Reader::Anonymous(_)) => return Err(NEEDS_KEY),
        (seen, _) => seen?,
    };
    // Whoever may not see the file is told nothing of endpoints, nor is anybody of those they may not see.
    let from = match from {
        Some(name) => Some(find(&view, name).await?),
        None => None,
    };
    let at = from.as_ref().map(|endpoint| Arc::new(EndpointFacts::from(endpoint)));
    if let Some(at) = &at
        && !sight.sees(&Resource::Endpoint(Arc::clone(at)))
    {
        return Err(ServiceError::not_found("endpoint", &at.name));
    }
    let (may, places) = may_read(lake, &sight, (seen.id, did), &seen.resource(), at.as_ref()).await?;
    if !may {
        return Err(match reader {
            Reader::Anonymous(_) => NEEDS_KEY,
            Reader::Known(_) => ServiceError::Denied { action: Action::Read.name(), resource: did.to_string() },
        });
    }
    let Some(facts) = seen.record.file() else {
        let detail = format!("`{did}` is no file; ask for the URLs of its files");
        return Err(ServiceError::invalid("invalid-kind", detail));
    };
    Ok(Opened {
        id: seen.id,
        did: did.clone(),
        bytes: facts.bytes,
        checksums: facts.checksums.clone(),
        from: from.map(|endpoint| endpoint.id),
        places,
        mode: Mode::Stream,
        expires_at: lake.catalog.clock().now(),
    })
}

/// Lists the files that a dataset's grant opens.
pub async fn list(lake: &Lake, token: &str, paging: Paging) -> Result<Page<ContentView>, ServiceError> {
    let grant = lake.verifier.verify(token, lake.catalog.clock().now())?;
    let Target::Dataset { did, id, .. } = &grant.target else {
        return Err(ServiceError::invalid("not-a-dataset", "this URL reads one file and lists nothing"));
    };
    grant.permits(Method::Read, did)?;
    let view = lake.catalog.view().await?;
    let mut sight = Sight::of_grant(lake, &view, &grant.subject).await?.ok_or(ServiceError::Withdrawn)?;
    let Some(dataset) = sight.by_id(*id).await? else { return Err(ServiceError::Withdrawn) };
    if !sight.decide(Action::Read, &dataset.resource(), None).allows() {
        return Err(ServiceError::Withdrawn);
    }
    let (rows, next) = sight.members(*id, place(lake, *id, &paging)?, paging.limit()?).await?;
    let end = end(lake, &grant.target);
    // Pages end where the grant ends: empty ones behind it would tell how much was added since.
    let next = next.filter(|last| end.is_none_or(|end| last.saturating_add(1) < end));
    let included = rows.into_iter().filter(|(seq, ..)| end.is_none_or(|end| *seq < end));
    let items = included
        .filter(|(_, seen)| sight.decide(Action::Read, &seen.resource(), None).allows())
        .filter_map(|(_, Seen { record, .. })| {
            let facts = record.file()?;
            let (bytes, checksums) = (facts.bytes, facts.checksums.clone());
            Some(ContentView { did: record.did(), kind: DidKind::File, bytes, checksums })
        })
        .collect();
    Ok(Page { items, next: cursor(lake, *id, next) })
}

/// The place at which a dataset's grant ends, if it has an end.
fn end(lake: &Lake, target: &Target) -> Option<u64> {
    let Target::Dataset { id, up_to, up_to_seq, .. } = target else { return None };
    up_to.map(|sealed| lake.signer.places().open(*id, sealed)).into_iter().chain(*up_to_seq).min()
}

/// Where an opened file can be read, nearest first, but for endpoints that are left alone now, which
/// come last; nowhere but at the endpoint that its grant names,
/// if it names one.
pub async fn replicas(lake: &Lake, opened: &Opened) -> Result<Vec<Located>, ServiceError> {
    let view = lake.catalog.view().await?;
    let mut located = locate(&view, opened.id, &opened.did).await?;
    if let Some(places) = &opened.places {
        located.retain(|one| places.contains(&one.endpoint.id));
    }
    let did = opened.did.clone();
    if let Some(from) = opened.from {
        located.retain(|one| one.endpoint.id == from);
        if located.is_empty()
            && let Some(endpoint) = endpoints::by_id(&view, from).await?
        {
            return Err(ServiceError::NoReplicaThere { did, endpoint: endpoint.name });
        }
    }
    let (health, now) = (lake.stores.health(), lake.catalog.clock().monotonic());
    located.sort_by_key(|one| health.rests(one.endpoint.id, now));
    if located.is_empty() { Err(ServiceError::Unreadable { did }) } else { Ok(located) }
}
