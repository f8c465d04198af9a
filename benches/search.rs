//! What pages of the search index cost, beside stac-fastapi-pgstac: `cargo bench --bench search`,
//! or with another number of items behind `--`. In one process, on a scratch directory: items are
//! put in, a tenth of them again, then boxes and times of all sizes are asked for. Prints a table
//! and, as the last line, one JSON object.
//!
//! The peer, stac-fastapi-pgstac 7.2 on pgstac 0.10, was measured elsewhere with 200,000 items: 57 ms
//! of processor time for a page of 100, transport included, which is left out here; 2,870 items
//! put in per second.

#![expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]

use std::time::Duration;

use dapple::search::document::Document;
use dapple::search::index::Index;
use dapple::search::query::{Access, Bounds, Direction, Filter, Interval, Query, Sort, Test};
use dapple::search::value::Value;
use geo::{Geometry, LineString, Polygon};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// How many items, if nobody says.
const ITEMS: u64 = 1_000_000;
/// How many are put in together.
const BATCH: u64 = 5_000;
/// How many questions of each kind.
const QUESTIONS: usize = 500;
/// The times that items have.
const FROM: i64 = 1_640_995_200_000;
const DAY: i64 = 86_400_000;
const DAYS: i64 = 3 * 365;
const PEER_PAGE_MS: f64 = 57.4;
const PEER_INGEST: f64 = 2_870.0;

/// A sequence of numbers that is the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * ((self.next() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Two of three places lie close together, as they do in archives.
    fn place(&mut self) -> (f64, f64) {
        if self.below(3) > 0 {
            (self.between(-10.0, 40.0), self.between(35.0, 60.0))
        } else {
            (self.between(-178.0, 177.0), self.between(-80.0, 80.0))
        }
    }

    fn time(&mut self) -> i64 {
        FROM + i64::try_from(self.below((DAYS * DAY).cast_unsigned())).expect("a time")
    }
}

const WORDS: [&str; 10] =
    ["amazon", "burnt", "coast", "delta", "estuary", "forest", "glacier", "harbour", "island", "jungle"];

/// A made-up scene, 2.3 kB of JSON without links and assets.
fn item(dice: &mut Dice, key: u64) -> Document {
    let (x, y) = dice.place();
    let (turn, side) = (dice.between(0.0, 0.3), dice.between(0.5, 1.1));
    let ring =
        vec![(x, y + turn), (x + side, y), (x + side + turn, y + side), (x + turn, y + side + turn), (x, y + turn)];
    let start = dice.time();
    let collection = dice.below(20);
    let letter = |number: u64| char::from(b'A' + u8::try_from(number).expect("a letter"));
    let square = format!("{}{}", letter(dice.below(26)), letter(dice.below(26)));
    let orbit = if dice.below(2) == 0 { "ascending" } else { "descending" };
    let platform = format!("sentinel-2{}", char::from(b'a' + u8::try_from(key % 3).expect("a letter")));
    let properties = json!({
        "eo:cloud_cover": dice.between(0.0, 100.0).round(), "platform": platform,
        "constellation": "sentinel-2", "instruments": ["msi"], "proj:code": format!("EPSG:326{:02}", 1 + dice.below(60)),
        "mgrs:utm_zone": 1 + dice.below(60), "mgrs:grid_square": square,
        "s2:processing_baseline": format!("05.{:02}", dice.below(12)), "s2:snow_ice_percentage": dice.between(0.0, 100.0),
        "s2:water_percentage": dice.between(0.0, 100.0), "s2:nodata_pixel_percentage": dice.between(0.0, 100.0),
        "view:sun_azimuth": dice.between(0.0, 360.0), "view:sun_elevation": dice.between(0.0, 90.0),
        "created": "2024-01-01T00:00:00Z", "updated": "2024-01-02T00:00:00Z",
        "sat:orbit_state": orbit, "sat:relative_orbit": 1 + dice.below(143),
    });
    let bands: Vec<_> = (1..13)
        .map(|band| json!({ "name": format!("B{band:02}"), "eo:common_name": "nir", "eo:center_wavelength": 0.4 + 0.05 * f64::from(band), "raster:scale": 0.0001, "raster:offset": -0.1 }))
        .collect();
    let (id, collection_id) = (format!("S2_{key:09}"), format!("coll-{collection}"));
    let coordinates: Vec<_> = ring.iter().map(|(x, y)| json!([x, y])).collect();
    let json = json!({
        "type": "Feature", "stac_version": "1.1.0", "id": id, "collection": collection_id, "properties": properties, "bands": bands,
        "geometry": { "type": "Polygon", "coordinates": [coordinates] },
    });
    let mut word = || WORDS[usize::try_from(dice.below(10)).expect("below ten")];
    let text = format!("{} {} {}", word(), word(), word());
    let serde_json::Value::Object(fields) = properties else { unreachable!("it is an object") };
    Document {
        key,
        collection,
        collection_id,
        id,
        access: u32::try_from(key % 7).expect("below 7"),
        start,
        end: start,
        geometry: Some(Geometry::Polygon(Polygon::new(LineString::from(ring), Vec::new()))),
        fields,
        text,
        json: serde_json::to_vec(&json).expect("plain data"),
    }
}

/// Boxes and times of all sizes.
fn questions() -> impl Iterator<Item = Query> {
    let mut dice = Dice(99);
    (0..QUESTIONS).map(move |_| {
        let (west, south) = dice.place();
        let width = 0.5 * 80f64.powf(dice.between(0.0, 1.0));
        let bounds = Bounds { west, south, east: (west + width).min(180.0), north: (south + 0.6 * width).min(90.0) };
        #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds will do")]
        let span = (10.0 * 36f64.powf(dice.between(0.0, 1.0)) * DAY as f64) as i64;
        let from = dice.time();
        let datetime = Interval { from: Some(from), to: Some(from + span) };
        Query { bbox: Some(bounds), datetime, limit: 100, ..Query::default() }
    })
}

