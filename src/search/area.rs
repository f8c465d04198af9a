//! Where something is looked for: a box or two, a shape, or both.

use geo::{BoundingRect as _, Coord, CoordsIter as _, Geometry, Intersects as _, Rect};

use crate::search::error::SearchError;
use crate::search::query::{Bounds, Query};

/// West, south, east, north.
pub(super) type Sides = [f64; 4];

/// The sides of what is nowhere: no comparison with them holds.
pub(super) const NOWHERE: Sides = [f64::NAN; 4];

pub(super) fn touch(one: &Sides, two: &Sides) -> bool {
    one[0] <= two[2] && one[2] >= two[0] && one[1] <= two[3] && one[3] >= two[1]
}

fn within(inner: &Sides, outer: &Sides) -> bool {
    inner[0] >= outer[0] && inner[2] <= outer[2] && inner[1] >= outer[1] && inner[3] <= outer[3]
}

pub(super) fn sides(geometry: &Geometry<f64>) -> Option<Sides> {
    let rect = geometry.bounding_rect()?;
    Some([rect.min().x, rect.min().y, rect.max().x, rect.max().y])
}

/// Has points, all of them finite.
pub(super) fn is_somewhere(geometry: &Geometry<f64>) -> bool {
    geometry.bounding_rect().is_some() && geometry.coords_iter().all(|at| at.x.is_finite() && at.y.is_finite())
}

/// Grows `all` so that it has `one` inside.
pub(super) fn grow(all: &mut Sides, one: &Sides) {
    // min and max prefer the number to what is no number.
    *all = [all[0].min(one[0]), all[1].min(one[1]), all[2].max(one[2]), all[3].max(one[3])];
}

/// What the sides of a document alone say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Hit,
    Miss,
    /// The geometry itself must be asked.
    Unclear,
}

/// A place that documents must touch.
#[derive(Debug)]
pub(super) struct Area {
    /// The boxes of `bbox`, of which one must be touched; empty if there is none.
    boxes: Vec<Rect<f64>>,
    shape: Option<(Geometry<f64>, Sides)>,
}

impl Area {
    /// The place of a question; `None` if it may be anywhere.
    pub(super) fn of(query: &Query) -> Result<Option<Self>, SearchError> {
        let boxes = query.bbox.map(split).unwrap_or_default();
        let shape = match &query.intersects {
            None => None,
            Some(geometry) => {
                let hint = "give a GeoJSON geometry with at least one point, in finite degrees";
                let found = sides(geometry).filter(|_| is_somewhere(geometry));
                let sides = found.ok_or_else(|| SearchError::question("the geometry has no points", hint))?;
                Some((geometry.clone(), sides))
            }
        };
        Ok((!boxes.is_empty() || shape.is_some()).then_some(Self { boxes, shape }))
    }

    /// Boxes outside of which nothing touches the area.
    pub(super) fn covers(&self) -> Vec<Sides> {
        match &self.shape {
            Some((_, sides)) => vec![*sides],
            None => self.boxes.iter().map(of_rect).collect(),
        }
    }

    /// How many positions a geometry is compared with.
    pub(super) fn positions(&self) -> usize {
        let shape = self.shape.as_ref().map_or(0, |(shape, _)| shape.coords_count());
        shape + self.boxes.len() * 4
    }

    /// Judges a document by its sides; `full` if it fills them.
    pub(super) fn judge(&self, sides: &Sides, full: bool) -> Verdict {
        let boxes = self.boxes.iter().map(of_rect);
        let mut verdict = Verdict::Hit;
        if !self.boxes.is_empty() {
            let (mut touched, mut sure) = (false, false);
            for other in boxes {
                touched |= touch(sides, &other);
                sure |= within(sides, &other) || (full && touch(sides, &other));
            }
            verdict = match (touched, sure) {
                (false, _) => return Verdict::Miss,
                (true, true) => Verdict::Hit,
                (true, false) => Verdict::Unclear,
            };
        }
        match &self.shape {
            Some((_, other)) if touch(sides, other) => Verdict::Unclear,
            Some(_) => Verdict::Miss,
            None => verdict,
        }
    }

    /// Whether a geometry touches the area.
    pub(super) fn touches(&self, geometry: &Geometry<f64>) -> bool {
        let boxed = self.boxes.is_empty() || self.boxes.iter().any(|rect| geometry.intersects(rect));
        boxed && self.shape.as_ref().is_none_or(|(shape, _)| geometry.intersects(shape))
    }
}

/// A box, or the two on both sides of the antimeridian.
fn split(bounds: Bounds) -> Vec<Rect<f64>> {
    let Bounds { west, south, east, north } = bounds;
    let rect = |west, east| Rect::new(Coord { x: west, y: south }, Coord { x: east, y: north });
    if west <= east {
        vec![rect(west, east)]
    } else {
        vec![rect(west, f64::max(west, 180.0)), rect(f64::min(east, -180.0), east)]
    }
}

fn of_rect(rect: &Rect<f64>) -> Sides {
    [rect.min().x, rect.min().y, rect.max().x, rect.max().y]
}

/// Whether a geometry fills its sides, so that they say all about it.
#[expect(clippy::float_cmp, reason = "a side of a box has the same number at both ends, or it is not one")]
pub(super) fn fills(geometry: &Geometry<f64>) -> bool {
    match geometry {
        Geometry::Point(_) | Geometry::Rect(_) => true,
        Geometry::Polygon(polygon) => {
            let ring = &polygon.exterior().0;
            let right_angled = ring.len() == 5
                && ring.windows(2).all(|pair| (pair[0].x == pair[1].x) != (pair[0].y == pair[1].y))
                && ring.windows(3).all(|three| (three[0].x == three[1].x) != (three[1].x == three[2].x));
            right_angled && polygon.interiors().is_empty()
        }
        _ => false,
    }
}
