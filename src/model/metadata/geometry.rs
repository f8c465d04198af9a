//! The geometry of metadata: GeoJSON (RFC 7946) of any type, in degrees of WGS 84. Checked here, and
//! asked for its box; exact questions are the search index's work.

use serde_json::{Map, Value};

use crate::model::metadata::InvalidMetadata;

/// The most positions of one geometry.
pub const POSITIONS_MAX: usize = 10_000;

const HINT_TYPE: &str = "give one of Point, MultiPoint, LineString, MultiLineString, Polygon, MultiPolygon \
                         and GeometryCollection, with what it is made of";
const HINT_POSITION: &str = "a position is [longitude, latitude] in degrees, with a height if you like: \
                             longitude from -180 to 180, latitude from -90 to 90";
const HINT_RING: &str = "a ring has four positions or more, of which the last is the first again";
const HINT_EMPTY: &str = "give it positions, or write null for data without a place";

/// A box in degrees. One whose west is east of its east crosses the antimeridian.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundingBox {
    /// Its western longitude.
    pub west: f64,
    /// Its southern latitude.
    pub south: f64,
    /// Its eastern longitude.
    pub east: f64,
    /// Its northern latitude.
    pub north: f64,
}

/// One point, line or polygon of a geometry: the box around it.
pub(super) type Part = BoundingBox;

impl BoundingBox {
    fn grow(&mut self, other: Self) {
        *self = Self {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        };
    }

    /// The box around parts. Those of a geometry that was cut at the antimeridian, as RFC 7946 asks for,
    /// are put together across it.
    pub(super) fn around(parts: &[Part]) -> Option<Self> {
        let (first, rest) = parts.split_first()?;
        let mut all = *first;
        for part in rest {
            all.grow(*part);
        }
        if all.west > -180.0 || all.east < 180.0 || parts.iter().any(|part| part.west <= -180.0 && part.east >= 180.0) {
            return Some(all);
        }
        let mut spans: Vec<(f64, f64)> = parts.iter().map(|part| (part.west, part.east)).collect();
        spans.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (mut widest, mut reached) = (None::<(f64, f64)>, -180.0);
        for (west, east) in spans {
            if west > reached && widest.is_none_or(|(from, to)| west - reached > to - from) {
                widest = Some((reached, west));
            }
            reached = reached.max(east);
        }
        // The widest stretch with nothing in it is what the box leaves out.
        Some(widest.map_or(all, |(east, west)| Self { west, east, ..all }))
    }
}

/// Checks a geometry and gives the box of each of its parts; none for null.
pub(super) fn parts(geometry: &Value) -> Result<Vec<Part>, InvalidMetadata> {
    let mut reader = Reader { positions: 0, parts: Vec::new() };
    if !geometry.is_null() {
        reader.geometry(geometry, "", true)?;
    }
    Ok(reader.parts)
}

struct Reader {
    positions: usize,
    parts: Vec<Part>,
}

fn wrong<T>(place: &str, what: &str, hint: &str) -> Result<T, InvalidMetadata> {
    let what = if place.is_empty() { what.to_owned() } else { format!("{place}: {what}") };
    Err(InvalidMetadata::of("geometry", what, hint))
}

impl Reader {
    fn geometry(&mut self, geometry: &Value, place: &str, may_collect: bool) -> Result<(), InvalidMetadata> {
        let Some(object) = geometry.as_object() else { return wrong(place, "it is not an object", HINT_TYPE) };
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        let inside = if kind == "GeometryCollection" { "geometries" } else { "coordinates" };
        if let Some(key) = object.keys().find(|key| *key != "type" && *key != inside) {
            return foreign(place, kind, key);
        }
        let at = if place.is_empty() { kind.to_owned() } else { format!("{place} {kind}") };
        let depth = match kind {
            "Point" => 0,
            "MultiPoint" | "LineString" => 1,
            "MultiLineString" | "Polygon" => 2,
            "MultiPolygon" => 3,
            "GeometryCollection" if may_collect => return self.collection(object, &at),
            "GeometryCollection" => return wrong(place, "a collection is within another", "put all into one"),
            _ => return wrong(place, "its `type` is none of GeoJSON's", HINT_TYPE),
        };
        let Some(coordinates) = object.get("coordinates") else {
            return wrong(&at, "it has no `coordinates`", HINT_TYPE);
        };
        let shape = Shape { is_line: kind.ends_with("LineString"), is_polygon: kind.ends_with("Polygon") };
        self.coordinates(coordinates, depth, shape, &at)
    }

