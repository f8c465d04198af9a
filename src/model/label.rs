//! Labels: what is to be known of data to say who may have it and where it may be. A label set is
//! put on a scope, a container, a dataset or a file, and binds everything below it as well:
//! [`LabelSet::join`] is the one function that says what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// The most bytes of a label's key.
pub const KEY_BYTES_MAX: usize = 32;
/// The most bytes of a label's value.
pub const VALUE_BYTES_MAX: usize = 256;
/// The most free tags of one set.
pub const TAGS_MAX: usize = 32;

/// How sensitive data is, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classification {
    /// For everybody.
    Public,
    /// For everybody with an account; so is what has no classification.
    Internal,
    /// For those whom it concerns.
    Restricted,
    /// About persons.
    Personal,
}

impl Classification {
    /// Every classification, from the least sensitive to the most.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Restricted, Self::Personal];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Classification::Public => "public",
            Classification::Internal => "internal",
            Classification::Restricted => "restricted",
            Classification::Personal => "personal",
        }
    }
}

/// What is said of data. Everything may be left open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSet {
    /// How sensitive it is.
    pub classification: Option<Classification>,
    /// The project it belongs to.
    pub project: Option<String>,
    /// Until when it is kept back.
    pub embargo: Option<Timestamp>,
    /// The licence under which it is given.
    pub licence: Option<String>,
    /// The countries in which copies may lie; open means everywhere.
    pub residency: Option<BTreeSet<String>>,
    /// Free tags, each with one value or more.
    pub tags: BTreeMap<String, BTreeSet<String>>,
}

/// The text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabel {
    /// There is no `=`, or nothing before it.
    #[error("`{0}` is no label: write `KEY=VALUE`, or `KEY=` to take a label away")]
    Shape(String),
    /// The key has letters it cannot have.
    #[error("`{0}` cannot be a label's key: use lower-case letters, digits, `_` and `-`, at most {KEY_BYTES_MAX}")]
    Key(String),
    /// The value is too long, or not text.
    #[error("the value of the label `{0}` cannot be: it has 1 to {VALUE_BYTES_MAX} printable characters")]
    Value(String),
    /// There is no such classification.
    #[error("`{0}` is no classification: use public, internal, restricted or personal")]
    Classification(String),
    /// The embargo is no time.
    #[error("`{0}` is no time for an embargo: write `2027-01-01` or `2027-01-01T12:00:00Z`")]
    Embargo(String),
    /// There are too many tags.
    #[error("a label set has at most {TAGS_MAX} free tags")]
    TooMany,
}

/// One label to set, or to take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelChange {
    /// Its key.
    pub key: String,
    /// Its value as text; `None` takes it away.
    pub value: Option<String>,
}

impl LabelChange {
    /// Reads `KEY=VALUE`, or `KEY=`.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let (key, value) = text.split_once('=').ok_or_else(|| InvalidLabel::Shape(text.to_owned()))?;
        if key.is_empty() {
            return Err(InvalidLabel::Shape(text.to_owned()));
        }
        Ok(Self { key: key.to_owned(), value: (!value.is_empty()).then(|| value.to_owned()) })
    }
}

impl LabelSet {
    /// The set after changes.
    pub fn changed(&self, changes: &[LabelChange]) -> Result<Self, InvalidLabel> {
        let mut new = self.clone();
        for change in changes {
            new.set(&change.key, change.value.as_deref())?;
        }
        if new.tags.len() > TAGS_MAX {
            return Err(InvalidLabel::TooMany);
        }
        Ok(new)
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), InvalidLabel> {
        if let Some(value) = value {
            check_value(key, value)?;
        }
        match key {
            "classification" => self.classification = value.map(read_classification).transpose()?,
            "project" => self.project = value.map(str::to_owned),
            "embargo" => self.embargo = value.map(read_embargo).transpose()?,
            "licence" => self.licence = value.map(str::to_owned),
            "residency" => self.residency = value.map(|value| read_values(key, value)).transpose()?,
            _ => {
                check_key(key)?;
                match value {
                    Some(value) => self.tags.insert(key.to_owned(), read_values(key, value)?),
                    None => self.tags.remove(key),
                };
            }
        }
        Ok(())
    }

    /// What holds for data with these labels below something with those of `above`: the higher
    /// classification, the later embargo, the countries that both allow, all tags, and where only
    /// one can hold, what stands nearer.
    #[must_use]
    pub fn join(&self, above: &Self) -> Self {
        let residency = match (&self.residency, &above.residency) {
            (Some(near), Some(far)) => Some(near & far),
            (near, far) => near.clone().or_else(|| far.clone()),
        };
        let mut tags = self.tags.clone();
        for (key, values) in &above.tags {
            tags.entry(key.clone()).or_default().extend(values.iter().cloned());
        }
        Self {
            classification: self.classification.max(above.classification),
            project: self.project.clone().or_else(|| above.project.clone()),
            embargo: self.embargo.max(above.embargo),
            licence: self.licence.clone().or_else(|| above.licence.clone()),
            residency,
            tags,
        }
    }

    /// The classification, with that of data of which nothing is said.
    pub fn classification(&self) -> Classification {
        self.classification.unwrap_or(Classification::Internal)
    }