/// Seconds that this process or this thread has computed.
fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).expect("time passes");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a thousand million")).as_secs_f64()
}

/// Milliseconds of one kind of question, sorted.
struct Figures {
    what: &'static str,
    millis: Vec<f64>,
    hits: usize,
}

impl Figures {
    fn measure(what: &'static str, queries: impl Fn() -> Vec<Query>, ask: impl Fn(&Query) -> usize) -> Self {
        let (mut millis, mut hits) = (Vec::new(), 0);
        // The first round warms the caches.
        for _ in 0..2 {
            (millis, hits) = (Vec::new(), 0);
            for query in queries() {
                let before = cpu(ClockId::ThreadCPUTime);
                hits += ask(&query);
                millis.push((cpu(ClockId::ThreadCPUTime) - before) * 1e3);
            }
        }
        millis.sort_by(f64::total_cmp);
        let figures = Self { what, millis, hits };
        println!(
            "{:<40} {:>8.3} {:>8.3} {:>8.3} {:>8.3} {:>9.0} {:>8.0}x {:>8.1}",
            what,
            figures.part(0.5),
            figures.part(0.9),
            figures.part(0.99),
            figures.mean(),
            1e3 / figures.mean(),
            PEER_PAGE_MS / figures.mean(),
            figures.hits as f64 / figures.millis.len() as f64,
        );
        figures
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    fn part(&self, part: f64) -> f64 {
        self.millis[((self.millis.len() as f64 * part) as usize).min(self.millis.len() - 1)]
    }

    fn mean(&self) -> f64 {
        self.millis.iter().sum::<f64>() / self.millis.len() as f64
    }

    fn json(&self) -> serde_json::Value {
        json!({ "p50_ms": self.part(0.5), "p90_ms": self.part(0.9), "p99_ms": self.part(0.99), "mean_ms": self.mean() })
    }
}

/// Puts items in, and answers with how many per CPU second.
fn fill(index: &Index, items: u64) -> f64 {
    let mut dice = Dice(7);
    let mut computed = 0.0;
    let again = (0..items / 10).map(|number| number * 7919 % items);
    let keys: Vec<u64> = (0..items).chain(again).collect();
    for (batch, keys) in (1..).zip(keys.chunks(usize::try_from(BATCH).expect("small"))) {
        let documents: Vec<Document> = keys.iter().map(|key| item(&mut dice, *key)).collect();
        let before = cpu(ClockId::ProcessCPUTime);
        index.apply(documents, Vec::new(), batch).expect("applied");
        while index.tend().expect("tended") {}
        computed += cpu(ClockId::ProcessCPUTime) - before;
    }
    keys.len() as f64 / computed
}

fn main() {
    let items = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(ITEMS);
    let directory = tempfile::tempdir().expect("a scratch directory");
    let index = Index::open(directory.path()).expect("an index");
    let ingest = fill(&index, items);
    let stats = index.stats();
    println!(
        "{} items in {} segments, {} unwritten, {} MB",
        stats.documents,
        stats.segments,
        stats.unwritten,
        stats.bytes >> 20
    );
    println!("put in: {ingest:.0} items per CPU second, {:.1} times the peer's", ingest / PEER_INGEST);
    index.close().expect("closed");
    let before = cpu(ClockId::ProcessCPUTime);
    let index = Index::open(directory.path()).expect("an index");
    println!("opened in {:.2} CPU seconds", cpu(ClockId::ProcessCPUTime) - before);
    println!(
        "{:<40} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "CPU ms", "p50", "p90", "p99", "mean", "per CPU s", "ratio", "hits"
    );
    let access = Access::all();
    let page = |query: &Query| index.search(query, &access).expect("a page").hits.len();
    let plain = || questions().collect::<Vec<_>>();
    let with = |change: &dyn Fn(&mut Query)| {
        let mut all: Vec<Query> = questions().collect();
        all.iter_mut().for_each(change);
        all
    };
    let cloud = || "eo:cloud_cover".to_owned();
    let by_cloud = Sort { field: cloud(), direction: Direction::Ascending };
    let clear = Filter { field: cloud(), test: Test::Less(Value::Number(10.0)) };
    let figures = [
        Figures::measure("box and time, newest first", plain, page),
        Figures::measure("box and time, by cloud cover", || with(&|query| query.sort = vec![by_cloud.clone()]), page),
        Figures::measure("and cloud cover below 10", || with(&|query| query.filters = vec![clear.clone()]), page),
        Figures::measure("box alone", || with(&|query| query.datetime = Interval::default()), page),
        Figures::measure(
            "all, by cloud cover",
            || vec![Query { sort: vec![by_cloud.clone()], limit: 100, ..Query::default() }; 20],
            page,
        ),
        Figures::measure(
            "two words, newest first",
            || with(&|query| (query.bbox, query.text) = (None, vec!["glacier island".to_owned()])),
            page,
        ),
        Figures::measure("for one access number of seven", plain, |query| {
            index.search(query, &Access::only([3])).expect("a page").hits.len()
        }),
        Figures::measure("count", plain, |query| usize::from(index.count(query, &access).expect("a count").is_some())),
    ];
    let mut all: serde_json::Map<String, serde_json::Value> =
        figures.iter().map(|figures| (figures.what.to_owned(), figures.json())).collect();
    all.insert("items".to_owned(), items.into());
    all.insert("items_per_cpu_second".to_owned(), ingest.into());
    println!("{}", serde_json::Value::Object(all));
}
