//! What metadata may be, key by key and limit by limit.

use serde_json::{Value, json};

use super::*;

fn read(value: Value) -> Result<Metadata, InvalidMetadata> {
    let Value::Object(object) = value else { panic!("an object is wanted") };
    Metadata::read(&object)
}

fn deep(lists: usize) -> Value {
    (0..lists).fold(json!(1), |value, _| json!([value]))
}

/// A geometry of a type.
fn shape(kind: &str, coordinates: Value) -> Value {
    json!({"geometry": {"type": kind, "coordinates": coordinates}})
}

#[test]
fn metadata_within_the_limits_is_taken() {
    let keys = |count: usize| Value::Object((0..count).map(|n| (format!("k{n}"), json!(n))).collect());
    let long = |count: usize| json!({"long": "x".repeat(count - r#"{"long":""}"#.len())});
    for good in [
        json!({}),
        keys(KEYS_MAX),
        json!({"k".repeat(KEY_BYTES_MAX): null}),
        json!({"a": deep(DEPTH_MAX - 1)}),
        long(METADATA_BYTES_MAX),
        json!({"datetime": "1850-01-01T00:00:00.5+02:00", "title": "t", "keywords": [], "license": "CC0-1.0"}),
        json!({"datetime": null, "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-01T00:00:00Z"}),
        json!({"eo:cloud_cover": 0.5, "nested": {"id": 1, "links": []}, "geometry": null}),
    ] {
        assert!(read(good.clone()).is_ok(), "{good}: {:?}", read(good.clone()));
    }
    for (bad, key, what) in [
        (keys(KEYS_MAX + 1), None, "257 keys"),
        (json!({"k".repeat(KEY_BYTES_MAX + 1): 1}), Some("k"), "129 bytes"),
        (json!({"a": {"": 1}}), Some("a"), "is empty"),
        (json!({"a\nb": 1}), Some("a"), "control character"),
        (json!({"a": deep(DEPTH_MAX)}), Some("a"), "deeper than 8"),
        (long(METADATA_BYTES_MAX + 1), None, "61441 bytes"),
    ] {
        let error = read(bad).expect_err(what);
        assert!(error.what.contains(what) && !error.hint.is_empty(), "{error}");
        assert_eq!(error.key.is_some(), key.is_some(), "{error}");
        assert!(key.is_none_or(|key| error.key.as_deref().is_some_and(|named| named.starts_with(key))), "{error}");
    }
    for bad in ["[]", "1", "{", "{\"a\": 1e400}", "{\"a\": NaN}"] {
        assert!(Metadata::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn reserved_and_known_keys_are_refused_with_what_to_do() {
    let (start, end) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    for (key, bad) in [
        ("did:bytes", json!({"did:bytes": 1})),
        ("file:size", json!({"file:size": 1})),
        ("links", json!({"links": []})),
        ("bbox", json!({"bbox": [0, 0, 1, 1]})),
        ("updated", json!({"updated": start})),
        ("title", json!({"title": 1})),
        ("description", json!({"description": null})),
        ("license", json!({"license": " "})),
        ("keywords", json!({"keywords": "ice"})),
        ("keywords", json!({"keywords": ["ice", 1]})),
        ("datetime", json!({"datetime": 2020})),
        ("datetime", json!({"datetime": "2020-01-01"})),
        ("datetime", json!({"datetime": "2020-01-01T00:00:00"})),
        ("datetime", json!({"datetime": "2020-01-01 00:00:00Z"})),
        ("datetime", json!({"datetime": "2020-01-01T00:00Z"})),
        ("datetime", json!({"datetime": "2020-01-01T00:00:00.Z"})),
        ("datetime", json!({"datetime": "2020-02-30T00:00:00Z"})),
        ("datetime", json!({"datetime": "2020-01-01T00:00:00Z[UTC]"})),
        ("datetime", json!({"datetime": null})),
        ("datetime", json!({"datetime": null, "title": "t"})),
        ("start_datetime", json!({"datetime": start, "start_datetime": start})),
        ("end_datetime", json!({"end_datetime": end})),
        ("end_datetime", json!({"start_datetime": end, "end_datetime": start})),
        ("start_datetime", json!({"start_datetime": null, "end_datetime": end})),
    ] {
        let error = read(bad.clone()).expect_err(key);
        assert_eq!(error.key.as_deref(), Some(key), "{bad}: {error}");
        assert!(!error.hint.is_empty() && error.to_string().contains(key), "{error}");
    }
}

#[test]
fn geometries_of_every_type_are_taken_and_flaws_in_them_are_named() {
    let ring = json!([[0, 0], [2, 0], [2, 1], [0, 0]]);
    assert!(read(shape("Polygon", json!([[[0, 0], [2, 0], [2, 1], [0.0, 0]]]))).is_ok(), "0.0 is 0");
    let point = json!({"type": "Point", "coordinates": [1.5, 2, 300]});
    let collection = |inside: Value| json!({"geometry": {"type": "GeometryCollection", "geometries": inside}});
    for good in [
        shape("Point", json!([180, -90])),
        shape("MultiPoint", json!([[0, 0], [1, 1]])),
        shape("LineString", json!([[0, 0], [1, 1]])),
        shape("MultiLineString", json!([[[0, 0], [1, 1]], [[2, 2], [3, 3]]])),
        shape("Polygon", json!([ring, [[0.5, 0.1], [1, 0.1], [1, 0.2], [0.5, 0.1]]])),
        shape("MultiPolygon", json!([[ring], [ring]])),
        collection(json!([point, {"type": "MultiPolygon", "coordinates": [[ring]]}])),
    ] {
        assert!(read(good.clone()).is_ok(), "{good}: {:?}", read(good.clone()));
    }
    let many = |count: usize| Value::Array(vec![json!([0, 0]); count]);
    assert!(read(shape("MultiPoint", many(geometry::POSITIONS_MAX))).is_ok());
    for (bad, what) in [
        (json!({"geometry": "POINT(0 0)"}), "not an object"),
        (shape("Circle", json!([0, 0])), "none of GeoJSON's"),
        (json!({"geometry": {"type": "Point"}}), "no `coordinates`"),
        (json!({"geometry": {"type": "Point", "coordinates": [0, 0], "crs": {}}}), "the key `crs`"),
        (json!({"geometry": {"type": "Feature", "geometry": point}}), "the key `geometry`"),
        (shape("Point", json!([0])), "two or three numbers"),
        (shape("Point", json!([0, 1, 2, 3])), "two or three numbers"),
        (shape("Point", json!(["0", "1"])), "two or three numbers"),
        (shape("Point", json!([180.5, 0])), "longitude 180.5"),
        (shape("Point", json!([0, 90.5])), "latitude 90.5"),
        (shape("LineString", json!([[0, 0]])), "less than two"),
        (shape("Polygon", json!([[[0, 0], [2, 0], [0, 0]]])), "less than four"),
        (shape("Polygon", json!([[[0, 0], [2, 0], [2, 1], [0, 1]]])), "ring 1: it is not closed"),
        (shape("Polygon", json!([ring, [[0, 0], [2, 0], [2, 1], [0, 1]]])), "ring 2: it is not closed"),
        (shape("Polygon", json!([0, 0])), "not as deep"),
        (shape("Polygon", json!([])), "is empty"),
        (shape("MultiPolygon", json!([ring])), "less than four"),
        (collection(json!([])), "no list of `geometries`"),
        (collection(json!([collection(json!([point]))["geometry"]])), "within another"),
        (collection(json!([{"type": "Point", "coordinates": [0, 91]}])), "geometry 1 Point: the latitude"),
        (shape("MultiPoint", many(geometry::POSITIONS_MAX + 1)), "over 10000 positions"),
    ] {
        let error = read(bad.clone()).expect_err(what);
        assert!(error.what.contains(what), "{bad}: {error}");
        assert_eq!(error.key.as_deref(), Some("geometry"));
    }
}

#[test]
fn time_and_box_follow_from_the_metadata() {
    let extent = |value: Value| read(value).expect("valid").extent();
    assert_eq!(extent(json!({"title": "t"})), Extent::default());
    let span = |start_ms, end_ms| Some(Interval { start_ms, end_ms });
    assert_eq!(extent(json!({"datetime": "1970-01-01T00:00:01.5Z"})).interval, span(1_500, 1_500));
    let both = json!({"datetime": "1970-01-01T01:00:00+01:00", "start_datetime": "1969-12-31T23:59:59Z",
        "end_datetime": "1970-01-01T00:00:01Z"});
    assert_eq!(extent(both).interval, span(-1_000, 1_000));

    let bounds = |value: Value| extent(value).bounds.map(|b| [b.west, b.south, b.east, b.north]);
    assert_eq!(bounds(json!({"geometry": null})), None);
    assert_eq!(bounds(shape("Point", json!([7, 8, 9]))), Some([7.0, 8.0, 7.0, 8.0]));
    assert_eq!(bounds(shape("LineString", json!([[3, 4], [-1, 5]]))), Some([-1.0, 4.0, 3.0, 5.0]));
    let block = |west: i32, east: i32| json!([[[west, -1], [east, -1], [east, 1], [west, -1]]]);
    let blocks = |parts: &[(i32, i32)]| {
        let parts: Vec<Value> = parts.iter().map(|(west, east)| block(*west, *east)).collect();
        bounds(shape("MultiPolygon", json!(parts)))
    };
    // Cut at the antimeridian it is one piece; the widest empty stretch is left out.
    assert_eq!(blocks(&[(170, 180), (-180, -160)]), Some([170.0, -1.0, -160.0, 1.0]));
    assert_eq!(blocks(&[(-180, -160), (20, 30), (170, 180)]), Some([20.0, -1.0, -160.0, 1.0]));
    assert_eq!(blocks(&[(170, 180), (-170, -160)]), Some([-170.0, -1.0, 180.0, 1.0]));
    assert_eq!(blocks(&[(-180, 180), (20, 30)]), Some([-180.0, -1.0, 180.0, 1.0]));
    assert_eq!(blocks(&[(-180, 0), (0, 180)]), Some([-180.0, -1.0, 180.0, 1.0]));
}

#[test]
fn a_patch_merges_and_the_text_is_canonical() {
    let begin = read(json!({"b": {"y": 1, "x": [{"z": 1, "a": 2}]}, "a": 1})).expect("valid");
    assert_eq!(begin.canonical(), r#"{"a":1,"b":{"x":[{"a":2,"z":1}],"y":1}}"#);
    assert_eq!(Metadata::parse(&begin.canonical()).expect("its own text"), begin);
    let patch = |text: &str| begin.patched(&serde_json::from_str(text).expect("an object"));
    // The examples of RFC 7386 that are about objects.
    for (text, after) in [
        ("{}", r#"{"a":1,"b":{"x":[{"a":2,"z":1}],"y":1}}"#),
        (r#"{"a":null,"none":null}"#, r#"{"b":{"x":[{"a":2,"z":1}],"y":1}}"#),
        (r#"{"b":{"y":null,"n":{"m":null,"o":2}}}"#, r#"{"a":1,"b":{"n":{"o":2},"x":[{"a":2,"z":1}]}}"#),
        (r#"{"b":[1],"a":{"c":3}}"#, r#"{"a":{"c":3},"b":[1]}"#),
        (r#"{"a":null,"b":null}"#, "{}"),
    ] {
        assert_eq!(patch(text).expect("valid").canonical(), after, "{text}");
    }
    assert!(patch(r#"{"links": 1}"#).is_err());
    assert!(patch(r#"{"a":null,"b":null}"#).expect("valid").is_empty());
}