    /// Tells whether going from `before` to this only takes away: no lower classification, no
    /// earlier embargo, no more countries, and everything else as it was.
    pub fn only_tightens(&self, before: &Self) -> bool {
        let countries = match (&before.residency, &self.residency) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(after)) => after.is_subset(before),
        };
        // A label of its own that says `internal` holds against a scope that says `public`.
        let kept = self.classification.is_some() || before.classification.is_none();
        kept && self.classification() >= before.classification()
            && self.embargo >= before.embargo
            && countries
            && (&self.project, &self.licence, &self.tags) == (&before.project, &before.licence, &before.tags)
    }

    /// The labels as `KEY=VALUE`, the best known first.
    pub fn words(&self) -> Vec<(String, String)> {
        let list = |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let known = [
            ("classification", self.classification.map(|one| one.name().to_owned())),
            ("project", self.project.clone()),
            ("embargo", self.embargo.map(|until| until.to_string())),
            ("licence", self.licence.clone()),
            ("residency", self.residency.as_ref().map(list)),
        ];
        let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        known.chain(self.tags.iter().map(|(key, values)| (key.clone(), list(values)))).collect()
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.words().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&words.join(" "))
    }
}

fn check_key(key: &str) -> Result<(), InvalidLabel> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let good = !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(fits);
    if good { Ok(()) } else { Err(InvalidLabel::Key(key.to_owned())) }
}

fn check_value(key: &str, value: &str) -> Result<(), InvalidLabel> {
    let good = !value.is_empty() && value.len() <= VALUE_BYTES_MAX && !value.chars().any(char::is_control);
    if good { Ok(()) } else { Err(InvalidLabel::Value(key.to_owned())) }
}

fn read_classification(value: &str) -> Result<Classification, InvalidLabel> {
    let found = Classification::ALL.into_iter().find(|one| one.name() == value);
    found.ok_or_else(|| InvalidLabel::Classification(value.to_owned()))
}

/// A day means its beginning, in UTC.
fn read_embargo(value: &str) -> Result<Timestamp, InvalidLabel> {
    let whole = if value.contains('T') { value.to_owned() } else { format!("{value}T00:00:00Z") };
    whole.parse().map_err(|_| InvalidLabel::Embargo(value.to_owned()))
}

fn read_values(key: &str, value: &str) -> Result<BTreeSet<String>, InvalidLabel> {
    let values: BTreeSet<String> = value.split(',').map(|one| one.trim().to_owned()).collect();
    if values.contains("") { Err(InvalidLabel::Value(key.to_owned())) } else { Ok(values) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(words: &[&str]) -> LabelSet {
        let changes: Vec<_> = words.iter().map(|word| LabelChange::parse(word).unwrap()).collect();
        LabelSet::default().changed(&changes).unwrap()
    }

    #[test]
    fn labels_are_read_shown_and_taken_away() {
        let all = ["classification=restricted", "project=eo", "embargo=2027-01-01", "residency=DE,FR", "sensor=s2"];
        let set = labels(&all);
        let shown = "classification=restricted project=eo embargo=2027-01-01T00:00:00.000Z residency=DE,FR sensor=s2";
        assert_eq!(set.to_string(), shown);
        let less = set.changed(&[LabelChange::parse("project=").unwrap(), LabelChange::parse("sensor=").unwrap()]);
        assert_eq!(less.unwrap(), labels(&["classification=restricted", "embargo=2027-01-01", "residency=DE,FR"]));
        for wrong in ["classification=secret", "embargo=soon", "Sensor=s2", "x", "=y", "a=b,,c", "a=\u{1}"] {
            let read = LabelChange::parse(wrong).and_then(|change| LabelSet::default().changed(&[change]));
            assert!(read.is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_strictest_and_the_nearest_hold() {
        let near = labels(&["classification=internal", "project=eo", "residency=DE,FR", "a=1", "embargo=2027-01-01"]);
        let far = labels(&["classification=personal", "project=x", "residency=FR,ES", "a=2", "licence=by"]);
        let all = ["classification=personal", "project=eo", "residency=FR", "a=1,2", "licence=by"];
        assert_eq!(near.join(&far), labels(&[&all[..], &["embargo=2027-01-01"]].concat()));
    }

    fn any_set() -> impl Strategy<Value = LabelSet> {
        let countries = proptest::collection::btree_set("[A-C]", 0..3);
        let class = proptest::option::of(proptest::sample::select(Classification::ALL.to_vec()));
        let embargo = proptest::option::of((0..4_u64).prop_map(Timestamp::from_millis));
        (class, proptest::option::of("[ab]"), embargo, proptest::option::of(countries)).prop_map(
            |(classification, project, embargo, residency)| LabelSet {
                classification,
                project,
                embargo,
                residency,
                ..LabelSet::default()
            },
        )
    }

    proptest! {
        #[test]
        fn what_tightens_above_tightens_whatever_lies_below(near in any_set(), old in any_set(), new in any_set()) {
            // Two sets at random seldom tighten: the second is made to.
            let new = LabelSet { project: old.project.clone(), ..old.join(&new) };
            let (before, after) = (near.join(&old), near.join(&new));
            prop_assert!(!new.only_tightens(&old) || after.only_tightens(&before), "{before} to {after}");
        }

        #[test]
        fn what_lies_below_is_never_looser(near in any_set(), far in any_set()) {
            let joined = near.join(&far);
            let strict = |set: &LabelSet| (set.classification, set.embargo);
            prop_assert!(strict(&joined).0 >= strict(&near).0 && strict(&joined).0 >= strict(&far).0);
            prop_assert!(joined.embargo >= near.embargo && joined.embargo >= far.embargo);
            prop_assert_eq!(joined.join(&far), joined.clone(), "joining again changes nothing");
            let same_project = LabelSet { project: near.project.clone(), ..joined };
            prop_assert!(near.classification.is_none() || same_project.only_tightens(&near));
        }
    }
}
