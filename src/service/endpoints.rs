//! Endpoints: add, list, show, change, probe. What is stored of how an endpoint is spoken to has
//! been tried before, unless the caller says otherwise. A secret is sealed before it is stored and
//! never leaves.

mod attempt;
pub mod audit;
mod means;
mod place;

use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::catalog::ledger::tally;
use crate::catalog::wake::Topic;
use crate::catalog::{Txn, View, endpoints};
use crate::clock::within;
use crate::model::endpoint::{Endpoint, EndpointName, parse_attribute};
use crate::model::id::EndpointId;
use crate::model::probe::Probe;
use crate::policy::decision::Action;
use crate::service::Context;
use crate::service::error::ServiceError;
use crate::service::paging::{Paging, page};
use crate::service::terms::{Made, Tag, Tagged};
use crate::service::view::{EndpointChange, EndpointState, EndpointView, NewEndpoint, Page, ProbeView, SettingsChange};

use attempt::{Root, attempt};

/// How long an endpoint may take to say how much room it has before it is shown without.
const ROOM_SPAN_MAX: Duration = Duration::from_secs(2);
/// How many endpoints of a list are asked for their room at once.
const ROOMS_AT_ONCE: usize = 32;

/// Adds an endpoint whose root is there and can be written.
pub async fn add(ctx: &Context, mut new: NewEndpoint) -> Result<Tagged<EndpointView>, ServiceError> {
    ctx.permit(Action::Administer, format!("endpoint {}", new.name))?;
    for (key, value) in &new.attributes {
        parse_attribute(&format!("{key}={value}"))?;
    }
    if new.create && new.no_probe {
        let detail = "a root cannot be made without trying the endpoint: leave out `create` or `no_probe`";
        return Err(ServiceError::invalid("invalid-settings", detail));
    }
    new.location = place::spelt(new.kind, &new.location)?;
    let view = ctx.catalog().view().await?;
    let known = endpoints::all(&view).await?;
    place::refuse_clash(ctx, &new, &known)?;
    let seen = endpoints::revision(&view).await?;
    let mut endpoint = Endpoint {
        id: ctx.catalog().endpoint_id().await?,
        name: new.name,
        kind: new.kind,
        location: new.location,
        settings: means::wished(&new.settings),
        secret: None,
        probe: None,
        attributes: new.attributes,
        created_at: ctx.catalog().clock().now(),
    };
    means::check_settings(&endpoint)?;
    if let Some(secret) = &new.secret {
        means::seal(ctx, &mut endpoint, secret)?;
    }
    if !new.no_probe {
        let root = if new.create { Root::Make } else { Root::Expect };
        endpoint.probe = attempt(ctx, &endpoint, root).await?;
    }
    let (asked, room) = (ctx.clone(), free_bytes(ctx, &endpoint).await);
    let done = ctx
        .transact(Made::New, move |txn| {
            let (ctx, endpoint) = (asked.clone(), endpoint.clone());
            async move {
                if endpoints::revision(&txn).await? != seen {
                    return Err(changed_meanwhile());
                }
                endpoints::put(&txn, &endpoint).await?;
                to_view(&ctx, &txn, endpoint, room).await
            }
        })
        .await?;
    Ok(settled(ctx, done))
}

/// Lists endpoints by name.
pub async fn list(ctx: &Context, paging: Paging) -> Result<Page<EndpointView>, ServiceError> {
    ctx.permit(Action::Discover, "endpoints")?;
    let limit = paging.limit()?;
    let after: String = paging.after()?.unwrap_or_default();
    let view = ctx.catalog().view().await?;
    let all = endpoints::all(&view).await?;
    let behind = all.into_iter().filter(|endpoint| endpoint.name.as_str() > after.as_str());
    let rest: Vec<_> = behind.filter(|one| ctx.permit_endpoint(Action::Discover, one).is_ok()).collect();
    let full = rest.len() > limit;
    let views = stream::iter(rest.into_iter().take(limit).map(|endpoint| with_room(ctx, &view, endpoint)));
    let items: Vec<EndpointView> = views.buffered(ROOMS_AT_ONCE).map_ok(|shown| shown.view).try_collect().await?;
    Ok(page(items, full, |item| item.name.to_string()))
}

