//! The demo's data: two years of monthly temperature of regions of Europe, and a few stations. All of
//! it is made up, and says so: in its files, in its metadata and in its README.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::demo::netcdf::{Grid, field};
use crate::cli::failure::Failure;

/// The dataset that has all fields.
pub(super) const ALL: &str = "climate:era5";
/// The public collection: a dataset for each month of each region, which share the files of `ALL`.
pub(super) const FIELDS: &str = "climate:era5-demo";
/// The files of stations, and the collection of them that is kept back.
pub(super) const STATIONS: &str = "climate:stations";
pub(super) const KEPT: &str = "climate:stations-demo";

const YEARS: [u32; 2] = [2024, 2025];
const MONTHS: u32 = 12;

/// How many datasets the public collection has.
pub(super) const FIELDS_COUNT: usize = REGIONS.len() * YEARS.len() * MONTHS as usize;
/// How many items the other one has.
pub(super) const STATIONS_COUNT: usize = PLACES.len();

const README: &str = "Monthly fields of two-metre temperature of regions of Europe, a grid point at each degree.\n\
    The numbers are made up by `dapple demo`: they look like a reanalysis and are true of no day.\n";

/// A part of Europe.
struct Region {
    name: &'static str,
    title: &'static str,
    grid: Grid,
}

const REGIONS: [Region; 3] = [
    Region { name: "iberia", title: "Iberia", grid: Grid { west: -10, south: 36, east: 4, north: 44 } },
    Region { name: "alps", title: "Alps", grid: Grid { west: 5, south: 44, east: 16, north: 48 } },
    Region { name: "north-sea", title: "North Sea", grid: Grid { west: -4, south: 51, east: 9, north: 61 } },
];

/// Stations: names, longitudes and latitudes.
const PLACES: [(&str, f64, f64); 3] = [("porto", -8.6, 41.1), ("davos", 9.8, 46.8), ("heligoland", 7.9, 54.2)];

/// What was written, and where.
pub(super) struct Sample {
    /// The tree of fields.
    pub(super) fields: PathBuf,
    /// The tree of stations.
    pub(super) stations: PathBuf,
    /// Lines of JSON: the datasets and containers to make.
    pub(super) dids: PathBuf,
    /// The members of the public collection.
    pub(super) members: PathBuf,
    /// What is said of all.
    pub(super) meta: PathBuf,
    /// What is said of the stations' files.
    pub(super) file_meta: PathBuf,
}

/// A dataset of the public collection, and its file.
pub(super) fn members() -> Vec<(String, String)> {
    let named = |region: &Region, year, month| {
        let name = format!("{}-{year}-{month:02}", region.name);
        (format!("{FIELDS}/{name}"), format!("{ALL}/{}", file(region, year, month)))
    };
    each(named)
}

fn each<T>(mut make: impl FnMut(&Region, u32, u32) -> T) -> Vec<T> {
    let mut made = Vec::new();
    for region in &REGIONS {
        for year in YEARS {
            made.extend((1..=MONTHS).map(|month| make(region, year, month)));
        }
    }
    made
}

fn file(region: &Region, year: u32, month: u32) -> String {
    format!("{}/t2m_{year}-{month:02}.nc", region.name)
}

/// Writes the sample below a directory.
pub(super) fn make(directory: &Path) -> Result<Sample, Failure> {
    let write = |path: PathBuf, bytes: &[u8]| {
        let above = path.parent().expect("below the directory");
        fs::create_dir_all(above).map_err(|error| Failure::io("make", above, error))?;
        fs::write(&path, bytes).map_err(|error| Failure::io("write", &path, error))?;
        Ok::<PathBuf, Failure>(path)
    };
    let (fields, stations) = (directory.join("fields"), directory.join("stations"));
    write(fields.join("README.txt"), README.as_bytes())?;
    for (path, bytes) in each(|region, year, month| (file(region, year, month), field(&region.grid, month))) {
        write(fields.join(path), &bytes)?;
    }
    for (name, longitude, latitude) in PLACES {
        let text = format!(
            "# made up by dapple demo\nstation,longitude,latitude,t2m_K\n{name},{longitude},{latitude},288.1\n"
        );
        write(stations.join(format!("{name}.csv")), text.as_bytes())?;
    }
    let lines = |name: &str, lines: Vec<Value>| {
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        write(directory.join(name), text.concat().as_bytes())
    };
    let dataset = |(did, _): &(String, String)| json!({ "did": did, "kind": "dataset" });
    let containers = [FIELDS, KEPT].map(|did| json!({ "did": did, "kind": "container" }));
    Ok(Sample {
        dids: lines("dids.ndjson", containers.into_iter().chain(members().iter().map(dataset)).collect())?,
        members: lines("members.ndjson", members().iter().map(|(did, _)| json!({ "did": did })).collect())?,
        meta: lines("meta.ndjson", meta())?,
        file_meta: lines("stations.ndjson", PLACES.iter().map(station).collect())?,
        fields,
        stations,
    })
}

/// What is said of collections and datasets.
fn meta() -> Vec<Value> {
    let datasets = each(|region, year, month| {
        let end = days(year, month);
        json!({ "did": format!("{FIELDS}/{}-{year}-{month:02}", region.name), "meta": {
            "title": format!("Two-metre temperature, {}, {year}-{month:02} (synthetic)", region.title),
            "start_datetime": format!("{year}-{month:02}-01T00:00:00Z"),
            "end_datetime": format!("{year}-{month:02}-{end}T23:59:59Z"),
            "geometry": region.grid.geometry(),
            "keywords": ["temperature", "monthly", region.name],
            "variables": ["t2m"],
            "synthetic": true,
        } })
    });
    let said = |did: &str, title: &str, description: &str| {
        json!({ "did": did, "meta": {
            "title": title, "description": description, "license": "CC0-1.0", "synthetic": true,
        } })
    };
    let mut stations = said(KEPT, "Stations (synthetic)", "Three stations that there are not, kept back");
    // Here each file is a place of its own.
    stations["meta"]["stac:items"] = "files".into();
    let fields =
        said(FIELDS, "Monthly fields of Europe (synthetic)", "Temperature by month and region, true of no day");
    [fields, stations].into_iter().chain(datasets).collect()
}

fn station((name, longitude, latitude): &(&str, f64, f64)) -> Value {
    json!({ "file": format!("{name}.csv"), "meta": {
        "title": format!("Station {name} (synthetic)"), "datetime": "2024-06-01T00:00:00Z",
        "geometry": { "type": "Point", "coordinates": [longitude, latitude] }, "synthetic": true,
    } })
}

/// How many days a month of these years has.
fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::Metadata;

    #[test]
    fn what_is_said_of_the_sample_is_good_metadata_and_says_that_it_is_made_up() {
        let said: Vec<Value> = meta().into_iter().chain(PLACES.iter().map(station)).collect();
        assert_eq!(said.len(), 2 + FIELDS_COUNT + STATIONS_COUNT);
        for mut line in said {
            assert_eq!(line["meta"]["synthetic"], true);
            let Value::Object(meta) = line["meta"].take() else { panic!("an object: {line}") };
            Metadata::read(&meta).expect("it keeps to the rules");
        }
    }
}
