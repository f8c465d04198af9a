//! The demo's endpoints, one of each kind: a directory, an S3 store and a WebDAV server. The last two
//! run in this process for as long as the demo does.
//!
//! A demo that is kept with `--dir` finds its stores again: where they listened and whom they let in
//! lies beside their files, readable by their owner alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;

use crate::app::error::AppError;
use crate::app::secrets::read_or_make;
use crate::app::stores::{Pair, Store, s3, webdav};
use crate::cli::failure::Failure;
use crate::clock::SharedClock;
use crate::model::endpoint::EndpointKind;

/// An endpoint of the demo.
pub(super) struct Site {
    pub(super) name: &'static str,
    pub(super) kind: EndpointKind,
    country: &'static str,
    tier: &'static str,
    /// What its root is called there: the bucket of S3, the collection of WebDAV.
    root: &'static str,
}

/// None is in France: one rule asks for that.
pub(super) const SITES: [Site; 3] = [
    Site { name: "lisbon", kind: EndpointKind::Posix, country: "PT", tier: "1", root: "" },
    Site { name: "hamburg", kind: EndpointKind::S3, country: "DE", tier: "1", root: "lake" },
    Site { name: "bologna", kind: EndpointKind::Webdav, country: "IT", tier: "2", root: "dav" },
];

impl Site {
    /// Where its objects lie on this machine, below the directory of all sites.
    pub(super) fn files(&self, sites: &Path) -> PathBuf {
        let site = sites.join(self.name);
        if self.root.is_empty() { site } else { site.join(self.root) }
    }

    /// The words that add it to a lake.
    pub(super) fn add(&self, sites: &Path, stores: &Stores) -> Vec<String> {
        let root = self.root;
        let place = match self.kind {
            EndpointKind::S3 => format!("--url http://{} --bucket {root}", stores.s3.address),
            EndpointKind::Webdav => format!("--url http://{}/{root}", stores.webdav.address),
            EndpointKind::Posix | EndpointKind::Memory => "--path".to_owned(),
        };
        let begin = format!("endpoint add {} --kind {} {place}", self.name, self.kind.name());
        let mut words: Vec<String> = begin.split(' ').map(str::to_owned).collect();
        if self.kind == EndpointKind::Posix {
            words.push(self.files(sites).display().to_string());
        } else {
            words.extend(["--secret-file".to_owned(), beside(sites, self.name, "secret").display().to_string()]);
        }
        let end = format!("--create --attr country={} --attr tier={}", self.country, self.tier);
        words.extend(end.split(' ').map(str::to_owned));
        words
    }
}

/// The stores that run in this process.
pub(super) struct Stores {
    pub(super) s3: Store,
    pub(super) webdav: Store,
}

impl Stores {
    /// Starts the stores of the sites below a directory.
    pub(super) async fn start(sites: &Path, clock: &SharedClock) -> Result<Self, Failure> {
        let [_, hamburg, bologna] = SITES;
        std::fs::create_dir_all(sites).map_err(|error| Failure::io("make", sites, error))?;
        Ok(Self {
            s3: start(sites, hamburg.name, s3::router, clock).await?,
            webdav: start(sites, bologna.name, webdav::router, clock).await?,
        })
    }

    /// Stops them in order.
    pub(super) async fn stop(self) {
        self.s3.stop().await;
        self.webdav.stop().await;
    }
}

async fn start(
    sites: &Path,
    name: &str,
    router: impl FnOnce(&Path, &Pair) -> Result<Router, AppError>,
    clock: &SharedClock,
) -> Result<Store, Failure> {
    let secret = beside(sites, name, "secret");
    let (text, _) = read_or_make(&secret, || Pair::random(clock.as_ref()).text())?;
    let pair = Pair::parse(&text).ok_or(AppError::Spoilt { path: secret, what: "a name and a word" })?;
    let router = router(&sites.join(name), &pair)?;
    let known = beside(sites, name, "address");
    let wanted = match std::fs::read_to_string(&known) {
        Ok(text) => text.trim().parse().map_err(|_| AppError::Spoilt { path: known.clone(), what: "an address" })?,
        Err(_) => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let store = Store::serve(router, wanted, clock.clone()).await?;
    // The lake knows it by this address from now on.
    read_or_make(&known, || store.address.to_string())?;
    Ok(store)
}

fn beside(sites: &Path, name: &str, what: &str) -> PathBuf {
    sites.join(format!("{name}.{what}"))
}
