//! Fields of the demo as NetCDF files that real tools open. Format: NetCDF classic (CDF-1), version 1 of
//! the specification by Unidata; all numbers big-endian, names and values padded to four bytes.

use std::f64::consts::TAU;

use serde_json::{Value, json};

const FLOAT: u32 = 5;
const DIMENSIONS: u32 = 10;
const VARIABLES: u32 = 11;
const ATTRIBUTES: u32 = 12;
const CHARACTERS: u32 = 2;

/// A box with a point at each degree, its sides included.
pub(super) struct Grid {
    pub(super) west: i16,
    pub(super) south: i16,
    pub(super) east: i16,
    pub(super) north: i16,
}

impl Grid {
    /// Its outline.
    pub(super) fn geometry(&self) -> Value {
        let Self { west, south, east, north } = self;
        let ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
        json!({ "type": "Polygon", "coordinates": [ring] })
    }

    /// From north to south.
    fn latitudes(&self) -> Vec<f32> {
        (self.south..=self.north).rev().map(f32::from).collect()
    }

    fn longitudes(&self) -> Vec<f32> {
        (self.west..=self.east).map(f32::from).collect()
    }
}

/// One file: the axes, and a field in kelvin that follows latitude, season and a wave.
pub(super) fn field(grid: &Grid, month: u32) -> Vec<u8> {
    let (latitudes, longitudes) = (grid.latitudes(), grid.longitudes());
    let mut values = Vec::new();
    for latitude in &latitudes {
        for longitude in &longitudes {
            values.push(temperature(f64::from(*latitude), f64::from(*longitude), f64::from(month)));
        }
    }
    let variables = [
        Variable { name: "lat", dimensions: &[0], units: "degrees_north", values: &latitudes },
        Variable { name: "lon", dimensions: &[1], units: "degrees_east", values: &longitudes },
        Variable { name: "t2m", dimensions: &[0, 1], units: "K", values: &values },
    ];
    // Offsets of the data depend on the header's length, which does not depend on them.
    let axes = [("lat", latitudes.len()), ("lon", longitudes.len())];
    let length = header(axes, &variables, 0).len();
    let mut file = header(axes, &variables, u32::try_from(length).expect("a header is small"));
    for variable in &variables {
        file.extend(variable.values.iter().flat_map(|value| value.to_be_bytes()));
    }
    file
}

#[expect(clippy::cast_possible_truncation, reason = "a temperature needs no more than single precision")]
fn temperature(latitude: f64, longitude: f64, month: f64) -> f32 {
    let season = (TAU * (month - 6.0) / 12.0).cos() * latitude / 90.0;
    let wave = (3.0 * longitude.to_radians() + month).sin();
    (300.0 - 50.0 * latitude.to_radians().sin().powi(2) + 15.0 * season + 3.0 * wave) as f32
}

struct Variable<'a> {
    name: &'static str,
    dimensions: &'static [u32],
    units: &'static str,
    values: &'a [f32],
}

fn header(axes: [(&str, usize); 2], variables: &[Variable<'_>], data_at: u32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(b"CDF\x01");
    number(&mut out, 0); // no records
    number(&mut out, DIMENSIONS);
    number(&mut out, 2);
    for (name, points) in axes {
        text(&mut out, name);
        number(&mut out, u32::try_from(points).expect("few points"));
    }
    number(&mut out, ATTRIBUTES);
    number(&mut out, 1);
    attribute(&mut out, "source", "made up by dapple demo");
    number(&mut out, VARIABLES);
    number(&mut out, 3);
    let mut at = data_at;
    for variable in variables {
        let bytes = u32::try_from(variable.values.len() * 4).expect("a field is small");
        text(&mut out, variable.name);
        number(&mut out, u32::try_from(variable.dimensions.len()).expect("two at most"));
        for dimension in variable.dimensions {
            number(&mut out, *dimension);
        }
        number(&mut out, ATTRIBUTES);
        number(&mut out, 1);
        attribute(&mut out, "units", variable.units);
        number(&mut out, FLOAT);
        number(&mut out, bytes);
        number(&mut out, at);
        at += bytes;
    }
    out
}

fn number(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, u32::try_from(text.len()).expect("names are short"));
    out.extend(text.bytes());
    out.resize(out.len().next_multiple_of(4), 0);
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    text(out, name);
    number(out, CHARACTERS);
    text(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_the_size_that_its_header_promises() {
        let file = field(&Grid { west: -10, south: 36, east: 4, north: 44 }, 1);
        assert_eq!(&file[..4], b"CDF\x01");
        let (latitudes, longitudes) = (9, 15);
        let data = (latitudes + longitudes + latitudes * longitudes) * 4;
        assert_eq!((file.len() - data) % 4, 0);
        let first = f32::from_be_bytes(file[file.len() - data..][..4].try_into().expect("four bytes"));
        assert!((first - 44.0).abs() < f32::EPSILON, "the data begins with the northern end of the axis");
    }
}
