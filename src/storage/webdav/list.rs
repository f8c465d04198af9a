//! Lists all objects, collection by collection: servers refuse `Depth: infinity`, or, as XRootD,
//! answer it with the root alone.
//!
//! What could not be listed comes as an error among the items, and the walk goes on: a listing with
//! an error in it is not complete. So is a collection that is listed and then not there: XRootD cuts
//! names of 255 bytes off, and what is below such a one would be missing without a word.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};

use crate::storage::backend::{Listed, StorageError};
use crate::storage::webdav::Webdav;
use crate::storage::webdav::address::Style;
use crate::storage::webdav::look::propfind;
use crate::storage::webdav::multistatus::{self, Said};
use crate::storage::webdav::server::{faulty, refusal};

/// How many collections are listed at once.
const AT_ONCE: usize = 4;
/// No tree is so deep; one with a link to itself is.
const DEPTH_MAX: usize = 1_000;

type Item = Result<Listed, StorageError>;

struct Page {
    items: Vec<Item>,
    below: Vec<String>,
}

struct Walk<'a> {
    webdav: &'a Webdav,
    running: FuturesUnordered<BoxFuture<'a, Page>>,
    pending: Vec<String>,
    ready: VecDeque<Item>,
}

/// Lists all objects, those that wait in memory included.
pub(super) fn list(webdav: &Webdav) -> BoxStream<'_, Item> {
    let waiting = webdav.waiting.all().into_iter().map(|(path, bytes)| Ok(Listed { path, bytes }));
    let walk =
        Walk { webdav, running: FuturesUnordered::new(), pending: vec![String::new()], ready: waiting.collect() };
    stream::unfold(walk, |mut walk| async move { walk.next().await.map(|item| (item, walk)) }).boxed()
}

impl Walk<'_> {
    async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            while self.running.len() < AT_ONCE
                && let Some(path) = self.pending.pop()
            {
                let webdav = self.webdav;
                self.running.push(Box::pin(async move { webdav.page(path).await }));
            }
            let page = self.running.next().await?;
            self.ready.extend(page.items);
            self.pending.extend(page.below);
        }
    }
}

impl Webdav {
    /// Names of objects in the root itself, as far as they can be listed.
    pub(super) async fn in_root(&self) -> Vec<String> {
        let items = self.page(String::new()).await.items;
        items.into_iter().filter_map(|item| item.ok().map(|listed| listed.path)).collect()
    }

    async fn page(&self, path: String) -> Page {
        let mut page = Page { items: Vec::new(), below: Vec::new() };
        if let Err(error) = self.fill_page(&path, &mut page).await {
            page.items.push(Err(error));
        }
        page
    }

    async fn fill_page(&self, path: &str, page: &mut Page) -> Result<(), StorageError> {
        if path.split('/').count() > DEPTH_MAX {
            return Err(faulty(path, format!("its collections are more than {DEPTH_MAX} levels deep")));
        }
        let url = self.server.address.collection(path);
        let response = self.server.ask(propfind(url, path, "1", multistatus::QUESTION)).await?;
        match response.status().as_u16() {
            207 => {}
            404 | 410 if path.is_empty() => return Err(self.absent(path).await),
            404 | 410 => return Err(faulty(path, "it lists a collection and does not know it".to_owned())),
            _ => return Err(refusal(path, response.status())),
        }
        let mut all = Vec::new();
        multistatus::read(path, response, |said| {
            all.push(said);
            Ok(())
        })
        .await?;
        for said in all {
            match self.place(path, &said).await {
                Ok(Some(below)) if said.facts.is_collection => page.below.push(below),
                Ok(Some(below)) => page.items.push(object(below, &said)),
                Ok(None) => {}
                Err(error) => page.items.push(Err(error)),
            }
        }
        Ok(())
    }

    /// The path of what was listed in a collection; `None` for the collection itself.
    async fn place(&self, collection: &str, said: &Said) -> Result<Option<String>, StorageError> {
        let unreadable = || faulty(collection, "it lists a name that is none, or lies elsewhere".to_owned());
        let style = if said.href.contains('%') { self.href_style(&said.href).await? } else { Some(Style::Encoded) };
        let Some(style) = style else {
            let reads = |style| self.server.address.below(&said.href, style).is_some();
            // Whatever it meant, it is not there any more.
            return if reads(Style::Encoded) || reads(Style::Literal) { Ok(None) } else { Err(unreadable()) };
        };
        let below = self.server.address.below(&said.href, style).ok_or_else(unreadable)?;
        if below == collection {
            return Ok(None);
        }
        let name = if collection.is_empty() {
            Some(below.as_str())
        } else {
            below.strip_prefix(collection).and_then(|rest| rest.strip_prefix('/'))
        };
        match name {
            Some(name) if !name.is_empty() && !name.contains('/') => Ok(Some(below)),
            _ => Err(unreadable()),
        }
    }
}

fn object(path: String, said: &Said) -> Item {
    match (said.status, said.facts.length) {
        (None | Some(200..=299), Some(bytes)) => Ok(Listed { path, bytes }),
        _ => Err(faulty(&path, "it lists it without its length".to_owned())),
    }
}
