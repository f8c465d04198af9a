//! The typed client of the native API: one method for each call, the same shapes as the server.
//!
//! Passing failures (a refused or broken connection, 429, 503) are retried for about ten seconds
//! where sending twice does no harm, so that a server that restarts does not fail a long run. What
//! the server refuses is never sent again.

mod accounts;
mod address;
mod backup;
mod data;
mod dids;
mod error;
mod index;
mod lines;
mod listing;
mod memory;
mod metadata;
mod request;
mod search;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use crate::clock::SharedClock;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::model::id::RuleId;
use crate::model::scope::Scope;
use crate::net;
use crate::service::view::{
    BadReplica, CheckView, ContentView, DidView, EndpointChange, EndpointView, Health, LabelsChange, LabelsView,
    Members, NewDid, NewEndpoint, NewRule, NewScope, NewUploads, NewUrl, PoliciesView, PolicyExplanation,
    PolicyQuestion, ReplicaView, RuleChange, RuleExplanation, RuleView, ScopeView, TransferView, Uploads, UrlView,
    WorkerView,
};

pub use address::{encode_name, file_url};
pub use backup::IncomingBackup;
pub use data::{Download, Payload};
pub use error::ClientError;
pub use listing::Listing;
pub use search::{FoundItem, Search};

use address::{did_path, query, segment};
use memory::Memory;
use request::{Again, Call};

/// How long to wait before each further attempt: five attempts over about ten seconds.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(6)];
/// How long a connection may take to come about.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Tells whether a text can be the address of a server.
pub fn check_address(url: &str) -> Result<(), ClientError> {
    address::base(url).map(|_| ())
}

/// A connection to one server, for one key. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    clock: SharedClock,
    pauses: Vec<Duration>,
    rehearses: bool,
    notice: Option<Notice>,
    memory: Option<Memory>,
}

/// Hears of failures after which a call is sent again.
pub type Notice = Arc<dyn Fn(&ClientError) + Send + Sync>;

impl Client {
    /// A client of the server at `base_url`. Without a token, only calls that need none succeed.
    pub fn new(base_url: &str, token: Option<String>, clock: SharedClock) -> Result<Self, ClientError> {
        Self::from_builder(net::builder(), base_url, token, clock)
    }

    /// The same with an HTTP client of the house that was told more, such as whom to trust.
    pub fn from_builder(
        builder: reqwest::ClientBuilder,
        base_url: &str,
        token: Option<String>,
        clock: SharedClock,
    ) -> Result<Self, ClientError> {
        let base = address::base(base_url)?;
        // It follows no redirect, which would carry keys to where nobody sent them.
        let http = builder
            .connect_timeout(CONNECT_DEADLINE)
            .build()
            .map_err(|source| ClientError::Unreachable { url: base.clone(), source })?;
        Ok(Self { http, base, token, clock, pauses: PAUSES.to_vec(), rehearses: false, notice: None, memory: None })
    }

    /// Waits these spans before further attempts instead; none of them means a single attempt.
    #[must_use]
    pub fn with_pauses(mut self, pauses: Vec<Duration>) -> Self {
        self.pauses = pauses;
        self
    }

    /// From here on makes only dry runs: changes are checked and shown, and nothing comes of them.
    #[must_use]
    pub fn rehearsing(mut self) -> Self {
        self.rehearses = true;
        self
    }

    /// Whether it makes only dry runs.
    pub fn is_rehearsing(&self) -> bool {
        self.rehearses
    }

