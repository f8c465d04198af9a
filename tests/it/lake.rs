//! A running lake under test: a real server on a loopback port, real directories, the typed client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dapple::app::serve::{Server, start};
use dapple::client::{Client, Payload};
use dapple::clock::SystemClock;
use dapple::config::resolve::{Sources, resolve};
use dapple::model::checksum::{Algorithm, Checksum};
use dapple::model::did::{Did, DidKind};
use dapple::model::endpoint::{EndpointKind, EndpointName};
use dapple::model::id::RuleId;
use dapple::model::rule::{Grouping, RuleState};
use dapple::service::view::{
    Members, NewDid, NewEndpoint, NewReplica, NewRule, NewScope, NewSettings, NewUpload, NewUploads, NewUrl, RuleView,
    UploadView,
};
use tempfile::TempDir;

use crate::peers::postgres::postgres;

mod access;
mod accounts;
mod backup;
mod contract;
mod endpoints;
mod hidden;
mod holding;
mod labels;
mod leaks;
mod leave;
mod metadata;
mod on_postgres;
mod placing;
mod policy;
mod quotas;
mod registering;
mod restarting;
mod servers;
mod settings;
mod terms;
mod trouble;
mod typed;
pub(crate) mod web;

/// The variable that says where catalogs are.
const ON_SERVER: &str = "DAPPLE_TEST_CATALOG";
/// How long a lake may take to come to rest. Far more than it needs; a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A lake with a scope `s` and some endpoints, each with `site=<its name>`.
pub(crate) struct TestLake {
    server: Option<Server>,
    pub(crate) client: Client,
    directory: TempDir,
    settings: String,
}

pub(crate) fn did(text: &str) -> Did {
    text.parse().expect("a DID")
}

pub(crate) fn name(text: &str) -> EndpointName {
    EndpointName::parse(text).expect("an endpoint's name")
}

pub(crate) fn blake3_of(bytes: &[u8]) -> Checksum {
    Checksum::new(Algorithm::Blake3, *blake3::hash(bytes).as_bytes()).expect("32 bytes")
}

fn client_of(server: &Server) -> Client {
    Client::new(&server.url, Some(server.admin_key.clone()), SystemClock::shared()).expect("a URL")
}

impl TestLake {
    pub(crate) async fn with_endpoints(names: &[&str]) -> Self {
        Self::with_settings("", names).await
    }

    /// The same with settings of its own, as a file has them. With `DAPPLE_TEST_CATALOG=postgres` the
    /// catalog of every lake is on PostgreSQL.
    pub(crate) async fn with_settings(settings: &str, names: &[&str]) -> Self {
        if std::env::var(ON_SERVER).is_ok_and(|engine| engine == "postgres") && !settings.contains("[catalog]") {
            return Self::on_server(&postgres().database(), settings, names).await;
        }
        Self::at_once(settings, names).await
    }

    /// The same with its catalog on PostgreSQL.
    pub(crate) async fn on_server(url: &str, settings: &str, names: &[&str]) -> Self {
        Self::at_once(&format!("{settings}\n[catalog]\nurl = \"{url}\"\n"), names).await
    }

    async fn at_once(settings: &str, names: &[&str]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let server = serve(directory.path(), settings).await;
        let lake = Self { client: client_of(&server), server: Some(server), directory, settings: settings.to_owned() };
        let scope = NewScope { scope: "s".to_owned().try_into().expect("a scope"), owner: None };
        lake.client.add_scope(&scope).await.expect("a scope");
        for name in names {
            lake.add_endpoint(name, &[]).await;
        }
        lake
    }

