//! Decides whether a document of one segment is meant by a question, the cheap looks first.

use geo::CoordsIter as _;

use crate::search::area::Verdict;
use crate::search::error::SearchError;
use crate::search::find::plan::{Plan, Subject, as_number};
use crate::search::query::Test;
use crate::search::segment::Segment;
use crate::search::segment::field::{Field, MISSING};
use crate::search::snapshot::{Bits, Part};
use crate::search::value::Value;

pub(super) struct Sieve<'a> {
    plan: &'a Plan<'a>,
    segment: &'a Segment,
    dead: &'a Bits,
    /// Which groups the caller may see and has asked for.
    groups: Vec<bool>,
    fields: Vec<(&'a Field, Vec<(u32, u32)>)>,
    times: Vec<&'a Test>,
    ids: Vec<&'a Test>,
    from: i64,
    to: i64,
}

impl<'a> Sieve<'a> {
    /// `None` if no document of the segment can be meant.
    pub(super) fn new(part: &'a Part, plan: &'a Plan<'a>) -> Option<Self> {
        let columns = &part.segment.columns;
        let mut groups: Vec<bool> = columns
            .groups
            .iter()
            .map(|group| {
                let asked = plan.collections.is_empty() || plan.collections.contains(group.collection_id.as_str());
                asked && plan.access.allows(group.access)
            })
            .collect();
        let (mut fields, mut times, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for (subject, test) in &plan.filters {
            match subject {
                Subject::Time => times.push(test),
                Subject::Id => ids.push(test),
                Subject::Collection => {
                    for (passes, group) in groups.iter_mut().zip(&columns.groups) {
                        *passes &= test.passes(&Value::Text(group.collection_id.clone()));
                    }
                }
                Subject::Field(path) => {
                    let field = columns.fields.get(*path)?;
                    let ranges = field.passing(test);
                    if ranges.is_empty() {
                        return None;
                    }
                    fields.push((field, ranges));
                }
            }
        }
        if !groups.contains(&true) {
            return None;
        }
        let time = plan.query.datetime;
        let (from, to) = (time.from.unwrap_or(i64::MIN), time.to.unwrap_or(i64::MAX));
        Some(Self { plan, segment: &part.segment, dead: &part.dead, groups, fields, times, ids, from, to })
    }

    /// Pays for a look at one more document.
    pub(super) fn look(&self) -> Result<(), SearchError> {
        self.plan.budget.look(1)
    }

    /// Whether a document is meant. Every look is paid for.
    pub(super) fn passes(&self, ordinal: u32) -> Result<bool, SearchError> {
        self.look()?;
        let (at, columns) = (ordinal as usize, &self.segment.columns);
        if !self.groups[columns.group[at] as usize]
            || columns.starts[at] > self.to
            || columns.ends[at] < self.from
            || self.dead.has(ordinal)
            || !self.fields.iter().all(|(field, ranges)| field_passes(field, ranges, ordinal))
        {
            return Ok(false);
        }
        if !self.times.is_empty() {
            let time = Value::Number(as_number(columns.starts[at]));
            if !self.times.iter().all(|test| test.passes(&time)) {
                return Ok(false);
            }
        }
        if !self.ids.is_empty() {
            let id = Value::Text(self.segment.id(ordinal).to_owned());
            if !self.ids.iter().all(|test| test.passes(&id)) {
                return Ok(false);
            }
        }
        let Some(area) = &self.plan.area else { return Ok(true) };
        Ok(match area.judge(&columns.boxes[at], columns.full[at]) {
            Verdict::Hit => true,
            Verdict::Miss => false,
            Verdict::Unclear => {
                self.plan.budget.read()?;
                let Some(geometry) = self.segment.geometry(ordinal)? else { return Ok(false) };
                self.plan.budget.compare(geometry.coords_count(), area.positions())?;
                area.touches(&geometry)
            }
        })
    }
}

fn field_passes(field: &Field, ranges: &[(u32, u32)], ordinal: u32) -> bool {
    let passes = |code: u32| match ranges {
        [(from, to)] => code >= *from && code < *to,
        ranges => {
            let before = ranges.partition_point(|(from, _)| *from <= code);
            before > 0 && code < ranges[before - 1].1
        }
    };
    let code = field.code(ordinal);
    (code != MISSING && passes(code)) || (field.has_elements() && field.elements(ordinal).any(passes))
}
