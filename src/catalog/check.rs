//! The catalog's invariants as functions over one consistent state: what always holds, whoever
//! asks. Tests, the simulator, `dapple doctor` and a slow worker call the same ones.
//!
//! Reads only, page by page: memory grows with what one dataset or one rule spans, never with the
//! lake. Says what is wrong, never mends it.

use crate::catalog::engine::BoxFuture;
use crate::catalog::table::{Parts as _, Typed};
use crate::catalog::{CatalogError, Rows, View};

mod counts;
mod holdings;
mod metadata;
mod mirrors;
mod rules;
mod transfers;

#[cfg(test)]
mod tests;

/// How many rows are read together.
const PAGE: usize = 1_000;

/// One way in which the catalog contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The invariant that does not hold, one of [`ALL`].
    pub invariant: &'static str,
    /// What it does not hold for.
    pub what: String,
    /// What was found, and what should have been.
    pub detail: String,
}

/// How much a run may find before it stops looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most findings of one invariant; where there are more, a person has seen enough.
    pub findings_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { findings_max: 100 }
    }
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The invariant being looked at.
    pub invariant: &'static str,
    /// Rows of it seen so far.
    pub rows: u64,
}

/// An invariant: what it found wrong goes to the report.
pub type Check = for<'a> fn(&'a View, &'a mut Report<'_>) -> BoxFuture<'a, Result<(), CatalogError>>;

/// Every invariant with its name. Names are stable: scripts and metrics rely on them.
pub const ALL: &[(&str, Check)] = &[
    ("names-mirror-dids", |v, r| Box::pin(mirrors::names(v, r))),
    ("contents-mirror-parents", |v, r| Box::pin(mirrors::membership(v, r))),
    ("paths-mirror-replicas", |v, r| Box::pin(mirrors::paths(v, r))),
    ("indexes-mirror-rows", |v, r| Box::pin(mirrors::indexes(v, r))),
    ("metadata-has-its-did", |v, r| Box::pin(metadata::has_its_did(v, r))),
    ("heads-equal-contents", |v, r| Box::pin(counts::heads(v, r))),
    ("coverage-equals-recount", |v, r| Box::pin(counts::coverage(v, r))),
    ("usage-equals-recount", |v, r| Box::pin(counts::usage(v, r))),
    ("lock-counts-equal-recount", |v, r| Box::pin(counts::lock_counts(v, r))),
    ("holders-equal-locks", |v, r| Box::pin(holdings::holders(v, r))),
    ("holdings-equal-recount", |v, r| Box::pin(holdings::sums(v, r))),
    ("locks-match-placements", |v, r| Box::pin(rules::placements(v, r))),
    ("ok-rules-have-their-copies", |v, r| Box::pin(rules::copies(v, r))),
    ("transfers-mirror-intents", |v, r| Box::pin(transfers::intents(v, r))),
    ("transfers-have-an-end", |v, r| Box::pin(transfers::ends(v, r))),
    ("stuck-files-are-told", |v, r| Box::pin(transfers::stuck_files(v, r))),
    ("places-are-decided", |v, r| Box::pin(transfers::decisions(v, r))),
];

/// Checks every invariant and says what does not hold. Nothing found means that all of them do.
pub async fn run(
    view: &View,
    limits: Limits,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Vec<Finding>, CatalogError> {
    let mut findings = Vec::new();
    for (name, check) in ALL {
        findings.extend(run_one(name, *check, view, limits, &mut progress).await?);
    }
    Ok(findings)
}

async fn run_one(
    invariant: &'static str,
    check: Check,
    view: &View,
    limits: Limits,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<Finding>, CatalogError> {
    let mut report = Report { invariant, limits, findings: Vec::new(), rows: 0, progress };
    report.saw(0);
    check(view, &mut report).await?;
    Ok(report.findings)
}

/// Collects what one invariant finds.
pub struct Report<'p> {
    invariant: &'static str,
    limits: Limits,
    findings: Vec<Finding>,
    rows: u64,
    progress: &'p mut (dyn FnMut(Progress) + Send),
}

impl Report<'_> {
    fn add(&mut self, what: impl Into<String>, detail: impl Into<String>) {
        if !self.is_full() {
            self.findings.push(Finding { invariant: self.invariant, what: what.into(), detail: detail.into() });
        }
    }

    /// Adds a finding unless `holds`.
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String, detail: impl FnOnce() -> String) {
        if !holds {
            self.add(what(), detail());
        }
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= self.limits.findings_max
    }

    fn saw(&mut self, rows: usize) {
        self.rows += rows as u64;
        (self.progress)(Progress { invariant: self.invariant, rows: self.rows });
    }
}

/// The rows below a prefix, a page at a time.
struct Pages<T: Typed, P> {
    prefix: P,
    after: Option<T::Key>,
    is_done: bool,
}

impl<T: Typed, P: crate::catalog::table::Parts> Pages<T, P> {
    fn below(prefix: P) -> Self {
        Self { prefix, after: None, is_done: false }
    }

    /// The next page; empty at the end, and once the report is full.
    async fn next(&mut self, view: &View, report: &mut Report<'_>) -> Result<Rows<T>, CatalogError> {
        if self.is_done || report.is_full() {
            return Ok(Vec::new());
        }
        let rows = match &self.after {
            None => view.scan::<T>(&self.prefix, PAGE).await?,
            Some(key) => view.scan_after::<T>(&self.prefix, key, PAGE).await?,
        };
        self.is_done = rows.len() < PAGE;
        self.after = rows.last().map(|(key, _)| key.clone());
        report.saw(rows.len());
        Ok(rows)
    }
}

/// All rows of a table, a page at a time.
fn all<T: Typed>() -> Pages<T, ()> {
    Pages::below(())
}

/// Tells whether an index row stands where a record's indexes say.
fn has_index<I: Typed>(rows: &[crate::catalog::table::IndexRow], key: &I::Key) -> bool {
    rows.contains(&(I::TABLE, key.encode()))
}