    pub(crate) async fn add_endpoint(&self, endpoint: &str, attributes: &[(&str, &str)]) {
        let mut all = BTreeMap::from([("site".to_owned(), endpoint.to_owned())]);
        all.extend(attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let new = NewEndpoint {
            name: name(endpoint),
            kind: EndpointKind::Posix,
            location: self.root(endpoint).display().to_string(),
            attributes: all,
            create: true,
            settings: NewSettings::default(),
            secret: None,
            no_probe: false,
        };
        self.client.add_endpoint(&new).await.expect("an endpoint");
    }

    /// The root of an endpoint.
    pub(crate) fn root(&self, endpoint: &str) -> PathBuf {
        self.directory.path().join("sites").join(endpoint)
    }

    /// The address of the server.
    pub(crate) fn url(&self) -> &str {
        &self.server.as_ref().expect("it is up").url
    }

    /// The admin's key.
    pub(crate) fn key(&self) -> &str {
        &self.server.as_ref().expect("it is up").admin_key
    }

    /// The address that serves metrics alone.
    pub(crate) fn metrics_url(&self) -> &str {
        self.server.as_ref().expect("it is up").metrics_url.as_deref().expect("it was asked for")
    }

    /// Asserts that the catalog does not contradict itself.
    pub(crate) async fn is_well(&self) {
        let check = self.client.check().await.expect("checked");
        assert!(check.findings.is_empty(), "{:#?}", check.findings);
        assert!(check.checked.len() > 10, "{:?}", check.checked);
    }

    /// Stops the server in order and starts it again on the same directory.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|| {}).await;
    }

    /// The same, with something done in between.
    pub(crate) async fn restart_after(&mut self, meanwhile: impl FnOnce()) {
        self.server.take().expect("it is up").stop().await.expect("a clean stop");
        meanwhile();
        let server = serve(self.directory.path(), &self.settings).await;
        self.client = client_of(&server);
        self.server = Some(server);
    }

    /// Uploads files `(name, content)` into a dataset through an endpoint.
    pub(crate) async fn put(&self, dataset: &str, endpoint: &str, files: &[(&str, &[u8])]) {
        let announced = files.iter().map(|(name, content)| NewUpload {
            name: (*name).to_owned(),
            bytes: content.len() as u64,
            checksum: blake3_of(content),
            meta: None,
        });
        let new = NewUploads { to: did(dataset), endpoint: name(endpoint), files: announced.collect() };
        let answers = self.client.announce(&new).await.expect("announced").items;
        for ((name, content), answer) in files.iter().zip(answers) {
            match answer {
                UploadView::Put { url, .. } => {
                    let (length, bytes) = (content.len() as u64, bytes::Bytes::copy_from_slice(content));
                    self.client
                        .upload(&url, length, || Payload::Whole(bytes.clone()))
                        .await
                        .unwrap_or_else(|error| panic!("{name}: {error}"));
                }
                UploadView::Done => {}
                UploadView::Refused { code, detail } => panic!("{name}: {code}: {detail}"),
            }
        }
    }

    /// Makes `count` files `<name of the dataset>/<number>` whose content says which they are.
    pub(crate) async fn put_numbered(&self, dataset: &str, endpoint: &str, numbers: std::ops::Range<usize>) {
        let of = did(dataset).name.to_string();
        let files: Vec<_> = numbers.map(|number| (format!("{of}/{number}"), numbered(dataset, number))).collect();
        let borrowed: Vec<_> = files.iter().map(|(name, content)| (&**name, &**content)).collect();
        self.put(dataset, endpoint, &borrowed).await;
    }

    pub(crate) async fn make(&self, new: &str, kind: DidKind) {
        self.client.create_did(&NewDid { did: did(new), kind }).await.expect("made");
    }

    pub(crate) async fn attach(&self, parent: &str, members: &[&str]) {
        let members = Members { dids: members.iter().map(|member| did(member)).collect() };
        self.client.attach(&did(parent), &members).await.expect("attached");
    }

    pub(crate) async fn detach(&self, parent: &str, members: &[&str]) {
        let members = Members { dids: members.iter().map(|member| did(member)).collect() };
        self.client.detach(&did(parent), &members).await.expect("detached");
    }

    pub(crate) async fn rule(&self, on: &str, copies: u16, expression: &str) -> RuleId {
        self.grouped_rule(on, copies, expression, Grouping::Dataset).await
    }

    pub(crate) async fn grouped_rule(&self, on: &str, copies: u16, expression: &str, grouping: Grouping) -> RuleId {
        let expression = expression.to_owned();
        let new = NewRule { did: did(on), copies, expression, grouping, lifetime_seconds: None };
        self.client.create_rule(&new).await.expect("a rule").id
    }

