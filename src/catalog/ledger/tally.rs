//! Coverage and usage as base plus deltas. Whoever changes a count writes a delta without reading
//! anything, so that nothing waits for a hot row; a folder sums deltas into the base. Readers add
//! both up, in one snapshot.

use std::collections::BTreeMap;
use std::ops::{Add, AddAssign, Neg};

use crate::catalog::record::{Coverage, CoverageDeltas, FoldRecord, Folds, Tally, Usage, UsageDeltas};
use crate::catalog::{CatalogError, Txn, View};
use crate::model::id::{DidId, EndpointId};

/// The most deltas that one fold takes; each costs a deletion within the transaction's limit.
const FOLD_MAX: usize = 2_000;
/// Keys that a fold leaves to what else its transaction has to write.
const KEYS_LEFT: usize = 4_000;

fn fold_max(txn: &Txn) -> usize {
    FOLD_MAX.min(txn.room().saturating_sub(KEYS_LEFT) / 2)
}
/// The most deltas that a reader adds up. A folder is never so far behind that there are more.
const READ_MAX: usize = 100_000;

impl Tally {
    /// One file of so many bytes.
    pub fn one(bytes: u64) -> Self {
        Self { files: 1, bytes: i64::try_from(bytes).expect("a file is smaller than 8 EiB") }
    }
}

/// Sums stop at the largest and the smallest number: lengths are what somebody says they are, and nobody
/// shall bring a server down with them.
impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { files: self.files.saturating_add(other.files), bytes: self.bytes.saturating_add(other.bytes) }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Tally {
    type Output = Self;

    fn neg(self) -> Self {
        Self { files: self.files.saturating_neg(), bytes: self.bytes.saturating_neg() }
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}

/// What of a dataset is available at an endpoint.
pub async fn coverage(view: &View, dataset: DidId, endpoint: EndpointId) -> Result<Tally, CatalogError> {
    let base = view.get::<Coverage>(&(dataset, endpoint)).await?.unwrap_or_default();
    let deltas = view.scan::<CoverageDeltas>(&(dataset, endpoint), READ_MAX).await?;
    Ok(base + deltas.into_iter().map(|(_, delta)| delta).sum())
}

/// The same of many datasets and endpoints, in their order.
pub async fn coverages(view: &View, of: &[(DidId, EndpointId)]) -> Result<Vec<Tally>, CatalogError> {
    let bases = view.get_many::<Coverage>(of).await?;
    let deltas = view.scan_many::<CoverageDeltas>(of, READ_MAX).await?;
    let sums = bases.into_iter().zip(deltas);
    Ok(sums.map(|(base, deltas)| base.unwrap_or_default() + deltas.into_iter().map(|(_, delta)| delta).sum()).collect())
}

/// What of a dataset is available, by endpoint. Endpoints without anything are left out.
pub async fn coverage_everywhere(view: &View, dataset: DidId) -> Result<BTreeMap<EndpointId, Tally>, CatalogError> {
    let mut sums = BTreeMap::<EndpointId, Tally>::new();
    for ((_, endpoint), base) in view.scan::<Coverage>(&(dataset,), READ_MAX).await? {
        *sums.entry(endpoint).or_default() += base;
    }
    for ((_, endpoint, _), delta) in view.scan::<CoverageDeltas>(&(dataset,), READ_MAX).await? {
        *sums.entry(endpoint).or_default() += delta;
    }
    sums.retain(|_, tally| *tally != Tally::default());
    Ok(sums)
}

/// What lies at an endpoint.
pub async fn usage(view: &View, endpoint: EndpointId) -> Result<Tally, CatalogError> {
    let base = view.get::<Usage>(&(endpoint,)).await?.unwrap_or_default();
    let deltas = view.scan::<UsageDeltas>(&(endpoint,), READ_MAX).await?;
    Ok(base + deltas.into_iter().map(|(_, delta)| delta).sum())
}

pub(super) fn add_coverage(txn: &Txn, dataset: DidId, endpoint: EndpointId, delta: Tally) {
    txn.put::<CoverageDeltas>(&(dataset, endpoint, txn.fresh()), &delta);
    ask_fold(txn, FoldRecord::Unit(dataset, endpoint));
}

pub(super) fn add_usage(txn: &Txn, endpoint: EndpointId, delta: Tally) {
    txn.put::<UsageDeltas>(&(endpoint, txn.fresh()), &delta);
    ask_fold(txn, FoldRecord::Usage(endpoint));
}

/// Asks the folder to look at a unit or an endpoint.
pub fn ask_fold(txn: &Txn, fold: FoldRecord) {
    txn.put::<Folds>(&(txn.fresh(),), &fold);
}

/// Sums deltas of coverage into the base and returns what a reader would see.
pub(super) async fn fold_coverage(txn: &Txn, dataset: DidId, endpoint: EndpointId) -> Result<Tally, CatalogError> {
    let mut base = txn.get::<Coverage>(&(dataset, endpoint)).await?.unwrap_or_default();
    let most = fold_max(txn);
    let deltas = txn.scan::<CoverageDeltas>(&(dataset, endpoint), most + 1).await?;
    if deltas.is_empty() {
        return Ok(base);
    }
    let complete = deltas.len() <= most;
    for (key, delta) in deltas.into_iter().take(most) {
        base += delta;
        txn.clear::<CoverageDeltas>(&key);
    }
    txn.put::<Coverage>(&(dataset, endpoint), &base);
    if complete {
        return Ok(base);
    }
    ask_fold(txn, FoldRecord::Unit(dataset, endpoint));
    coverage(txn, dataset, endpoint).await
}

/// Sums deltas of usage into the base.
pub async fn fold_usage(txn: &Txn, endpoint: EndpointId) -> Result<(), CatalogError> {
    let mut base = txn.get::<Usage>(&(endpoint,)).await?.unwrap_or_default();
    let most = fold_max(txn);
    let deltas = txn.scan::<UsageDeltas>(&(endpoint,), most + 1).await?;
    if deltas.len() > most {
        ask_fold(txn, FoldRecord::Usage(endpoint));
    }
    for (key, delta) in deltas.into_iter().take(most) {
        base += delta;
        txn.clear::<UsageDeltas>(&key);
    }
    txn.put::<Usage>(&(endpoint,), &base);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stop_at_their_ends() {
        let most = Tally { files: i64::MAX, bytes: i64::MAX };
        let least = Tally { files: i64::MIN, bytes: i64::MIN };
        assert_eq!(most + Tally::one(1), most);
        assert_eq!([most, most, Tally::one(5)].into_iter().sum::<Tally>(), most);
        assert_eq!((-least, least + -most), (most, least));
        let mut sum = Tally::one(7);
        sum += -Tally::one(7);
        assert_eq!(sum, Tally::default());
    }
}