/// Shows an endpoint.
pub async fn show(ctx: &Context, name: &EndpointName) -> Result<Tagged<EndpointView>, ServiceError> {
    let view = ctx.catalog().view().await?;
    let endpoint = find(&view, name).await?;
    if ctx.permit_endpoint(Action::Discover, &endpoint).is_err_and(|error| matches!(error, ServiceError::Denied { .. }))
    {
        return Err(ServiceError::not_found("endpoint", name));
    }
    ctx.permit_endpoint(Action::Discover, &endpoint)?;
    with_room(ctx, &view, endpoint).await
}

/// Changes an endpoint. Settings and secrets are tried before they are stored, and take effect with
/// the next operation. Rules that found no place are tried again.
pub async fn change(
    ctx: &Context,
    name: EndpointName,
    change: EndpointChange,
) -> Result<Tagged<EndpointView>, ServiceError> {
    let old = find(&ctx.catalog().view().await?, &name).await?;
    ctx.permit_endpoint(Action::Administer, &old)?;
    for (key, value) in &change.attributes {
        parse_attribute(&format!("{key}={}", value.as_deref().unwrap_or("x")))?;
    }
    let mut new = old.clone();
    let tried = change.secret.is_some() || change.settings != SettingsChange::default();
    if tried {
        new.settings = means::changed(&old.settings, &change.settings);
        means::check_settings(&new)?;
        match &change.secret {
            Some(Some(secret)) => means::seal(ctx, &mut new, secret)?,
            Some(None) => new.secret = None,
            None => {}
        }
        if !change.no_probe {
            new.probe = attempt(ctx, &new, Root::Expect).await?;
        }
    }
    let (id, attributes, no_probe) = (old.id, change.attributes, change.no_probe);
    let done = store(ctx, old, move |current| {
        if tried {
            current.settings.clone_from(&new.settings);
            current.secret.clone_from(&new.secret);
            current.probe.clone_from(&new.probe);
        }
        for (key, value) in &attributes {
            match value {
                Some(value) => current.attributes.insert(key.clone(), value.clone()),
                None => current.attributes.remove(key),
            };
        }
    });
    let done = done.await?;
    if tried && !no_probe {
        mended(ctx, id);
    }
    Ok(done)
}

/// Tries what an endpoint can do, and keeps what came of it.
pub async fn probe(ctx: &Context, name: &EndpointName) -> Result<Tagged<EndpointView>, ServiceError> {
    let old = find(&ctx.catalog().view().await?, name).await?;
    ctx.permit_endpoint(Action::Administer, &old)?;
    let (id, probe): (_, Option<Probe>) = (old.id, attempt(ctx, &old, Root::Expect).await?);
    let done = store(ctx, old, move |current| current.probe.clone_from(&probe)).await?;
    mended(ctx, id);
    Ok(done)
}

/// Changes an endpoint that is still spoken to as `old` is.
async fn store(
    ctx: &Context,
    old: Endpoint,
    change: impl Fn(&mut Endpoint) + Clone + Send + Sync + 'static,
) -> Result<Tagged<EndpointView>, ServiceError> {
    let (asked, room) = (ctx.clone(), free_bytes(ctx, &old).await);
    let done = ctx
        .transact(Made::Changed, move |txn: Txn| {
            let (ctx, old, change) = (asked.clone(), old.clone(), change.clone());
            async move {
                let mut endpoint = find(&txn, &old.name).await?;
                ctx.expect(&tag(&endpoint))?;
                let means = |endpoint: &Endpoint| (endpoint.settings.clone(), endpoint.secret.clone());
                if means(&endpoint) != means(&old) {
                    return Err(changed_meanwhile());
                }
                change(&mut endpoint);
                endpoints::put(&txn, &endpoint).await?;
                to_view(&ctx, &txn, endpoint, room).await
            }
        })
        .await?;
    Ok(settled(ctx, done))
}

