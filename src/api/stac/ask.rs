//! Reads what is asked for: the parameters of a query, or a body. Both come to the same; lists may be
//! texts with commas in either, as clients send them so.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::model::metadata::moment;
use crate::search::geojson;
use crate::search::query::{Bounds, Cursor, Direction, Filter, Interval, Query, SORTS_MAX, Sort, Test, Values};
use crate::search::value::Value as Known;
use crate::service::error::ServiceError;

/// How many items a page has when nobody says, and the most it has.
const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 1_000;
/// How many collections a page has when nobody says.
pub(super) const COLLECTIONS_DEFAULT: usize = 100;
/// How many files a page has when nobody says.
pub(super) const FILES_DEFAULT: usize = 100;
/// The most ids, collections, words or values of one list.
const LIST_MAX: usize = 1_000;
/// The most fields that are asked about.
const FILTERS_MAX: usize = 50;

/// Parameters of a search.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// `west,south,east,north` in degrees.
    bbox: Option<String>,
    /// A GeoJSON geometry.
    intersects: Option<String>,
    /// A time, or two divided by `/`, of which one may be `..`.
    datetime: Option<String>,
    /// Ids of items, divided by commas.
    ids: Option<String>,
    /// Ids of collections, divided by commas.
    collections: Option<String>,
    /// The most items of a page.
    limit: Option<String>,
    /// Fields, divided by commas, each with `+` or `-` before it.
    sortby: Option<String>,
    /// Conditions on fields as JSON: `{"eo:cloud_cover": {"lt": 10}}`.
    query: Option<String>,
    /// Words, divided by commas: any of them.
    q: Option<String>,
    /// Where to go on, from a link of the page before.
    token: Option<String>,
    /// `1` for signed URLs.
    sign: Option<String>,
}

/// Parameters of one item.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ItemQuery {
    /// `1` for signed URLs.
    pub(super) sign: Option<String>,
}

/// Parameters beside a body, which wins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BesideQuery {
    /// `1` for signed URLs.
    sign: Option<String>,
}

/// Parameters of an item's files.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FilesQuery {
    /// The most files of a page.
    pub(super) limit: Option<String>,
    /// Where to go on, from a link of the page before.
    pub(super) token: Option<String>,
    /// `1` for signed URLs.
    pub(super) sign: Option<String>,
}

/// Parameters of the list of collections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CollectionsQuery {
    /// The most collections of a page.
    pub(super) limit: Option<String>,
    /// Where to go on, from a link of the page before.
    pub(super) token: Option<String>,
    /// Taken, as clients send it with everything, and of no effect here.
    #[expect(dead_code, reason = "there is nothing to sign")]
    sign: Option<String>,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// As the index takes it.
    pub(super) query: Query,
    /// Whether URLs are to be signed.
    pub(super) sign: bool,
}

impl Asked {
    /// What is asked of one collection. Some clients name it once more.
    pub(super) fn of_items(query: SearchQuery, collection: String) -> Result<Self, ServiceError> {
        let mut asked = Self::of_query(query)?;
        let named = &asked.query.collections;
        if !named.is_empty() && !named.contains(&collection) {
            return Err(wrong("collections", "these are the items of another one; ask `/stac/search` instead"));
        }
        asked.query.collections = vec![collection];
        Ok(asked)
    }

