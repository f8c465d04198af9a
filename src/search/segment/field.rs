//! A column of one field: its distinct values in their order, and for each document the place of
//! its value among them. Comparing documents by a field is comparing small numbers.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::search::query::Test;
use crate::search::segment::strings::Strings;
use crate::search::value::Value;

/// The code of a document without the field.
pub(in crate::search) const MISSING: u32 = u32::MAX;

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::search) struct Field {
    numbers: Vec<f64>,
    texts: Strings,
    truths: Vec<bool>,
    codes: Codes,
    /// Ordinals and codes of lists' elements, sorted.
    elements: Vec<(u32, u32)>,
    /// The groups that have the field, sorted, with the kinds of values they have.
    pub(in crate::search) groups: Vec<(u32, Kinds)>,
}

/// Which kinds of values there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::search) struct Kinds(u8);

impl Kinds {
    pub(in crate::search) const NUMBERS: Self = Self(1);
    pub(in crate::search) const TEXTS: Self = Self(2);
    pub(in crate::search) const TRUTHS: Self = Self(4);
    pub(in crate::search) const LISTS: Self = Self(8);

    fn of(value: &Value) -> Self {
        match value {
            Value::Number(_) => Self::NUMBERS,
            Value::Text(_) => Self::TEXTS,
            Value::Bool(_) => Self::TRUTHS,
        }
    }