    fn collection(&mut self, object: &Map<String, Value>, place: &str) -> Result<(), InvalidMetadata> {
        let geometries = object.get("geometries").and_then(Value::as_array);
        let Some(geometries) = geometries.filter(|list| !list.is_empty()) else {
            return wrong(place, "it has no list of `geometries`", HINT_EMPTY);
        };
        for (number, geometry) in (1..).zip(geometries) {
            self.geometry(geometry, &format!("geometry {number}"), false)?;
        }
        Ok(())
    }

    /// Lists within lists, `depth` of them above the positions.
    fn coordinates(&mut self, value: &Value, depth: u8, shape: Shape, place: &str) -> Result<(), InvalidMetadata> {
        if depth == 0 {
            let part = self.position(value, place)?;
            self.parts.push(part);
            return Ok(());
        }
        if depth == 2 && shape.is_polygon {
            return self.polygon(value, place);
        }
        let list = list(value, place)?;
        if depth == 1 && shape.is_line {
            if list.len() < 2 {
                return wrong(place, "a line has less than two positions", "give its beginning and its end");
            }
            let part = self.run(list, place)?;
            self.parts.push(part);
            return Ok(());
        }
        for (number, below) in (1..).zip(list) {
            self.coordinates(below, depth - 1, shape, &format!("{place}, part {number}"))?;
        }
        Ok(())
    }

    fn polygon(&mut self, value: &Value, place: &str) -> Result<(), InvalidMetadata> {
        let mut outer = None;
        for (number, ring) in (1..).zip(list(value, place)?) {
            let place = format!("{place}, ring {number}");
            let ring = list(ring, &place)?;
            if ring.len() < 4 {
                return wrong(&place, "it has less than four positions", HINT_RING);
            }
            if !ring.first().zip(ring.last()).is_some_and(|(first, last)| same(first, last)) {
                return wrong(&place, "it is not closed", HINT_RING);
            }
            let around = self.run(ring, &place)?;
            // What follows the first ring are holes in it.
            outer.get_or_insert(around);
        }
        self.parts.extend(outer);
        Ok(())
    }

    /// The box around positions, of which there is one at least.
    fn run(&mut self, positions: &[Value], place: &str) -> Result<Part, InvalidMetadata> {
        let mut around: Option<Part> = None;
        for position in positions {
            let at = self.position(position, place)?;
            match &mut around {
                Some(around) => around.grow(at),
                None => around = Some(at),
            }
        }
        Ok(around.expect("callers have seen a position"))
    }

    fn position(&mut self, value: &Value, place: &str) -> Result<Part, InvalidMetadata> {
        self.positions += 1;
        if self.positions > POSITIONS_MAX {
            let what = format!("it has over {POSITIONS_MAX} positions");
            return wrong("", &what, "simplify it; the files themselves can be exact");
        }
        let numbers = value.as_array().map(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>());
        let Some(Some(numbers)) =
            numbers.filter(|_| value.as_array().is_some_and(|list| (2..=3).contains(&list.len())))
        else {
            return wrong(place, "a position is not two or three numbers", HINT_POSITION);
        };
        let (longitude, latitude) = (numbers[0], numbers[1]);
        if !(-180.0..=180.0).contains(&longitude) {
            return wrong(place, &format!("the longitude {longitude} is outside -180 to 180"), HINT_POSITION);
        }
        if !(-90.0..=90.0).contains(&latitude) {
            return wrong(place, &format!("the latitude {latitude} is outside -90 to 90"), HINT_POSITION);
        }
        Ok(BoundingBox { west: longitude, south: latitude, east: longitude, north: latitude })
    }
}

/// What the positions of a geometry make.
#[derive(Clone, Copy)]
struct Shape {
    is_line: bool,
    is_polygon: bool,
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], InvalidMetadata> {
    match value.as_array() {
        None => wrong(place, "its coordinates are not as deep as its type asks for", HINT_TYPE),
        Some(list) if list.is_empty() => wrong(place, "it is empty", HINT_EMPTY),
        Some(list) => Ok(list),
    }
}

/// Tells whether two positions are one, also where one is written `0` and the other `0.0`.
fn same(one: &Value, other: &Value) -> bool {
    let numbers = |value: &Value| value.as_array().map(|list| list.iter().map(Value::as_f64).collect::<Vec<_>>());
    numbers(one) == numbers(other)
}

fn foreign(place: &str, kind: &str, key: &str) -> Result<(), InvalidMetadata> {
    let hint = match (kind, key) {
        ("Feature" | "FeatureCollection", _) => {
            "give the `geometry` of the feature, and its properties as keys of their own"
        }
        (_, "crs") => "coordinates are WGS 84 (longitude, latitude); project them and leave `crs` out",
        (_, "bbox") => "the box follows from the coordinates; leave it out",
        _ => "a geometry has `type` and `coordinates`, a collection `type` and `geometries`",
    };
    wrong(place, &format!("it has the key `{key}`"), hint)
}