    pub(super) fn of_query(query: SearchQuery) -> Result<Self, ServiceError> {
        let mut all = Map::new();
        let texts = [
            ("datetime", query.datetime),
            ("ids", query.ids),
            ("collections", query.collections),
            ("limit", query.limit),
            ("sortby", query.sortby),
            ("q", query.q),
            ("token", query.token),
            ("sign", query.sign),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                all.insert(key.to_owned(), text.into());
            }
        }
        if let Some(text) = query.bbox {
            let number = |text: &str| text.trim().parse::<f64>().map(Value::from);
            let numbers: Result<Vec<Value>, _> = text.split(',').map(number).collect();
            all.insert("bbox".to_owned(), numbers.map_err(|_| wrong("bbox", "it has numbers alone"))?.into());
        }
        for (key, text) in [("intersects", query.intersects), ("query", query.query)] {
            if let Some(text) = text {
                let read = serde_json::from_str(&text);
                all.insert(key.to_owned(), read.map_err(|error| wrong(key, &format!("it is no JSON: {error}")))?);
            }
        }
        Self::read(&all)
    }

    pub(super) fn of_body(body: &Value, beside: BesideQuery) -> Result<Self, ServiceError> {
        let asked = Self::read(body.as_object().ok_or_else(|| invalid("the body is not a JSON object"))?)?;
        let sign = if body.get("sign").is_some() { asked.sign } else { sign(beside.sign.as_deref())? };
        Ok(Self { sign, ..asked })
    }

    fn read(all: &Map<String, Value>) -> Result<Self, ServiceError> {
        let mut query = Query { limit: LIMIT_DEFAULT, ..Query::default() };
        let mut is_signed = false;
        for (key, value) in all.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "bbox" => query.bbox = Some(Bounds::parse(&numbers(value)?)?),
                "intersects" => query.intersects = Some(geojson::question(value)?),
                "datetime" => query.datetime = interval(value.as_str().ok_or_else(|| wrong(key, "it is no text"))?)?,
                "ids" => query.ids = texts(key, value)?,
                "collections" => query.collections = texts(key, value)?,
                "limit" => query.limit = limit(Some(&plain(value)), LIMIT_DEFAULT)?,
                "sortby" => query.sort = sorts(value)?,
                "query" => query.filters = filters(value)?,
                "q" => query.text = texts(key, value)?,
                "token" => query.after = Some(Cursor::decode(value.as_str().unwrap_or_default())?),
                "sign" => is_signed = sign(Some(&plain(value)))?,
                other => {
                    let known = "bbox, intersects, datetime, ids, collections, limit, sortby, query, q, token and sign";
                    return Err(invalid(format!("`{other}` is not known; there are {known}")));
                }
            }
        }
        if query.bbox.is_some() && query.intersects.is_some() {
            return Err(invalid("`bbox` and `intersects` cannot be asked for together; leave one of them out"));
        }
        Ok(Self { query, sign: is_signed })
    }
}

fn invalid(detail: impl ToString) -> ServiceError {
    ServiceError::invalid("invalid-search", detail)
}

fn wrong(key: &str, what: &str) -> ServiceError {
    invalid(format!("`{key}`: {what}"))
}

/// A text, or a number or truth value as one.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many are wanted: fewer than one cannot be, and of too many as many as there may be.
pub(super) fn limit(text: Option<&str>, default: usize) -> Result<usize, ServiceError> {
    let Some(text) = text else { return Ok(default) };
    match text.parse::<i64>() {
        Ok(limit) if limit > 0 => Ok(usize::try_from(limit).unwrap_or(LIMIT_MAX).min(LIMIT_MAX)),
        _ => Err(wrong("limit", "write a number from 1 on")),
    }
}

/// Whether URLs are to be signed.
pub(super) fn sign(text: Option<&str>) -> Result<bool, ServiceError> {
    match text {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(wrong("sign", "write 1 or 0")),
    }
}