    /// Asks for what it has read before only if that has changed, and else gives it again.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.memory = Some(Memory::default());
        self
    }

    /// Tells of each failure after which a call is sent again, which nobody would hear of otherwise.
    #[must_use]
    pub fn with_notice(mut self, notice: Notice) -> Self {
        self.notice = Some(notice);
        self
    }

    /// Asks whether the server is up; needs no token.
    pub async fn health(&self) -> Result<Health, ClientError> {
        let url = format!("{}/health", self.base);
        self.call(&Call::get(url)).await
    }

    /// Lists scopes.
    pub fn scopes(&self) -> Listing<ScopeView> {
        self.listing("/scopes", &[])
    }

    /// Adds a scope.
    pub async fn add_scope(&self, new: &NewScope) -> Result<ScopeView, ClientError> {
        self.post("/scopes", new, Again::ByKey).await
    }

    /// Reads the labels of a scope.
    pub async fn scope_labels(&self, scope: &Scope) -> Result<LabelsView, ClientError> {
        self.get(&format!("/labels/{scope}")).await
    }

    /// Sets labels of a scope, and takes some away.
    pub async fn label_scope(&self, scope: &Scope, change: &LabelsChange) -> Result<LabelsView, ClientError> {
        self.send(Method::PATCH, &format!("/labels/{scope}"), change, Again::ByKey).await
    }

    /// Reads the labels of a DID.
    pub async fn did_labels(&self, did: &Did) -> Result<LabelsView, ClientError> {
        self.get(&did_path("/labels", did)?).await
    }

    /// Sets labels of a DID, and takes some away.
    pub async fn label_did(&self, did: &Did, change: &LabelsChange) -> Result<LabelsView, ClientError> {
        self.send(Method::PATCH, &did_path("/labels", did)?, change, Again::ByKey).await
    }

    /// Reads the policies in force.
    pub async fn policies(&self) -> Result<PoliciesView, ClientError> {
        self.get("/policy").await
    }

    /// Asks why somebody may or may not do something.
    pub async fn explain_policy(&self, question: &PolicyQuestion) -> Result<PolicyExplanation, ClientError> {
        self.post("/policy/explain", question, Again::Always).await
    }

    /// Lists endpoints.
    pub fn endpoints(&self) -> Listing<EndpointView> {
        self.listing("/endpoints", &[])
    }

    /// Reads an endpoint.
    pub async fn endpoint(&self, name: &EndpointName) -> Result<EndpointView, ClientError> {
        self.get(&format!("/endpoints/{name}")).await
    }

    /// Adds an endpoint.
    pub async fn add_endpoint(&self, new: &NewEndpoint) -> Result<EndpointView, ClientError> {
        self.post("/endpoints", new, Again::ByKey).await
    }

    /// Tries what an endpoint can do.
    pub async fn probe_endpoint(&self, name: &EndpointName) -> Result<EndpointView, ClientError> {
        let url = self.api(&format!("/endpoints/{name}/probe"));
        self.call(&Call::new(Method::POST, url, Again::ByKey)).await
    }

    /// Changes an endpoint.
    pub async fn change_endpoint(
        &self,
        name: &EndpointName,
        change: &EndpointChange,
    ) -> Result<EndpointView, ClientError> {
        let path = format!("/endpoints/{name}");
        self.send(Method::PATCH, &path, change, Again::ByKey).await
    }

    /// Makes a dataset or container.
    pub async fn create_did(&self, new: &NewDid) -> Result<DidView, ClientError> {
        self.post("/dids", new, Again::ByKey).await
    }

    /// Lists the DIDs of a scope, in the order of their names.
    pub fn dids(&self, scope: &Scope, prefix: Option<&str>) -> Listing<DidView> {
        self.listing(&format!("/dids/{scope}"), &[("prefix", prefix)])
    }

    /// Reads a DID.
    pub async fn did(&self, did: &Did) -> Result<DidView, ClientError> {
        self.get(&did_path("/dids", did)?).await
    }

    /// Lists what is directly in a dataset or container, in the order it was attached.
    pub fn contents(&self, did: &Did) -> Result<Listing<ContentView>, ClientError> {
        Ok(self.listing(&did_path("/contents", did)?, &[]))
    }

    /// Attaches members; those that are attached already stay so.
    pub async fn attach(&self, parent: &Did, members: &Members) -> Result<DidView, ClientError> {
        self.post(&did_path("/contents", parent)?, members, Again::ByKey).await
    }

    /// Detaches members.
    pub async fn detach(&self, parent: &Did, members: &Members) -> Result<DidView, ClientError> {
        let url = self.api(&did_path("/contents", parent)?);
        let call = Call::new(Method::DELETE, url, Again::ByKey).json(members);
        self.call(&call).await
    }

    /// Lists the replicas of a file, or of all files of a dataset.
    pub fn replicas(&self, did: &Did) -> Result<Listing<ReplicaView>, ClientError> {
        Ok(self.listing(&did_path("/replicas", did)?, &[]))
    }

    /// Declares a replica bad: rules replace it.
    pub async fn declare_bad(&self, bad: &BadReplica) -> Result<ReplicaView, ClientError> {
        self.post("/bad-replicas", bad, Again::ByKey).await
    }

    /// Checks the lake's catalog against itself.
    pub async fn check(&self) -> Result<CheckView, ClientError> {
        self.get("/check").await
    }

    /// Announces files that are about to be uploaded.
    pub async fn announce(&self, new: &NewUploads) -> Result<Uploads, ClientError> {
        let uploads: Uploads = self.post("/uploads", new, Again::Always).await?;
        if uploads.items.len() == new.files.len() {
            return Ok(uploads);
        }
        Err(ClientError::Protocol {
            url: self.api("/uploads"),
            detail: format!("{} files were announced, {} answered", new.files.len(), uploads.items.len()),
        })
    }

    /// Makes a rule.
    pub async fn create_rule(&self, new: &NewRule) -> Result<RuleView, ClientError> {
        self.post("/rules", new, Again::ByKey).await
    }

    /// Lists rules, all or those on one DID.
    pub fn rules(&self, did: Option<&Did>) -> Listing<RuleView> {
        let did = did.map(Did::to_string);
        self.listing("/rules", &[("did", did.as_deref())])
    }

    /// Reads a rule.
    pub async fn rule(&self, id: RuleId) -> Result<RuleView, ClientError> {
        self.get(&format!("/rules/{id}")).await
    }

    /// Changes a rule.
    pub async fn change_rule(&self, id: RuleId, change: &RuleChange) -> Result<RuleView, ClientError> {
        let path = format!("/rules/{id}");
        self.send(Method::PATCH, &path, change, Again::ByKey).await
    }

    /// Removes a rule.
    pub async fn remove_rule(&self, id: RuleId) -> Result<(), ClientError> {
        let url = self.api(&format!("/rules/{id}"));
        self.call_for_nothing(&Call::new(Method::DELETE, url, Again::ByKey)).await
    }

    /// Says why a rule is as it is.
    pub async fn explain_rule(&self, id: RuleId) -> Result<RuleExplanation, ClientError> {
        self.get(&format!("/rules/{id}/explanation")).await
    }

    /// Tries everything a rule waits for afresh.
    pub async fn retry_rule(&self, id: RuleId) -> Result<RuleView, ClientError> {
        let url = self.api(&format!("/rules/{id}/retry"));
        self.call(&Call::new(Method::POST, url, Again::ByKey)).await
    }

    /// Lists transfers.
    pub fn transfers(&self, state: Option<&str>, rule: Option<RuleId>) -> Listing<TransferView> {
        let rule = rule.map(|id| id.to_string());
        self.listing("/transfers", &[("state", state), ("rule", rule.as_deref())])
    }

    /// Mints a signed URL.
    pub async fn mint(&self, new: &NewUrl) -> Result<UrlView, ClientError> {
        self.post("/urls", new, Again::Always).await
    }

    /// Lists background workers.
    pub fn workers(&self) -> Listing<WorkerView> {
        self.listing("/workers", &[])
    }

    /// Pauses a worker.
    pub async fn pause_worker(&self, name: &str) -> Result<WorkerView, ClientError> {
        self.turn_worker(name, "pause").await
    }

    /// Lets a paused worker go on.
    pub async fn resume_worker(&self, name: &str) -> Result<WorkerView, ClientError> {
        self.turn_worker(name, "resume").await
    }

    async fn turn_worker(&self, name: &str, verb: &str) -> Result<WorkerView, ClientError> {
        let url = self.api(&format!("/workers/{}/{verb}", segment(name)));
        self.call(&Call::new(Method::POST, url, Again::ByKey)).await
    }

    fn api(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.base)
    }

    fn listing<T>(&self, path: &str, wanted: &[(&str, Option<&str>)]) -> Listing<T> {
        Listing::new(self.clone(), format!("{}{}", self.api(path), query(wanted)))
    }
}
