//! Buckets of tests, each its own.

use dapple::clock::SystemClock;
use dapple::model::endpoint::{Endpoint, EndpointKind};
use dapple::model::probe::Probe;
use dapple::model::time::Timestamp;
use dapple::storage::backend::Backend as _;
use dapple::storage::s3::S3;
use dapple::storage::secret::Secret;

use crate::peers::radosgw::radosgw;
use crate::storage_conformance::world::endpoint;

/// A bucket of a server; it need not be there yet.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) endpoint: Endpoint,
    pub(crate) pair: Option<String>,
}

impl Bucket {
    /// A bucket that nobody else has.
    pub(crate) fn fresh(url: &str, pair: &str) -> Self {
        let location = format!("{url}/lake-{:x}", SystemClock::shared().random());
        Self { endpoint: endpoint(EndpointKind::S3, &location), pair: Some(pair.to_owned()) }
    }

    /// One of the real server.
    pub(crate) fn on_radosgw() -> Self {
        let server = radosgw();
        Self::fresh(&server.url(), &format!("{}:{}", server.key, server.secret))
    }

    /// A part of it.
    pub(crate) fn below(mut self, prefix: &str) -> Self {
        self.endpoint.location = format!("{}/{prefix}", self.endpoint.location);
        self
    }

    /// The same bucket by another URL.
    pub(crate) fn by(&self, url: &str) -> Self {
        let mut other = self.clone();
        let rest = other.endpoint.location.splitn(4, '/').nth(3).expect("it has a bucket").to_owned();
        other.endpoint.location = format!("{url}/{rest}");
        other
    }

    /// The same bucket for somebody else.
    pub(crate) fn with(&self, pair: Option<&str>) -> Self {
        Self { endpoint: self.endpoint.clone(), pair: pair.map(ToOwned::to_owned) }
    }

    /// Made, and what it does kept with it.
    pub(crate) async fn probed(mut self) -> Self {
        let store = self.open();
        store.create_root().await.expect("it can be made");
        let findings = store.probe().await.expect("it can be probed");
        self.endpoint.probe = Some(Probe { at: Timestamp::from_millis(0), findings });
        self
    }

    pub(crate) fn open(&self) -> S3 {
        let secret = self.pair.as_deref().map(|pair| Secret::parse(pair).expect("a pair"));
        S3::open(&self.endpoint, secret).expect("it can be opened")
    }
}
