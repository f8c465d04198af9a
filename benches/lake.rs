//! What the acts of a data manager cost, beside what they cost elsewhere. In one process, on a
//! scratch directory: `cargo bench --bench lake`. Prints a table and, as the last line, one JSON
//! object with all figures.
//!
//! Costs of peers were measured on two cores of a like machine: Rucio 41.5 on PostgreSQL, in CPU
//! seconds of its server and database; rclone 1.60 copying small files to a WebDAV server.

#![expect(clippy::disallowed_methods, reason = "a bench measures the time of the world")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dapple::app::serve::{ServeArgs, Server, start};
use dapple::client::Client;
use dapple::clock::SystemClock;
use dapple::model::account::{AccountKind, AccountName};
use dapple::model::did::{Did, DidKind};
use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::model::facts::{DidFacts, DidTraits, Resource, ScopeFacts, Subject};
use dapple::model::label::{LabelChange, LabelSet};
use dapple::model::rule::{Grouping, RuleState};
use dapple::model::scope::Scope;
use dapple::model::time::Timestamp;
use dapple::policy::decision::{Action, Question};
use dapple::policy::judge::Judge;
use dapple::service::view::{NewEndpoint, NewRule, NewScope, NewSettings, NewUrl, RuleView};
use futures::StreamExt as _;

/// How many files are registered in bulk.
const REGISTERED: usize = 100_000;
/// Files of the dataset that rules are put on, as in the peer's measurement.
const RULED: usize = 10_000;
/// Small files that are copied, and their length.
const COPIED: usize = 5_000;
const COPIED_BYTES: usize = 8 << 10;
/// Signed URLs that are minted.
const MINTED: usize = 5_000;
/// Questions that the policies are asked.
const DECIDED: usize = 50_000;

/// One line of the result.
struct Figure {
    act: &'static str,
    unit: &'static str,
    ours: f64,
    peer: f64,
    /// Whether more is better; else less is.
    more: bool,
}

impl Figure {
    fn ratio(&self) -> f64 {
        if self.more { self.ours / self.peer } else { self.peer / self.ours }
    }
}

/// Processor seconds of this process so far.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("time passes");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a thousand million")).as_secs_f64()
}

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let bench = Bench::start(directory.path()).await;
    let figures = [
        bench.register().await,
        bench.rule_where_files_are().await,
        bench.rule_where_files_are_missing().await,
        bench.list_replicas().await,
        bench.mint().await,
        bench.copy_small_files().await,
        decide(DECIDED, "decide, the same question again", |_| 0, 1.0),
        decide(DECIDED / 10, "decide, another label set each time", |number| number, 100.0),
    ];
    println!("{:<44} {:>12} {:>12} {:>8}  unit", "act", "dapple", "peer", "ratio");
    for figure in &figures {
        println!(
            "{:<44} {:>12.3} {:>12.3} {:>7.0}x  {}",
            figure.act,
            figure.ours,
            figure.peer,
            figure.ratio(),
            figure.unit
        );
    }
    let object: serde_json::Map<String, serde_json::Value> = figures
        .iter()
        .map(|figure| {
            let value = serde_json::json!({ "dapple": figure.ours, "peer": figure.peer, "ratio": figure.ratio() });
            (figure.act.to_owned(), value)
        })
        .collect();
    bench.server.stop().await.expect("a clean stop");
    println!("{}", serde_json::Value::Object(object));
}

/// Asks the policies that come along `count` times, about data with as many label sets as `of` gives.
fn decide(count: usize, act: &'static str, of: impl Fn(usize) -> usize, goal_micros: f64) -> Figure {
    let judge = Judge::builtin();
    let bob = AccountName::parse("bob").expect("a name");
    let groups = ["a", "b", "c"].map(|group| AccountName::parse(group).expect("a name")).into();
    let subject = Arc::new(Subject::Account { name: bob, kind: AccountKind::User, admin: false, groups });
    let labels = Arc::new(LabelSet::default());
    let scope =
        Arc::new(ScopeFacts { scope: Scope::parse("s").expect("a scope"), owner: Arc::clone(&subject), labels });
    let asked: Vec<_> = (0..count)
        .map(|number| {
            let words = ["classification=restricted".to_owned(), "project=a".to_owned(), format!("n={}", of(number))];
            let changes = words.map(|word| LabelChange::parse(&word).expect("a label"));
            let labels = Arc::new(LabelSet::default().changed(&changes).expect("labels"));
            let (owner, scope) = (Arc::new(Subject::only_named(AccountName::root())), Arc::clone(&scope));
            let traits = DidTraits { kind: DidKind::Dataset, owner, scope, labels };
            Resource::Did(DidFacts { did: did("s:listed"), traits })
        })
        .collect();
    let now = Timestamp::from_millis(1);
    let before = cpu();
    for resource in &asked {
        let question = Question { subject: &subject, action: Action::Read, resource, at: None, now };
        assert!(judge.decide(&question).allows());
    }
    let ours = (cpu() - before) * 1e6 / number(count);
    Figure { act, unit: "CPU microseconds (peer: the goal)", ours, peer: goal_micros, more: false }
}

struct Bench<'a> {
    directory: &'a Path,
    server: Server,
    client: Client,
}

fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with a few digits")]
fn number(count: usize) -> f64 {
    count as f64
}