fn numbers(value: &Value) -> Result<Vec<f64>, ServiceError> {
    let numbers: Option<Vec<f64>> = value.as_array().into_iter().flatten().map(Value::as_f64).collect();
    numbers.ok_or_else(|| wrong("bbox", "it has numbers alone"))
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, ServiceError> {
    let texts: Option<Vec<String>> = list(key, value)?.iter().map(|one| one.as_str().map(str::to_owned)).collect();
    let texts = texts.ok_or_else(|| wrong(key, "it is a list of texts"))?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// A list; a text with commas is one.
fn list(key: &str, value: &Value) -> Result<Vec<Value>, ServiceError> {
    let list: Vec<Value> = match value {
        Value::Array(list) => list.clone(),
        Value::String(text) => text.split(',').map(|part| part.trim().into()).collect(),
        _ => return Err(wrong(key, "it is a list")),
    };
    if list.len() > LIST_MAX {
        return Err(wrong(key, &format!("it has more than {LIST_MAX} entries")));
    }
    Ok(list)
}

/// Reads a time, or two of which one may be open.
fn interval(text: &str) -> Result<Interval, ServiceError> {
    // A plus that was not escaped in a URL arrives as a space.
    let text = text.replace(' ', "+");
    let what = "write a time such as 2026-11-21T08:30:00Z, or two with a `/` between, of which one may be `..`";
    let time = |text: &str| moment::parse(text).ok_or_else(|| wrong("datetime", what));
    let end = |text: &str| if text.is_empty() || text == ".." { Ok(None) } else { time(text).map(Some) };
    let Some((from, to)) = text.split_once('/') else {
        let at = time(&text)?;
        return Ok(Interval { from: Some(at), to: Some(at) });
    };
    match (end(from)?, end(to)?) {
        (None, None) => Err(wrong("datetime", what)),
        (Some(from), Some(to)) if from > to => Err(wrong("datetime", "it ends before it begins")),
        (from, to) => Ok(Interval { from, to }),
    }
}

/// Reads `-datetime,+id`, or a list of `{"field": ..., "direction": ...}`.
fn sorts(value: &Value) -> Result<Vec<Sort>, ServiceError> {
    let what = "write `-datetime,+id`, or a list of {\"field\": \"id\", \"direction\": \"asc\"}";
    let asked = list("sortby", value)?;
    if asked.len() > SORTS_MAX {
        return Err(wrong("sortby", &format!("it has more than {SORTS_MAX} fields")));
    }
    asked
        .iter()
        .map(|one| {
            let (field, direction) = match one {
                Value::String(text) => match text.strip_prefix('-') {
                    Some(field) => (field, Direction::Descending),
                    None => (text.strip_prefix('+').unwrap_or(text).trim(), Direction::Ascending),
                },
                Value::Object(said) => {
                    let direction = match said.get("direction").map(|direction| direction.as_str().unwrap_or_default())
                    {
                        None | Some("asc") => Direction::Ascending,
                        Some("desc") => Direction::Descending,
                        Some(_) => return Err(wrong("sortby", what)),
                    };
                    (said.get("field").and_then(Value::as_str).unwrap_or_default(), direction)
                }
                _ => return Err(wrong("sortby", what)),
            };
            if field.is_empty() { Err(wrong("sortby", what)) } else { Ok(Sort { field: field.to_owned(), direction }) }
        })
        .collect()
}

/// Reads `{"field": {"lt": 10}}`.
fn filters(value: &Value) -> Result<Vec<Filter>, ServiceError> {
    let what = "write {\"field\": {\"lt\": 10}}, with eq, neq, lt, lte, gt, gte, in, startsWith, endsWith or contains";
    let fields = value.as_object().ok_or_else(|| wrong("query", what))?;
    let mut filters = Vec::new();
    for (field, tests) in fields {
        for (test, value) in tests.as_object().ok_or_else(|| wrong("query", what))? {
            let text = || {
                let text = value.as_str().map(str::to_owned);
                text.ok_or_else(|| wrong("query", &format!("`{test}` takes a text")))
            };
            let known = || Known::from_json(value).ok_or_else(|| wrong("query", "values are texts, numbers or truths"));
            let mut add = |test| filters.push(Filter { field: field.clone(), test });
            match test.as_str() {
                "eq" => add(Test::Is(known()?)),
                "neq" => add(Test::IsNot(known()?)),
                "lt" => add(Test::Less(known()?)),
                "lte" => add(Test::AtMost(known()?)),
                "gt" => add(Test::Greater(known()?)),
                "gte" => add(Test::AtLeast(known()?)),
                "in" => {
                    let values = list("query", value)?;
                    let known: Option<Values> = values.iter().map(Known::from_json).collect();
                    add(Test::OneOf(known.ok_or_else(|| wrong("query", "values are texts, numbers or truths"))?));
                }
                "startsWith" => {
                    let start = text()?;
                    // No letter comes behind the last one there is.
                    add(Test::Less(Known::Text(format!("{start}{}", char::MAX))));
                    add(Test::AtLeast(Known::Text(start)));
                }
                "endsWith" => add(Test::EndsWith(text()?)),
                "contains" => add(Test::Contains(text()?)),
                other => return Err(wrong("query", &format!("`{other}` cannot be asked; {what}"))),
            }
        }
    }
    if filters.len() > FILTERS_MAX {
        return Err(wrong("query", &format!("it has more than {FILTERS_MAX} conditions")));
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_has_them() {
        for text in [
            "1985-04-12T23:20:50.52Z",
            "1985-04-12t23:20:50.000z",
            "1996-12-19T16:39:57 08:00",
            "../1985-04-12T23:20:50.52Z",
            "1985-04-12T23:20:50.52Z/",
        ] {
            assert!(interval(text).is_ok(), "{text}");
        }
        for text in [
            "/",
            "../..",
            "",
            "1985-04-12",
            "1985-12-12T23:20:50.52",
            "1985-04-12T23:20:50,52Z",
            "a/b/c",
            "1986-04-12T23:20:50.52Z/1985-04-12T23:20:50.52Z",
            "1985-04-12T23:20:50.52Z/../..",
        ] {
            assert!(interval(text).is_err(), "{text}");
        }
    }

    #[test]
    fn queries_and_bodies_come_to_the_same() {
        let text = |text: &str| Some(text.to_owned());
        let query = SearchQuery {
            bbox: text("1,2,3,4"),
            ids: text("a,b"),
            collections: text("c"),
            limit: text("20000"),
            sortby: text("-properties.datetime, id"),
            query: text("{\"n\": {\"gte\": 1, \"startsWith\": \"x\"}}"),
            q: text("sea ice,snow"),
            ..SearchQuery::default()
        };
        let one = Asked::of_query(query).expect("read").query;
        let body = json!({
            "bbox": [1, 2, 3, 4], "ids": ["a", "b"], "collections": "c", "limit": 1000,
            "sortby": [{"field": "properties.datetime", "direction": "desc"}, {"field": "id"}],
            "query": {"n": {"gte": 1, "startsWith": "x"}}, "q": ["sea ice", "snow"], "intersects": null,
        });
        let beside = || BesideQuery { sign: None };
        let other = Asked::of_body(&body, beside()).expect("read").query;
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
        assert_eq!((one.limit, one.sort.len(), one.filters.len()), (1_000, 2, 3));
        let point = json!({"type": "Point", "coordinates": [1, 2]});
        for bad in [
            json!([]),
            json!({"limit": 0}),
            json!({"limit": -1}),
            json!({"limit": "many"}),
            json!({"bbox": [1, 2, 3]}),
            json!({"bbox": ["a", 2, 3, 4]}),
            json!({"bbox": "1,2,3,4"}),
            json!({"bbox": [1, 2, 3, 4], "intersects": point}),
            json!({"colections": ["a"]}),
            json!({"ids": 7}),
            json!({"sortby": [{"direction": "asc"}]}),
            json!({"sortby": [{"field": "id", "direction": "up"}]}),
            json!({"query": {"n": {"like": "a"}}}),
            json!({"query": {"n": {"contains": 1}}}),
            json!({"query": {"n": {"eq": {}}}}),
            json!({"token": "x"}),
            json!({"sortby": "a,b,c,d,e"}),
            json!({"sign": "please"}),
        ] {
            assert!(Asked::of_body(&bad, beside()).is_err(), "{bad}");
        }
    }
}
