//! `dapple search`: data by words, place, time and fields. No key is needed for what is public.

use clap::Args;
use serde_json::Value;

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::screen::{Format, Row, Style};
use crate::client::{FoundItem, Search};
use crate::fault::Fault as _;
use crate::model::condition::Condition;
use crate::model::did::Did;
use crate::model::period::Period;
use crate::model::stac_id;
use crate::search::error::SearchError;
use crate::search::query::Bounds;

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Words that title, description, keywords or name have, all of them
    #[arg(value_name = "TEXT")]
    words: Vec<String>,
    /// More words, all of which are there in place of the others; repeatable
    #[arg(long, value_name = "WORDS")]
    text: Vec<String>,
    /// What touches a box, in degrees; west of more than east crosses the antimeridian
    #[arg(long, value_name = "W,S,E,N", value_parser = sides, allow_hyphen_values = true)]
    bbox: Option<Bounds>,
    /// What overlaps a time, such as 2024-05, or FROM/TO, of which one may be `..`; days begin in UTC
    #[arg(long, value_name = "TIME")]
    datetime: Option<Period>,
    /// What has such a field; `!=`, `<`, `<=`, `>` and `>=` are there as well; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Condition>,
    /// What is in a collection, by its id or by the container's name; repeatable
    #[arg(long, value_name = "COLLECTION", value_parser = collection)]
    collection: Vec<String>,
    /// Sort by a field, with `-` before it for the greatest first; repeatable
    #[arg(long, value_name = "FIELD", value_delimiter = ',', allow_hyphen_values = true)]
    sort: Vec<String>,
    /// Stop after so many [default: all]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    limit: Option<usize>,
    /// Sign URLs of files for an hour, with `-o json` or `-o ndjson`
    #[arg(long)]
    sign: bool,
}

/// Reads the sides of a box.
fn sides(text: &str) -> Result<Bounds, String> {
    text.parse().map_err(|error: SearchError| match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

/// A collection's id, or the name of the container that is one.
fn collection(text: &str) -> Result<String, String> {
    if !text.contains(':') {
        return Ok(text.to_owned());
    }
    text.parse::<Did>().map(|did| stac_id::of_did(&did)).map_err(|error| error.to_string())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "write a number from 1 on".to_owned())
}

impl SearchArgs {
    fn into_search(self) -> Search {
        let words = Some(self.words.join(" ")).filter(|words| !words.is_empty());
        Search {
            text: words.into_iter().chain(self.text).collect(),
            bbox: self.bbox.map(|Bounds { west, south, east, north }| [west, south, east, north]),
            datetime: self.datetime,
            conditions: self.filter,
            collections: self.collection,
            sort: self.sort,
            limit: self.limit,
            sign: self.sign,
        }
    }
}

pub(crate) async fn run(session: &mut Session, args: SearchArgs) -> Result<(), Failure> {
    if args.sign && session.screen.format == Format::Table {
        return Err(Failure::Usage {
            detail: "`--sign` signs URLs, and a table shows none".to_owned(),
            hint: Some("add `-o json` or `-o ndjson`".to_owned()),
        });
    }
    let search = args.into_search();
    let body = search.body().map_err(|error| Failure::Usage {
        detail: error.to_string(),
        hint: Some("ask for a span with `--filter 'KEY>=LOW' --filter 'KEY<=HIGH'`".to_owned()),
    })?;
    session.screen.list(session.client.search(body, search.limit)).await
}

impl Row for FoundItem {
    const HEADERS: &'static [&'static str] = &["DID", "COLLECTION", "DATETIME", "BOX", "BYTES", "FILES"];

    fn cells(&self, style: Style) -> Vec<String> {
        let dash = || "-".to_owned();
        let properties = self.0.get("properties");
        let said = |key: &str| properties.and_then(|all| all.get(key));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map_or_else(dash, str::to_owned);
        let sum = |key: &str| said(key).and_then(Value::as_u64);
        vec![
            text(said("did")),
            text(self.0.get("collection")),
            time(&said, style.human),
            self.0.get("bbox").and_then(Value::as_array).map_or_else(dash, |sides| place(sides)),
            sum("did:bytes").map_or_else(dash, |bytes| style.bytes(bytes)),
            sum("did:length").map_or_else(dash, |files| files.to_string()),
        ]
    }
}

/// The time of an item, or its span; without the hours where a person reads it and they say nothing.
fn time<'a>(said: &impl Fn(&str) -> Option<&'a Value>, human: bool) -> String {
    let at = |key: &str| {
        let text = said(key)?.as_str()?;
        let bare = text.strip_suffix("T00:00:00Z").or_else(|| text.strip_suffix("T23:59:59Z"));
        Some(bare.filter(|_| human).unwrap_or(text).to_owned())
    };
    match (at("start_datetime"), at("end_datetime")) {
        (Some(start), Some(end)) => format!("{start}/{end}"),
        _ => at("datetime").unwrap_or_else(|| "-".to_owned()),
    }
}

/// The sides of a box, or a point.
fn place(sides: &[Value]) -> String {
    let all: Vec<String> = sides.iter().map(ToString::to_string).map(|side| bare(&side)).collect();
    match all.as_slice() {
        [west, south, east, north] if west == east && south == north => format!("{west},{south}"),
        all => all.join(","),
    }
}

/// A number without a fraction that is none.
fn bare(number: &str) -> String {
    number.strip_suffix(".0").unwrap_or(number).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn boxes_limits_and_collections_are_read_or_refused() {
        let iberia = Bounds { west: -10.0, south: 36.0, east: 4.5, north: 44.0 };
        assert_eq!(sides("-10, 36,4.5,44"), Ok(iberia));
        assert!(sides("170,-20,-170,0").is_ok(), "across the antimeridian");
        for bad in ["", "1,2,3", "1,2,3,4,5", "a,2,3,4", "0,5,1,4", "0,0,181,1", "0,-91,1,1", "NaN,0,1,1"] {
            assert!(sides(bad).is_err(), "{bad}");
        }
        assert_eq!(collection("climate:era5-demo"), Ok("climate--era5-demo".to_owned()));
        assert_eq!(collection("climate"), Ok("climate".to_owned()));
        assert!(collection(":x").is_err());
        assert_eq!((at_least_one("1"), at_least_one("0").is_err(), at_least_one("-1").is_err()), (Ok(1), true, true));
    }

    #[test]
    fn items_are_rows() {
        let item = json!({
            "id": "s--day", "collection": "s--sea", "bbox": [5.0, 45.5, 11.0, 48.0],
            "properties": {
                "did": "s:day", "datetime": null, "start_datetime": "2024-01-01T00:00:00Z",
                "end_datetime": "2024-01-31T23:59:59Z", "did:bytes": 2048, "did:length": 2
            },
        });
        let Value::Object(item) = item else { unreachable!("made above") };
        let now = Timestamp::from_millis(0);
        let cells = |human| FoundItem(item.clone()).cells(Style { human, now }).join(" ");
        assert_eq!(cells(true), "s:day s--sea 2024-01-01/2024-01-31 5,45.5,11,48 2.0 KiB 2");
        let exact = "s:day s--sea 2024-01-01T00:00:00Z/2024-01-31T23:59:59Z 5,45.5,11,48 2048 2";
        assert_eq!(cells(false), exact);
        let bare = FoundItem(serde_json::Map::new());
        assert_eq!(bare.cells(Style { human: true, now }).join(" "), "- - - - - -");
    }
}