fn changed_meanwhile() -> ServiceError {
    ServiceError::Conflict {
        code: "endpoints-changed",
        detail: "endpoints were added or changed at the same time".to_owned(),
        hint: Some("try again".to_owned()),
    }
}

/// An endpoint has just shown that it works: what it failed at before is over, and what waits for it
/// need not wait for its rest to end.
fn mended(ctx: &Context, endpoint: EndpointId) {
    if ctx.is_dry_run() {
        return;
    }
    ctx.lake.stores.health().recovered(endpoint);
    ctx.catalog().wakes().wake(Topic::Transfers);
}

/// Wakes whoever waits for endpoints, and tells what is noteworthy of one that was stored.
fn settled(ctx: &Context, done: Tagged<EndpointView>) -> Tagged<EndpointView> {
    if ctx.is_dry_run() {
        return done;
    }
    ctx.catalog().wakes().wake(Topic::Rules);
    for note in &done.notes {
        let name = &done.name;
        tracing::warn!(endpoint.name = %name, "the endpoint {name} was stored, but {note}");
    }
    done
}

/// An endpoint by name, or the error that says there is none.
pub(super) async fn find(view: &View, name: &EndpointName) -> Result<Endpoint, ServiceError> {
    endpoints::by_name(view, name).await?.ok_or_else(|| ServiceError::not_found("endpoint", name))
}

/// Names what is stored of an endpoint. The secret is sealed anew at each change, so it is told too.
fn tag(endpoint: &Endpoint) -> Tag {
    Tag::of(&endpoints::to_record(endpoint))
}

async fn with_room(ctx: &Context, view: &View, endpoint: Endpoint) -> Result<Tagged<EndpointView>, ServiceError> {
    let room = free_bytes(ctx, &endpoint).await;
    to_view(ctx, view, endpoint, room).await
}

async fn to_view(
    ctx: &Context,
    view: &View,
    endpoint: Endpoint,
    free_bytes: Option<u64>,
) -> Result<Tagged<EndpointView>, ServiceError> {
    let usage = tally::usage(view, endpoint.id).await?;
    let audits = audit::of(view, &endpoint).await?;
    let tag = tag(&endpoint);
    // How much lies there in all tells of what is hidden as well.
    let whole = ctx.permit_endpoint(Action::Administer, &endpoint).is_ok();
    let view = EndpointView {
        state: state(ctx, &endpoint),
        settings: means::shown(&endpoint),
        has_secret: endpoint.secret.is_some(),
        files: whole.then(|| u64::try_from(usage.files).unwrap_or(0)),
        bytes: whole.then(|| u64::try_from(usage.bytes).unwrap_or(0)),
        free_bytes,
        probe: endpoint.probe.as_ref().map(ProbeView::from),
        notes: means::notes(ctx, &endpoint),
        audits: if whole { audits } else { Vec::new() },
        name: endpoint.name,
        kind: endpoint.kind,
        location: endpoint.location,
        attributes: endpoint.attributes,
        created_at: endpoint.created_at,
    };
    Ok(Tagged { tag, view })
}

fn state(ctx: &Context, endpoint: &Endpoint) -> EndpointState {
    let health = ctx.lake.stores.health();
    if health.rests(endpoint.id, ctx.catalog().clock().monotonic()) {
        EndpointState::Resting
    } else if health.ailment(endpoint.id).is_some() {
        EndpointState::Ailing
    } else {
        EndpointState::Well
    }
}

/// How much room an endpoint has. One that does not answer in time is shown all the same, without.
async fn free_bytes(ctx: &Context, endpoint: &Endpoint) -> Option<u64> {
    if ctx.is_dry_run() {
        // A store that is only spoken of is not opened.
        return None;
    }
    let backend = ctx.lake.stores.get(endpoint).ok()?;
    let room = within(ctx.catalog().clock().as_ref(), ROOM_SPAN_MAX, backend.room()).await?;
    Some(room.ok()??.free_bytes)
}
