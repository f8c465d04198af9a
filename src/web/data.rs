//! Data: scopes, what is in them, and one DID: what it holds, where it is, and how to read it.

use std::borrow::Cow;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::model::did::{Did, DidKind, DidName};
use crate::model::scope::Scope;
use crate::model::shell::quoted;
use crate::service::error::ServiceError;
use crate::service::paging::Paging;
use crate::service::view::{ContentView, CoverageView, DidView, NewUrl, ReplicaView, RuleView, ScopeView, UrlView};
use crate::service::{Context, coverage, dids, replicas, rules, scopes, urls};
use crate::web::frame::{Frame, page};
use crate::web::lots::first_shown;
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::snippets::{self, Snippet};
use crate::web::visitor::{Asked, Fields, Visitor, if_permitted};

/// How many entries a page shows.
const SHOWN: usize = 50;
/// How many rules on one DID a page shows.
const RULES_SHOWN: usize = 20;
/// The longest value of metadata that is shown in whole, such as that of a geometry.
const VALUE_SHOWN: usize = 2_000;
/// How long a signed URL may be wanted for, in seconds, and in words.
const SPANS: [(u64, &str); 4] = [(600, "10 minutes"), (3_600, "an hour"), (86_400, "a day"), (604_800, "a week")];

/// Which page, and names that begin how.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    after: Option<String>,
    #[serde(default)]
    prefix: String,
}

#[derive(Template)]
#[template(path = "scopes.html")]
struct ScopesPage {
    frame: Frame,
    scopes: Vec<ScopeView>,
    is_first: bool,
    next: Option<String>,
}

pub(super) async fn scopes(Visitor(ctx): Visitor, Asked(wish): Asked<Wish>) -> Result<Response, Oops> {
    let is_first = wish.after.is_none();
    let found = first_shown(wish.after, |after| scopes::list(&ctx, paging(SHOWN, after))).await?;
    let frame = Frame::of(&ctx, "data", "Data").commands(["dapple scope list".to_owned()]);
    Ok(page(&ScopesPage { frame, scopes: found.items, is_first, next: found.next }))
}

#[derive(Template)]
#[template(path = "scope.html")]
struct ScopePage {
    frame: Frame,
    scope: Scope,
    prefix: String,
    dids: Vec<DidView>,
    is_first: bool,
    next: Option<String>,
}

impl ScopePage {
    fn base(&self) -> String {
        format!("/data/{}?prefix={}&", self.scope, show::query(&self.prefix))
    }

    /// How files get there.
    fn put(&self) -> String {
        format!("dapple put TREE --to {}:NAME --endpoint NAME", self.scope)
    }
}

fn read_scope(scope: &str) -> Result<Scope, ServiceError> {
    // What cannot be a scope names nothing.
    Scope::parse(scope).map_err(|_| ServiceError::not_found("scope", scope))
}

pub(super) async fn scope(
    Visitor(ctx): Visitor,
    Path(scope): Path<String>,
    Asked(wish): Asked<Wish>,
) -> Result<Response, Oops> {
    let (scope, is_first) = (read_scope(&scope)?, wish.after.is_none());
    let found = first_shown(wish.after, |after| dids::list(&ctx, &scope, &wish.prefix, paging(SHOWN, after))).await?;
    let frame = Frame::of(&ctx, "data", format!("Scope {scope}")).commands([format!("dapple ls {scope}")]);
    Ok(page(&ScopePage { frame, scope, prefix: wish.prefix, dids: found.items, is_first, next: found.next }))
}

#[derive(Template)]
#[template(path = "did.html")]
struct DidPage {
    frame: Frame,
    did: DidView,
    contents: Vec<ContentView>,
    is_first: bool,
    next: Option<String>,
    coverage: Option<Vec<CoverageView>>,
    replicas: Vec<ReplicaView>,
    rules: Vec<RuleView>,
    spans: [(u64, &'static str); 4],
    minted: Option<Minted>,
}

/// A key of metadata and its value: text as it is, all else as JSON.
struct Said<'a> {
    key: &'a str,
    value: Cow<'a, str>,
    is_text: bool,
}

/// A signed URL, and how to use it.
struct Minted {
    url: UrlView,
    snippets: Vec<Snippet>,
}

impl DidPage {
    fn is_file(&self) -> bool {
        self.did.kind == DidKind::File
    }

    fn is_container(&self) -> bool {
        self.did.kind == DidKind::Container
    }

    fn base(&self) -> String {
        format!("/data/{}/{}?", self.did.did.scope, show::path(&self.did.did.name))
    }

