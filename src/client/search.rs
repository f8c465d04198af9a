//! Looking for data through the lake's STAC API.

use std::collections::VecDeque;

use futures::{Stream, stream};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::Client;
use crate::client::error::ClientError;
use crate::client::request::{Again, Call};
use crate::model::condition::{self, Condition, InvalidCondition};
use crate::model::period::Period;

/// Items asked for at once.
const PAGE_ITEMS: usize = 1_000;

/// What is looked for. What is empty says nothing.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Has all words of one of these.
    pub text: Vec<String>,
    /// Touches the box of these sides: west, south, east, north.
    pub bbox: Option<[f64; 4]>,
    /// Overlaps this time.
    pub datetime: Option<Period>,
    /// Has fields like these.
    pub conditions: Vec<Condition>,
    /// Is in one of these collections, by id.
    pub collections: Vec<String>,
    /// Fields to sort by, with `-` before those whose greatest comes first.
    pub sort: Vec<String>,
    /// How many at most; all if it is not said.
    pub limit: Option<usize>,
    /// Whether URLs of files are to be signed.
    pub sign: bool,
}

impl Search {
    /// The body that asks for it.
    pub fn body(&self) -> Result<Value, InvalidCondition> {
        let mut body = Map::new();
        let mut say = |key: &str, is_said: bool, value: Value| {
            if is_said {
                body.insert(key.to_owned(), value);
            }
        };
        say("q", !self.text.is_empty(), json!(self.text));
        say("bbox", self.bbox.is_some(), json!(self.bbox));
        say("datetime", self.datetime.is_some(), json!(self.datetime.map(|period| period.to_string())));
        say("query", !self.conditions.is_empty(), condition::to_query(&self.conditions)?);
        say("collections", !self.collections.is_empty(), json!(self.collections));
        say("sortby", !self.sort.is_empty(), json!(self.sort));
        say("limit", true, json!(self.limit.unwrap_or(PAGE_ITEMS).min(PAGE_ITEMS)));
        say("sign", self.sign, json!(true));
        Ok(body.into())
    }
}

/// An item that was found, as STAC has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FoundItem(pub Map<String, Value>);

#[derive(Deserialize)]
struct FoundPage {
    features: Vec<FoundItem>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
    body: Option<Value>,
}

impl Client {
    /// Finds items; each page is asked for when its turn has come.
    pub fn search(&self, body: Value, limit: Option<usize>) -> impl Stream<Item = Result<FoundItem, ClientError>> {
        let begin = Finding { client: self.clone(), ready: VecDeque::new(), next: Some(body), left: limit };
        stream::try_unfold(begin, async |mut finding| {
            if finding.left == Some(0) {
                return Ok(None);
            }
            while finding.ready.is_empty() {
                let Some(body) = finding.next.take() else { return Ok(None) };
                let page = finding.client.search_page(&body).await?;
                finding.ready = page.features.into();
                finding.next = page.links.into_iter().find(|link| link.rel == "next").and_then(|link| link.body);
            }
            finding.left = finding.left.map(|left| left - 1);
            Ok(finding.ready.pop_front().map(|item| (item, finding)))
        })
    }

    async fn search_page(&self, body: &Value) -> Result<FoundPage, ClientError> {
        // A link's address may be one that only others reach; its body is what matters.
        let url = format!("{}/stac/search", self.base);
        self.call(&Call::new(Method::POST, url, Again::Always).json(body)).await
    }
}

struct Finding {
    client: Client,
    ready: VecDeque<FoundItem>,
    next: Option<Value>,
    left: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_is_looked_for_and_nothing_else() {
        assert_eq!(Search::default().body().expect("good"), json!({ "limit": 1_000 }));
        let search = Search {
            text: vec!["sea ice".to_owned()],
            bbox: Some([-10.0, 35.0, 5.0, 44.5]),
            datetime: Some("2024-01/2024-02".parse().expect("a period")),
            conditions: vec!["n<=3".parse().expect("a condition")],
            collections: vec!["s--sea".to_owned()],
            sort: vec!["-datetime".to_owned()],
            limit: Some(5),
            sign: true,
        };
        let body = json!({
            "q": ["sea ice"], "bbox": [-10.0, 35.0, 5.0, 44.5],
            "datetime": "2024-01-01T00:00:00Z/2024-02-29T23:59:59.999Z", "query": { "n": { "lte": 3 } },
            "collections": ["s--sea"], "sortby": ["-datetime"], "limit": 5, "sign": true,
        });
        assert_eq!(search.body().expect("good"), body);
    }
}
