//! Search: data by words, place, time and fields, found with the visitor's eyes.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::{Fault as _, Kind};
use crate::model::condition::{Condition, Relation};
use crate::model::did::Did;
use crate::model::period::Period;
use crate::model::shell::quoted;
use crate::search::query::{Bounds, Cursor, Filter, Interval, Query, Test};
use crate::search::value::Value as Known;
use crate::service::error::ServiceError;
use crate::service::search::{self, Found, Item};
use crate::service::{Context, Reader};
use crate::web::frame::{Frame, page};
use crate::web::oops::Oops;
use crate::web::show;
use crate::web::visitor::{Asked, Visitor};

/// How many results a page shows.
const SHOWN: usize = 20;

/// What is looked for, as it was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    text: String,
    bbox: String,
    from: String,
    to: String,
    fields: String,
    after: Option<String>,
}

/// A result, as its row shows it.
struct Row {
    did: Did,
    title: Option<String>,
    collection: String,
    time: String,
    place: String,
    bytes: Option<u64>,
    length: Option<u64>,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    wish: Wish,
    refused: Option<String>,
    results: Vec<Row>,
    matched: Option<u64>,
    is_first: bool,
    next: Option<String>,
}

impl SearchPage {
    fn base(&self) -> String {
        let Wish { text, bbox, from, to, fields, .. } = &self.wish;
        let pairs = [("text", text), ("bbox", bbox), ("from", from), ("to", to), ("fields", fields)];
        let said = pairs.iter().filter(|(_, value)| !value.is_empty());
        let said: Vec<String> = said.map(|(key, value)| format!("{key}={}&", show::query(value))).collect();
        format!("/search?{}", said.concat())
    }
}

impl Wish {
    /// The time from the two ends; `None` if neither is said.
    fn period(&self) -> Option<String> {
        let (from, to) = (self.from.trim(), self.to.trim());
        let end = |end: &str| if end.is_empty() { "..".to_owned() } else { end.to_owned() };
        (!from.is_empty() || !to.is_empty()).then(|| format!("{}/{}", end(from), end(to)))
    }

    fn conditions(&self) -> impl Iterator<Item = &str> {
        self.fields.split(',').map(str::trim).filter(|one| !one.is_empty())
    }

    fn query(&self) -> Result<Query, ServiceError> {
        let datetime = match self.period() {
            None => Interval::default(),
            Some(text) => {
                let Period { from_ms, to_ms } = text.parse::<Period>().map_err(invalid)?;
                Interval { from: from_ms, to: to_ms }
            }
        };
        let mut filters = Vec::new();
        for one in self.conditions() {
            filters.push(filter(one.parse::<Condition>().map_err(invalid)?));
        }
        let bbox = Some(self.bbox.trim()).filter(|text| !text.is_empty());
        let text = Some(self.text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Query {
            bbox: bbox.map(str::parse::<Bounds>).transpose()?,
            datetime,
            filters,
            text: text.into_iter().collect(),
            after: self.after.as_deref().map(Cursor::decode).transpose()?,
            limit: SHOWN,
            ..Query::default()
        })
    }

    /// The same at the command line.
    fn command(&self) -> String {
        let mut words = vec!["dapple search".to_owned()];
        let text = self.text.trim();
        words.extend((!text.is_empty()).then(|| quoted(text)));
        let bbox = self.bbox.trim();
        words.extend((!bbox.is_empty()).then(|| format!("--bbox {}", quoted(bbox))));
        words.extend(self.period().map(|period| format!("--datetime {}", quoted(&period))));
        words.extend(self.conditions().map(|one| format!("--filter {}", quoted(one))));
        words.join(" ")
    }
}

fn invalid(error: impl ToString) -> ServiceError {
    ServiceError::invalid("invalid-search", error)
}

fn filter(condition: Condition) -> Filter {
    let value = Known::from_json(&condition.value).expect("conditions have numbers, texts and truth values");
    let test = match condition.relation {
        Relation::Is => Test::Is(value),
        Relation::IsNot => Test::IsNot(value),
        Relation::Less => Test::Less(value),
        Relation::AtMost => Test::AtMost(value),
        Relation::Greater => Test::Greater(value),
        Relation::AtLeast => Test::AtLeast(value),
    };
    Filter { field: condition.field, test }
}