    pub(in crate::search) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(in crate::search) fn have(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// One code for each document, in as little room as the values need.
#[derive(Debug, Serialize, Deserialize)]
enum Codes {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
    Full(Vec<u32>),
    /// Ordinals that have the field, and their codes.
    Few(Vec<u32>, Vec<u32>),
}

impl Field {
    /// The code of a document's value, or [`MISSING`]. A list has no code.
    pub(in crate::search) fn code(&self, ordinal: u32) -> u32 {
        let index = ordinal as usize;
        match &self.codes {
            Codes::Bytes(codes) => {
                if codes[index] == u8::MAX {
                    MISSING
                } else {
                    codes[index].into()
                }
            }
            Codes::Words(codes) => {
                if codes[index] == u16::MAX {
                    MISSING
                } else {
                    codes[index].into()
                }
            }
            Codes::Full(codes) => codes[index],
            Codes::Few(ordinals, codes) => ordinals.binary_search(&ordinal).map_or(MISSING, |at| codes[at]),
        }
    }

    /// The codes of a document's list.
    pub(in crate::search) fn elements(&self, ordinal: u32) -> impl Iterator<Item = u32> {
        let from = self.elements.partition_point(|(other, _)| *other < ordinal);
        self.elements[from..].iter().take_while(move |(other, _)| *other == ordinal).map(|(_, code)| *code)
    }

    pub(in crate::search) fn has_elements(&self) -> bool {
        !self.elements.is_empty()
    }

    /// The number of distinct values.
    pub(in crate::search) fn len(&self) -> u32 {
        u32::try_from(self.numbers.len() + self.texts.len() + self.truths.len()).expect("fewer than 2^32 values")
    }

    pub(in crate::search) fn kind(&self, code: u32) -> Kinds {
        match code as usize {
            code if code < self.numbers.len() => Kinds::NUMBERS,
            code if code < self.numbers.len() + self.texts.len() => Kinds::TEXTS,
            _ => Kinds::TRUTHS,
        }
    }

    /// The value of a code.
    pub(in crate::search) fn value(&self, code: u32) -> Value {
        let code = code as usize;
        let (numbers, texts) = (self.numbers.len(), self.texts.len());
        if code < numbers {
            Value::Number(self.numbers[code])
        } else if code < numbers + texts {
            Value::Text(self.texts.get(code - numbers).to_owned())
        } else {
            Value::Bool(self.truths[code - numbers - texts])
        }
    }

    /// The code of a value, or the code of the next greater one.
    pub(in crate::search) fn find(&self, value: &Value) -> Result<u32, u32> {
        let (before, found) = match value {
            Value::Number(number) => (0, self.numbers.binary_search_by(|other| other.total_cmp(number))),
            Value::Text(text) => (self.numbers.len(), self.texts.find(text)),
            Value::Bool(truth) => (self.numbers.len() + self.texts.len(), self.truths.binary_search(truth)),
        };
        let code = |at: usize| u32::try_from(before + at).expect("fewer than 2^32 values");
        found.map(code).map_err(code)
    }

    /// The codes that pass a test, as ranges without their ends.
    pub(in crate::search) fn passing(&self, test: &Test) -> Vec<(u32, u32)> {
        let kind = |value: &Value| {
            let (numbers, texts) = (self.numbers.len(), self.texts.len());
            let (from, to) = match value {
                Value::Number(_) => (0, numbers),
                Value::Text(_) => (numbers, numbers + texts),
                Value::Bool(_) => (numbers + texts, numbers + texts + self.truths.len()),
            };
            let code = |at| u32::try_from(at).expect("fewer than 2^32 values");
            (code(from), code(to))
        };
        let first = |value: &Value| self.find(value).unwrap_or_else(|next| next);
        let behind = |value: &Value| self.find(value).map_or_else(|next| next, |code| code + 1);
        let mut ranges = match test {
            Test::Is(value) => vec![(first(value), behind(value))],
            Test::IsNot(value) => vec![(0, first(value)), (behind(value), self.len())],
            Test::Less(value) => vec![(kind(value).0, first(value))],
            Test::AtMost(value) => vec![(kind(value).0, behind(value))],
            Test::Greater(value) => vec![(behind(value), kind(value).1)],
            Test::AtLeast(value) => vec![(first(value), kind(value).1)],
            Test::OneOf(values) => values.iter().map(|value| (first(value), behind(value))).collect(),
            Test::EndsWith(_) | Test::Contains(_) => self.texts_passing(test),
            Test::Present => vec![(0, self.len())],
        };
        ranges.retain(|(from, to)| from < to);
        ranges.sort_unstable();
        ranges
    }

    /// The codes of texts that pass a test which has nothing to do with their order: each distinct
    /// text is looked at once, however many documents have it.
    fn texts_passing(&self, test: &Test) -> Vec<(u32, u32)> {
        let code = |at: usize| u32::try_from(self.numbers.len() + at).expect("fewer than 2^32 values");
        let passing = (0..self.texts.len()).filter(|&at| match test {
            Test::EndsWith(end) => self.texts.get(at).ends_with(end.as_str()),
            Test::Contains(part) => self.texts.get(at).contains(part.as_str()),
            _ => false,
        });
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for from in passing.map(code) {
            match ranges.last_mut() {
                Some((_, to)) if *to == from => *to += 1,
                _ => ranges.push((from, from + 1)),
            }
        }
        ranges
    }
}

/// Gathers values of one field in the order of their documents.
#[derive(Debug, Default)]
pub(super) struct FieldBuilder {
    numbers: HashMap<u64, u32>,
    texts: HashMap<String, u32>,
    truths: HashMap<bool, u32>,
    /// All values, in the order in which they came.
    values: Vec<Value>,
    single: Vec<(u32, u32)>,
    elements: Vec<(u32, u32)>,
    groups: Vec<(u32, Kinds)>,
}

impl FieldBuilder {
    pub(super) fn add(&mut self, ordinal: u32, group: u32, value: Value, element: bool) {
        let next = u32::try_from(self.values.len()).expect("fewer than 2^32 values");
        let at = self.groups.binary_search_by_key(&group, |(group, _)| *group).unwrap_or_else(|at| {
            self.groups.insert(at, (group, Kinds::default()));
            at
        });
        self.groups[at].1.add(Kinds::of(&value));
        if element {
            self.groups[at].1.add(Kinds::LISTS);
        }
        let known = match &value {
            Value::Number(number) => *self.numbers.entry(number.to_bits()).or_insert(next),
            Value::Text(text) => match self.texts.get(text) {
                Some(known) => *known,
                None => *self.texts.entry(text.clone()).or_insert(next),
            },
            Value::Bool(truth) => *self.truths.entry(*truth).or_insert(next),
        };
        if known == next {
            self.values.push(value);
        }
        if element { self.elements.push((ordinal, known)) } else { self.single.push((ordinal, known)) }
    }

    /// The column of a segment with so many documents.
    pub(super) fn finish(self, documents: usize) -> Field {
        let mut sorted: Vec<u32> = (0u32..).take(self.values.len()).collect();
        sorted.sort_unstable_by(|&one, &two| self.values[one as usize].compare(&self.values[two as usize]));
        let mut code_of = vec![0; sorted.len()];
        let (mut numbers, mut texts, mut truths) = (Vec::new(), Strings::default(), Vec::new());
        for (code, known) in (0u32..).zip(&sorted) {
            code_of[*known as usize] = code;
            match &self.values[*known as usize] {
                Value::Number(number) => numbers.push(*number),
                Value::Text(text) => texts.push(text),
                Value::Bool(truth) => truths.push(*truth),
            }
        }
        let coded = |pairs: Vec<(u32, u32)>| -> Vec<(u32, u32)> {
            pairs.into_iter().map(|(ordinal, known)| (ordinal, code_of[known as usize])).collect()
        };
        let (single, mut elements) = (coded(self.single), coded(self.elements));
        elements.sort_unstable();
        elements.dedup();
        let codes = encode(&single, sorted.len(), documents);
        Field { numbers, texts, truths, codes, elements, groups: self.groups }
    }
}

/// Chooses the smallest way to keep the codes.
fn encode(single: &[(u32, u32)], values: usize, documents: usize) -> Codes {
    if single.len() < documents / 8 {
        return single.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>().into();
    }
    if values < usize::from(u8::MAX) {
        return Codes::Bytes(dense(single, documents, u8::MAX));
    }
    if values < usize::from(u16::MAX) {
        return Codes::Words(dense(single, documents, u16::MAX));
    }
    Codes::Full(dense(single, documents, MISSING))
}

impl From<(Vec<u32>, Vec<u32>)> for Codes {
    fn from((ordinals, codes): (Vec<u32>, Vec<u32>)) -> Self {
        Codes::Few(ordinals, codes)
    }
}

fn dense<T: Copy + TryFrom<u32>>(single: &[(u32, u32)], documents: usize, missing: T) -> Vec<T> {
    let mut codes = vec![missing; documents];
    for (ordinal, code) in single {
        codes[*ordinal as usize] = T::try_from(*code).unwrap_or(missing);
    }
    codes
}
