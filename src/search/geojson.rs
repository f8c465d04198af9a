//! Reads GeoJSON geometries (RFC 7946) as the index takes them: longitudes and latitudes, heights left
//! out.

use geo::{Coord, Geometry, GeometryCollection, LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon};
use serde_json::Value;

use crate::search::error::SearchError;

/// The most positions of one geometry, and of one that is asked for.
const POSITIONS_MAX: usize = 10_000;
const QUESTION_POSITIONS_MAX: usize = 2_000;
/// How deep collections may lie within each other.
const DEPTH_MAX: usize = 8;

/// Reads a geometry.
pub fn geometry(json: &Value) -> Result<Geometry<f64>, SearchError> {
    within(json, POSITIONS_MAX)
}

/// Reads a geometry that is asked for. It has fewer positions, as each is compared with those of many
/// documents.
pub fn question(json: &Value) -> Result<Geometry<f64>, SearchError> {
    within(json, QUESTION_POSITIONS_MAX)
}

fn within(json: &Value, most: usize) -> Result<Geometry<f64>, SearchError> {
    let mut left = most;
    read(json, DEPTH_MAX, &mut left)
}

fn wrong(what: &str) -> SearchError {
    let hint = "give a GeoJSON geometry, such as {\"type\": \"Point\", \"coordinates\": [8.5, 47.4]}";
    SearchError::question(format!("the geometry cannot be read: {what}"), hint)
}

fn read(json: &Value, depth: usize, left: &mut usize) -> Result<Geometry<f64>, SearchError> {
    if depth == 0 {
        return Err(wrong("its collections lie too deep within each other"));
    }
    let at = &json["coordinates"];
    Ok(match json["type"].as_str().ok_or_else(|| wrong("it has no `type`"))? {
        "Point" => Geometry::Point(Point(position(at, left)?)),
        "MultiPoint" => Geometry::MultiPoint(MultiPoint(each(at, |at| position(at, left).map(Point))?)),
        "LineString" => Geometry::LineString(line(at, 2, left)?),
        "MultiLineString" => Geometry::MultiLineString(MultiLineString(each(at, |at| line(at, 2, left))?)),
        "Polygon" => Geometry::Polygon(polygon(at, left)?),
        "MultiPolygon" => Geometry::MultiPolygon(MultiPolygon(each(at, |at| polygon(at, left))?)),
        "GeometryCollection" => {
            let all = each(&json["geometries"], |json| read(json, depth - 1, left))?;
            Geometry::GeometryCollection(GeometryCollection(all))
        }
        other => return Err(wrong(&format!("`{other}` is no type of geometry"))),
    })
}

fn each<T>(json: &Value, mut read: impl FnMut(&Value) -> Result<T, SearchError>) -> Result<Vec<T>, SearchError> {
    let list = json.as_array().filter(|list| !list.is_empty()).ok_or_else(|| wrong("a list is missing or empty"))?;
    list.iter().map(&mut read).collect()
}

fn position(json: &Value, left: &mut usize) -> Result<Coord<f64>, SearchError> {
    *left = left.checked_sub(1).ok_or_else(|| wrong("it has too many positions"))?;
    let list = json.as_array().filter(|list| matches!(list.len(), 2..=4));
    let number = |at: usize| list.and_then(|list| list[at].as_f64()).filter(|number| number.is_finite());
    match (number(0), number(1)) {
        (Some(x), Some(y)) => Ok(Coord { x, y }),
        _ => Err(wrong("a position is [longitude, latitude]")),
    }
}

fn line(json: &Value, least: usize, left: &mut usize) -> Result<LineString<f64>, SearchError> {
    let positions = each(json, |json| position(json, left))?;
    if positions.len() < least {
        return Err(wrong(&format!("a line has less than {least} positions")));
    }
    Ok(LineString(positions))
}

fn polygon(json: &Value, left: &mut usize) -> Result<Polygon<f64>, SearchError> {
    let mut rings = each(json, |json| {
        let ring = line(json, 4, left)?;
        if ring.0.first() == ring.0.last() { Ok(ring) } else { Err(wrong("a ring does not end where it begins")) }
    })?;
    let outer = rings.remove(0);
    Ok(Polygon::new(outer, rings))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn geometries_of_all_types_are_read_and_others_refused() {
        let ring = json!([[0, 0], [4, 0, 9.5], [4, 4], [0, 0]]);
        let point = json!({"type": "Point", "coordinates": [1, 2, 3]});
        assert_eq!(geometry(&point).expect("read"), Geometry::Point(Point::new(1.0, 2.0)));
        for (kind, coordinates) in [
            ("MultiPoint", json!([[1, 2], [3, 4]])),
            ("LineString", json!([[1, 2], [3, 4]])),
            ("MultiLineString", json!([[[1, 2], [3, 4]]])),
            ("Polygon", json!([ring])),
            ("MultiPolygon", json!([[ring]])),
        ] {
            assert!(geometry(&json!({"type": kind, "coordinates": coordinates})).is_ok(), "{kind}");
        }
        let around = |inner: Value| json!({"type": "GeometryCollection", "geometries": [inner]});
        assert!(geometry(&around(around(point.clone()))).is_ok());
        let deep = (0..9).fold(point, |inner, _| around(inner));
        for bad in [
            json!({"type": "Circle", "coordinates": [1, 2]}),
            json!({"type": "Point", "coordinates": [1]}),
            json!({"type": "Point", "coordinates": ["a", 1]}),
            json!({"type": "Point"}),
            json!({"type": "LineString", "coordinates": [[1, 2]]}),
            json!({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 1]]]}),
            json!({"type": "MultiPoint", "coordinates": vec![[0, 0]; POSITIONS_MAX + 1]}),
            json!([1]),
            deep,
        ] {
            assert!(geometry(&bad).is_err(), "{bad}");
        }
        let long = json!({"type": "MultiPoint", "coordinates": vec![[0, 0]; QUESTION_POSITIONS_MAX + 1]});
        assert!(geometry(&long).is_ok() && question(&long).is_err());
    }
}