    /// Waits until a rule is in a state.
    pub(crate) async fn until(&self, rule: RuleId, wanted: RuleState) -> RuleView {
        self.until_rule(rule, |view| view.state == wanted).await
    }

    /// Waits until a rule is as wanted.
    pub(crate) async fn until_rule(&self, rule: RuleId, wanted: impl Fn(&RuleView) -> bool) -> RuleView {
        self.until_within(PATIENCE, rule, wanted).await
    }

    /// Waits so long until a rule is as wanted.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        rule: RuleId,
        wanted: impl Fn(&RuleView) -> bool,
    ) -> RuleView {
        let started = std::time::Instant::now();
        loop {
            let view = self.client.rule(rule).await.expect("the rule");
            if wanted(&view) {
                return view;
            }
            if started.elapsed() > patience {
                let explained = self.client.explain_rule(rule).await;
                panic!("the rule never became what it should: {view:#?}\n{explained:#?}");
            }
            pause().await;
        }
    }

    pub(crate) async fn register(&self, to: &str, endpoint: &str, lines: &[NewReplica]) -> (u64, u64, Vec<String>) {
        let body: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).expect("plain")).collect();
        let answer = self.raw_register(to, endpoint, body.join("\n")).await;
        let mut sums = (0, 0, Vec::new());
        for line in answer.lines() {
            let chunk: dapple::service::view::RegisteredChunk = serde_json::from_str(line).expect("a chunk");
            sums.0 += chunk.registered;
            sums.1 += chunk.known;
            sums.2.extend(chunk.refused.into_iter().map(|refused| format!("{}: {}", refused.line, refused.code)));
        }
        sums
    }

    /// Reads a file's replica at one endpoint.
    pub(crate) async fn read_from(&self, file: &Did, endpoint: &str) -> Vec<u8> {
        let wish = NewUrl { did: file.clone(), expires_seconds: 600, from: Some(name(endpoint)), redirect: false };
        let minted = self.client.mint(&wish).await.expect("a URL");
        let mut download = self.client.download(&minted.url, 0, None).await.expect("it opens");
        let mut read = Vec::new();
        while let Some(chunk) = download.chunk().await.expect("readable") {
            read.extend_from_slice(&chunk);
        }
        read
    }

    /// A page of the change feed.
    pub(crate) async fn changes(&self, after: u64, limit: usize) -> serde_json::Value {
        let url = format!("{}/api/v1/changes?after={after}&limit={limit}", self.url());
        let key = &self.server.as_ref().expect("it is up").admin_key;
        let answer = reqwest::Client::new().get(url).bearer_auth(key).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }

    pub(crate) async fn raw_register(&self, to: &str, endpoint: &str, body: String) -> String {
        let key = &self.server.as_ref().expect("it is up").admin_key;
        let answer = reqwest::Client::new()
            .post(format!("{}/api/v1/replicas", self.url()))
            .query(&[("to", to), ("endpoint", endpoint)])
            .bearer_auth(key)
            .body(body)
            .send()
            .await
            .expect("an answer");
        answer.text().await.expect("a body")
    }
}

/// The content of a numbered file; lengths differ.
pub(crate) fn numbered(dataset: &str, number: usize) -> Vec<u8> {
    format!("{dataset} {number} ").repeat(1 + number % 50).into_bytes()
}

/// A short wait between two looks at a lake that works by itself.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

async fn serve(directory: &Path, settings: &str) -> Server {
    let file = Some((directory.join("dapple.toml"), settings.to_owned()));
    let dir = directory.join("lake").display().to_string();
    let flags = vec![("serve.dir", "--dir", dir), ("serve.listen", "--listen", "127.0.0.1:0".to_owned())];
    let resolved = resolve(&Sources { file, flags, ..Sources::default() }).unwrap_or_else(|slips| panic!("{slips}"));
    start(resolved.settings).await.expect("a server")
}

/// All files below a directory with their content, by relative path.
pub(crate) fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
                found.insert(relative, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}
