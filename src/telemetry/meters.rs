//! Numbers that a process counts while it works, in the text that Prometheus reads.
//!
//! One set for each lake, handed to whoever counts; nothing is global. Labels have few values each:
//! routes, methods, states and codes, never names of data, accounts or addresses.

use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::telemetry::process;

/// The type of the text, as scrapers ask for it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label.
type By = [(&'static str, &'static str); 1];
/// A request's route, method and status.
type Request = [(&'static str, String); 3];
/// A request's route and method.
type Route = [(&'static str, String); 2];

/// How long requests take: a cached answer, a commit, a slow store.
const REQUEST_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.05, 0.2, 1.0, 5.0, 20.0, 60.0];
/// How long commits take: memory, a disk, a busy disk.
const COMMIT_SECONDS: [f64; 9] = [0.000_5, 0.002, 0.005, 0.01, 0.02, 0.05, 0.2, 1.0, 5.0];

/// What became of a transfer's attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// The file is there.
    Landed,
    /// Nobody wants the file there any more.
    Cancelled,
    /// It failed, and will be tried again soon.
    Interrupted,
    /// It failed, and rests until something changes.
    Failed,
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client.
    In,
    /// To a client.
    Out,
}

/// All that a process counts.
#[derive(Debug)]
pub struct Meters {
    requests: Family<Request, Counter>,
    request_seconds: Family<Route, Histogram, fn() -> Histogram>,
    refused: Family<By, Counter>,
    connections: Gauge,
    connection_bytes: Family<By, Counter>,
    attempts: Family<By, Counter>,
    transferred_bytes: Counter,
    commits: Family<By, Counter>,
    commit_seconds: Histogram,
    repeats: Counter,
    feed_head: Gauge,
    index_position: Gauge,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            refused: Family::default(),
            connections: Gauge::default(),
            connection_bytes: Family::default(),
            attempts: Family::default(),
            transferred_bytes: Counter::default(),
            commits: Family::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            repeats: Counter::default(),
            feed_head: Gauge::default(),
            index_position: Gauge::default(),
        }
    }
}

impl Meters {
    /// Counts an answered request. `route` is the pattern, not the path.
    pub fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let (route, method) = (route.to_owned(), method.to_owned());
        let of = [("route", route.clone()), ("method", method.clone())];
        self.request_seconds.get_or_create(&of).observe(took.as_secs_f64());
        let of = [("route", route), ("method", method), ("status", status.to_string())];
        self.requests.get_or_create(&of).inc();
    }

    /// Counts a request that a limit refused, by the code of its problem.
    pub fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&[("code", code)]).inc();
    }

    /// Counts a connection that begins; it ends when what is returned is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// Counts bytes of connections, encrypted ones as they were sent.
    pub fn moved(&self, way: Way, bytes: u64) {
        let way = match way {
            Way::In => "in",
            Way::Out => "out",
        };
        self.connection_bytes.get_or_create(&[("direction", way)]).inc_by(bytes);
    }

    /// Counts an attempt of a transfer that ended, and the bytes that it brought.
    pub fn attempted(&self, attempt: Attempt, bytes: u64) {
        let outcome = match attempt {
            Attempt::Landed => "landed",
            Attempt::Cancelled => "cancelled",
            Attempt::Interrupted => "interrupted",
            Attempt::Failed => "failed",
        };
        self.attempts.get_or_create(&[("outcome", outcome)]).inc();
        if attempt == Attempt::Landed {
            self.transferred_bytes.inc_by(bytes);
        }
    }

    /// Counts a transaction of the catalog. One that is committed tells the newest change it saw. Answers
    /// whether that is a newer one.
    pub fn transacted(&self, newest: Option<u64>, took: Duration) -> bool {
        let outcome = if newest.is_some() { "committed" } else { "aborted" };
        self.commits.get_or_create(&[("outcome", outcome)]).inc();
        self.commit_seconds.observe(took.as_secs_f64());
        newest.and_then(|newest| i64::try_from(newest).ok()).is_some_and(|newest| {
            self.feed_head.inner().fetch_max(newest, std::sync::atomic::Ordering::Relaxed) < newest
        })
    }

    /// Counts how often a transaction had to run again because another was in its way.
    pub fn repeated(&self, times: u32) {
        self.repeats.inc_by(u64::from(times));
    }

    /// Notes how far the search index follows the feed, which goes at least as far.
    pub fn indexed(&self, position: u64) {
        let seen = i64::try_from(position).unwrap_or(i64::MAX);
        self.feed_head.inner().fetch_max(seen, std::sync::atomic::Ordering::Relaxed);
        self.index_position.set(i64::try_from(position).unwrap_or(i64::MAX));
    }

    /// The newest change that a transaction of this process has seen.
    pub fn feed_head(&self) -> u64 {
        u64::try_from(self.feed_head.get()).unwrap_or(0)
    }

    /// The text, with what is counted elsewhere: each with its name, help, label, and values by that.
    pub fn text(&self, counted: &[Counted]) -> String {
        let mut all = Registry::default();
        self.register(all.sub_registry_with_prefix("dapple"));
        for counted in counted {
            let family = Family::<By, Gauge>::default();
            for (value, count) in &counted.values {
                family.get_or_create(&[(counted.label, value)]).set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            all.register(format!("dapple_{}", counted.name), counted.help, family);
        }
        process::register(&mut all);
        let mut text = String::new();
        text::encode(&mut text, &all).expect("a string takes all text");
        text
    }

    fn register(&self, all: &mut Registry) {
        all.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        all.register("http_requests", "Requests that were answered", self.requests.clone());
        let help = "How long requests took until their answer began";
        all.register_with_unit("http_request_duration", help, Unit::Seconds, self.request_seconds.clone());
        all.register("http_requests_refused", "Requests that a limit refused, by code", self.refused.clone());
        all.register("connections_open", "Connections that are open", self.connections.clone());
        let help = "Bytes that went through connections";
        all.register_with_unit("connections", help, Unit::Bytes, self.connection_bytes.clone());
        all.register("transfer_attempts", "Attempts of transfers that ended, by outcome", self.attempts.clone());
        let help = "Bytes of files that transfers brought";
        all.register_with_unit("transferred", help, Unit::Bytes, self.transferred_bytes.clone());
        all.register("catalog_transactions", "Transactions of the catalog, by outcome", self.commits.clone());
        let help = "How long transactions of the catalog took, until they were on disk";
        all.register_with_unit("catalog_transaction_duration", help, Unit::Seconds, self.commit_seconds.clone());
        let help = "How often transactions of the catalog ran again because another was in their way";
        all.register("catalog_transactions_repeated", help, self.repeats.clone());
        all.register("change_feed_head", "The newest change that this process has seen", self.feed_head.clone());
        let position = self.index_position.clone();
        all.register("search_index_position", "The last change that the search index has taken account of", position);
    }
}

/// Something that is counted when it is asked for: how many there are, by a label.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Its name, without the prefix that all have.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// What the label says.
    pub label: &'static str,
    /// How many there are of each.
    pub values: Vec<(&'static str, u64)>,
}

/// A connection that is open.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