pub(super) async fn find(Visitor(ctx): Visitor, Asked(wish): Asked<Wish>) -> Result<Response, Oops> {
    let found = look(&ctx, &wish).await;
    let refused = match &found {
        Err(error) if error.kind() == Kind::Invalid => Some(sentences(error)),
        _ => None,
    };
    let found = match found {
        Err(_) if refused.is_some() => Found { items: Vec::new(), next: None, matched: None },
        found => found?,
    };
    let status = if refused.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let frame = Frame::of(&ctx, "search", "Search").commands([wish.command()]);
    let is_first = wish.after.is_none();
    let results = found.items.into_iter().map(result).collect::<Result<Vec<_>, _>>()?;
    let drawn = SearchPage { frame, wish, refused, results, matched: found.matched, is_first, next: found.next };
    let mut response = page(&drawn);
    *response.status_mut() = status;
    Ok(response)
}

async fn look(ctx: &Context, wish: &Wish) -> Result<Found, ServiceError> {
    let query = wish.query()?;
    let reader = Reader::Known(Box::new(ctx.clone()));
    search::search(&reader, &search::eyes(&reader).await?, query, false).await
}

/// What is wrong, and what to do.
fn sentences(error: &ServiceError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}: {hint}"),
        None => error.to_string(),
    }
}

fn result(item: Item) -> Result<Row, ServiceError> {
    let Item { did, collection, text, length, bytes, .. } = item;
    let json = text.read()?;
    let said = |key: &str| json.get("properties").and_then(|all| all.get(key)).and_then(Value::as_str);
    let day = |key: &str| said(key).map(|at| at.strip_suffix("T00:00:00Z").unwrap_or(at));
    let time = match (day("start_datetime"), day("end_datetime")) {
        (Some(start), Some(end)) => format!("{start} – {end}"),
        _ => day("datetime").unwrap_or_default().to_owned(),
    };
    let sides = json.get("bbox").and_then(Value::as_array);
    let sides: Vec<String> = sides.into_iter().flatten().map(ToString::to_string).collect();
    let sides: Vec<&str> = sides.iter().map(|side| side.strip_suffix(".0").unwrap_or(side)).collect();
    let title = said("title").map(str::to_owned);
    Ok(Row { title, time, place: sides.join(", "), did, collection, bytes, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_asks_what_the_command_line_asks() {
        let text = |text: &str| text.to_owned();
        let wish = Wish {
            text: text(" sea ice "),
            bbox: text("-10,36,4,44"),
            from: text("2024-02"),
            to: String::new(),
            fields: text("synthetic=true, n<=3"),
            after: None,
        };
        let command = "dapple search 'sea ice' --bbox '-10,36,4,44' --datetime '2024-02/..' \
                       --filter 'synthetic=true' --filter 'n<=3'";
        assert_eq!(wish.command(), command);
        let quotes = Wish { text: text("it's `x`"), ..Wish::default() };
        assert_eq!(quotes.command(), r"dapple search 'it'\''s `x`'");
        let query = wish.query().expect("good");
        assert_eq!(query.datetime, Interval { from: Some(1_706_745_600_000), to: None });
        assert_eq!(query.filters[1], Filter { field: text("n"), test: Test::AtMost(Known::Number(3.0)) });
        assert_eq!((query.text, query.bbox.map(|sides| sides.west)), (vec![text("sea ice")], Some(-10.0)));
        let everything = Wish::default();
        assert_eq!(everything.command(), "dapple search");
        for bad in [
            Wish { bbox: text("1,2,3"), ..Wish::default() },
            Wish { from: text("soon"), ..Wish::default() },
            Wish { from: text("2025"), to: text("2024"), ..Wish::default() },
            Wish { fields: text("n"), ..Wish::default() },
            Wish { after: Some(text("x")), ..Wish::default() },
        ] {
            assert!(bad.query().is_err(), "{bad:?}");
        }
    }
}