impl<'a> Bench<'a> {
    async fn start(directory: &'a Path) -> Self {
        let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let args = ServeArgs { dir: directory.join("lake"), listen, public_url: None, policies: None };
        let server = start(args).await.expect("a server");
        let key = Some(server.admin_key.clone());
        let client = Client::new(&server.url, key, SystemClock::shared()).expect("a client");
        let scope = NewScope { scope: "s".to_owned().try_into().expect("a scope"), owner: None };
        client.add_scope(&scope).await.expect("a scope");
        for name in ["x", "y", "z"] {
            let new = NewEndpoint {
                name: EndpointName::parse(name).expect("a name"),
                kind: EndpointKind::Posix,
                location: directory.join(name).display().to_string(),
                attributes: [].into(),
                create: true,
                settings: NewSettings::default(),
                secret: None,
                no_probe: false,
            };
            client.add_endpoint(&new).await.expect("an endpoint");
        }
        Self { directory, server, client }
    }

    /// Registers lines and returns the CPU seconds that took, the client's included.
    async fn register_lines(&self, to: &str, lines: Vec<String>) -> f64 {
        let before = cpu();
        let body = lines.join("\n");
        let answer = reqwest::Client::new()
            .post(format!("{}/api/v1/replicas?to={to}&endpoint=x", self.server.url))
            .bearer_auth(&self.server.admin_key)
            .body(body);
        let answer = answer.send().await.expect("sent").text().await.expect("answered");
        assert!(!answer.contains("refused"), "{answer}");
        cpu() - before
    }

    async fn register(&self) -> Figure {
        let seconds = self.register_lines("s:big", lines("big", REGISTERED)).await;
        let ours = number(REGISTERED) / seconds;
        Figure { act: "register files in bulk, attached", unit: "files per CPU second", ours, peer: 680.0, more: true }
    }

    async fn rule(&self, on: &str, expression: &str) -> RuleView {
        let (did, expression) = (did(on), expression.to_owned());
        let new = NewRule { did, copies: 1, expression, grouping: Grouping::Dataset, lifetime_seconds: None };
        self.client.create_rule(&new).await.expect("a rule")
    }

    async fn until(&self, rule: &RuleView, done: impl Fn(&RuleView) -> bool) {
        while !done(&self.client.rule(rule.id).await.expect("the rule")) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn rule_where_files_are(&self) -> Figure {
        self.register_lines("s:ruled", lines("ruled", RULED)).await;
        let before = cpu();
        let rule = self.rule("s:ruled", "x").await;
        self.until(&rule, |rule| rule.state == RuleState::Ok).await;
        let ours = cpu() - before;
        Figure { act: "rule on 10,000 files that are there", unit: "CPU seconds", ours, peer: 5.3, more: false }
    }

    async fn rule_where_files_are_missing(&self) -> Figure {
        for mover in ["mover-1", "mover-2"] {
            self.client.pause_worker(mover).await.expect("paused");
        }
        let before = cpu();
        let rule = self.rule("s:ruled", "y").await;
        // The window lets so many transfers wait for one endpoint; more are planned as these go.
        let planned = 4_000;
        loop {
            let transfers = self.client.transfers(None, None).stream().take(planned);
            if transfers.count().await == planned {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ours = (cpu() - before) * number(RULED) / number(planned);
        self.client.remove_rule(rule.id).await.expect("removed");
        for mover in ["mover-1", "mover-2"] {
            self.client.resume_worker(mover).await.expect("resumed");
        }
        while self.client.transfers(None, None).page(1, None).await.expect("a page").items.len() == 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Figure { act: "transfers planned for 10,000 missing files", unit: "CPU seconds", ours, peer: 10.8, more: false }
    }

    async fn list_replicas(&self) -> Figure {
        self.register_lines("s:listed", lines("listed", 1_000)).await;
        let listing = || self.client.replicas(&did("s:listed")).expect("a listing");
        let rounds = 50;
        let before = cpu();
        for _ in 0..rounds {
            assert_eq!(listing().page(1_000, None).await.expect("a page").items.len(), 1_000);
        }
        let ours = (cpu() - before) / number(rounds);
        Figure { act: "list the replicas of 1,000 files", unit: "CPU seconds", ours, peer: 0.35, more: false }
    }

    async fn mint(&self) -> Figure {
        let wish = NewUrl { did: did("s:listed/000001"), expires_seconds: 60, from: None, redirect: false };
        let before = cpu();
        let minting = futures::stream::iter(0..MINTED).map(|_| self.client.mint(&wish)).buffer_unordered(32);
        let minted: Vec<_> = minting.collect().await;
        assert!(minted.iter().all(Result::is_ok));
        let ours = number(MINTED) / (cpu() - before);
        let act = "mint signed URLs over HTTP, decision recorded";
        Figure { act, unit: "per CPU second (peer: the goal)", ours, peer: 10_000.0, more: true }
    }

    async fn copy_small_files(&self) -> Figure {
        let root = self.directory.join("x/s/copied");
        std::fs::create_dir_all(&root).expect("made");
        let mut lines = Vec::with_capacity(COPIED);
        for number in 0..COPIED {
            let content: Vec<u8> = number.to_le_bytes().repeat(COPIED_BYTES / 8);
            std::fs::write(root.join(format!("{number:06}")), &content).expect("written");
            lines.push(line("copied", number, content.len(), &format!("blake3:{}", blake3::hash(&content).to_hex())));
        }
        self.register_lines("s:copied", lines).await;
        let started = Instant::now();
        let rule = self.rule("s:copied", "z").await;
        self.until(&rule, |rule| rule.state == RuleState::Ok).await;
        let ours = number(COPIED) / started.elapsed().as_secs_f64();
        Figure {
            act: "copy 8 KiB files, POSIX to POSIX, durable",
            unit: "files per second",
            ours,
            peer: 17.0,
            more: true,
        }
    }
}

fn lines(directory: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| line(directory, number, 1_000 + number, &format!("adler32:{number:08x}"))).collect()
}

fn line(directory: &str, number: usize, bytes: usize, checksum: &str) -> String {
    format!(r#"{{"name":"{directory}/{number:06}","bytes":{bytes},"checksum":"{checksum}"}}"#)
}
