//! Lists, page by page or as one stream, holding one page at a time.

use std::collections::VecDeque;
use std::marker::PhantomData;

use futures::{Stream, stream};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::client::address::segment;
use crate::client::error::ClientError;
use crate::client::request::Call;
use crate::service::view::Page;

/// Entries asked for at once by [`Listing::stream`].
const PAGE_ITEMS: usize = 1_000;

/// A list that has not been read yet.
pub struct Listing<T> {
    client: Client,
    url: String,
    items: PhantomData<fn() -> T>,
}

impl<T> Listing<T> {
    pub(crate) fn new(client: Client, url: String) -> Self {
        Self { client, url, items: PhantomData }
    }
}

impl<T: DeserializeOwned> Listing<T> {
    /// Reads one page: the first, or the one after a page's `next`.
    pub async fn page(&self, limit: usize, after: Option<&str>) -> Result<Page<T>, ClientError> {
        let mark = if self.url.contains('?') { '&' } else { '?' };
        let mut url = format!("{}{mark}limit={limit}", self.url);
        if let Some(after) = after {
            url.push_str("&after=");
            url.push_str(&segment(after));
        }
        self.client.call(&Call::get(url)).await
    }

    /// Reads all entries, each page when its turn has come.
    pub fn stream(self) -> impl Stream<Item = Result<T, ClientError>> {
        let begin = Reading { listing: self, ready: VecDeque::new(), next: Next::First };
        stream::try_unfold(begin, async |mut reading| {
            while reading.ready.is_empty() {
                let after = match &reading.next {
                    Next::First => None,
                    Next::After(cursor) => Some(cursor.as_str()),
                    Next::End => return Ok(None),
                };
                let page = reading.listing.page(PAGE_ITEMS, after).await?;
                reading.ready = page.items.into();
                reading.next = page.next.map_or(Next::End, Next::After);
            }
            Ok(reading.ready.pop_front().map(|item| (item, reading)))
        })
    }
}

struct Reading<T> {
    listing: Listing<T>,
    ready: VecDeque<T>,
    next: Next,
}

enum Next {
    First,
    After(String),
    End,
}