    /// How files get there.
    fn put(&self) -> String {
        format!("dapple put TREE --to {} --endpoint NAME", quoted(&self.did.did.to_string()))
    }

    /// What is said of it under a key, if that is a text.
    fn text(&self, key: &str) -> Option<&str> {
        self.did.metadata.0.get(key).and_then(Value::as_str)
    }

    /// All that is said of it.
    fn said(&self) -> Vec<Said<'_>> {
        self.did.metadata.0.iter().map(|(key, value)| said(key, value)).collect()
    }

    /// How many files there should be at an endpoint.
    fn wanted(&self) -> u64 {
        self.did.length.unwrap_or(0)
    }
}

fn said<'a>(key: &'a str, value: &'a Value) -> Said<'a> {
    let (mut shown, is_text) = match value {
        Value::String(text) => (Cow::Borrowed(text.as_str()), true),
        other => (Cow::Owned(other.to_string()), false),
    };
    if let Some((end, _)) = shown.char_indices().nth(VALUE_SHOWN) {
        shown = Cow::Owned(format!("{}…", &shown[..end]));
    }
    Said { key, value: shown, is_text }
}

fn read(scope: &str, name: &str) -> Result<Did, ServiceError> {
    let no_did = || ServiceError::not_found("DID", format!("{scope}:{name}"));
    let (scope, name) = (Scope::parse(scope).map_err(|_| no_did())?, DidName::parse(name).map_err(|_| no_did())?);
    Ok(Did { scope, name })
}

pub(super) async fn show(
    Visitor(ctx): Visitor,
    Path((scope, name)): Path<(String, String)>,
    Asked(wish): Asked<Wish>,
) -> Result<Response, Oops> {
    Ok(page(&gather(&ctx, &read(&scope, &name)?, wish.after).await?))
}

fn paging(limit: usize, after: Option<String>) -> Paging {
    Paging { limit: Some(limit), after }
}

async fn gather(ctx: &Context, did: &Did, after: Option<String>) -> Result<DidPage, ServiceError> {
    let shown = dids::show(ctx, did).await?.view;
    let (kind, is_first) = (shown.kind, after.is_none());
    let (mut contents, mut next, mut held, mut copies) = (Vec::new(), None, None, Vec::new());
    if kind == DidKind::File {
        copies = replicas::list(ctx, did, paging(SHOWN, None)).await?.items;
    } else {
        let found = first_shown(after, |after| dids::contents(ctx, did, paging(SHOWN, after))).await?;
        (contents, next) = (found.items, found.next);
    }
    if kind == DidKind::Dataset {
        held = coverage::of_dataset(ctx, did).await?;
    }
    let rules = if_permitted(rules::list(ctx, Some(did.clone()), paging(RULES_SHOWN, None)).await)?;
    let word = quoted(&did.to_string());
    let mut commands = vec![format!("dapple did show {word}"), format!("dapple did meta {word}")];
    commands.push(match kind {
        DidKind::File => format!("dapple replica list {word}"),
        DidKind::Dataset | DidKind::Container => format!("dapple ls {word}"),
    });
    if kind != DidKind::Container {
        commands.extend([format!("dapple get {word} --to ./copy"), format!("dapple url {word} --expires 1h")]);
    }
    Ok(DidPage {
        frame: Frame::of(ctx, "data", did).commands(commands),
        did: shown,
        contents,
        is_first,
        next,
        coverage: held,
        replicas: copies,
        rules: rules.map(|page| page.items).unwrap_or_default(),
        spans: SPANS,
        minted: None,
    })
}

/// For how long a signed URL is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct WantedUrl {
    seconds: u64,
}

/// Mints a signed URL. The answer is the page itself: a redirect would put the URL into an address.
pub(super) async fn mint(
    Visitor(ctx): Visitor,
    Path((scope, name)): Path<(String, String)>,
    Fields(wanted): Fields<WantedUrl>,
) -> Result<Response, Oops> {
    let did = read(&scope, &name)?;
    let wish = NewUrl { did: did.clone(), expires_seconds: wanted.seconds, from: None, redirect: false };
    let url = urls::mint(&ctx, wish).await?;
    let shown = gather(&ctx, &did, None).await?;
    let snippets =
        if shown.is_file() { snippets::of_file(&url.url, did.name.as_str()) } else { snippets::of_dataset(&url.url) };
    Ok(page(&DidPage { minted: Some(Minted { url, snippets }), ..shown }))
}
