//! People and programs that use the lake: acts at random, through the service where it has one.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use dapple::catalog::record::{DidNames, Endpoints, Replicas, Rules};
use dapple::catalog::{Rows, endpoints};
use dapple::fault::Fault as _;
use dapple::model::did::{Did, DidKind};
use dapple::model::endpoint::{Endpoint, EndpointKind, EndpointName, Settings};
use dapple::model::id::{EndpointId, RuleId};
use dapple::model::replica::ReplicaState;
use dapple::model::rule::Grouping;
use dapple::policy::decision::Action;
use dapple::replicas::Target;
use dapple::replicas::announce::{Announced, Answer};
use dapple::replicas::upload::Sending;
use dapple::service::error::ServiceError;
use dapple::service::view::{EndpointChange, Members, NewDid, NewRule, RuleChange};
use dapple::service::{Context, dids, replicas, rules};
use dapple::storage::backend::ByteStream;
use futures::StreamExt as _;
use futures::stream;

use crate::disk::{Disk, Excuse, blake3_of};
use crate::log::Log;
use crate::random::Random;
use crate::world::Disks;

/// The most endpoints of a lake.
const ENDPOINTS_MAX: usize = 6;
const EXPRESSIONS: [&str; 7] = ["*", "tier=1", "tier=2", "fast", "tier=1|tier=2", "*\\tier=2", "country=DE"];

/// One user of the lake, for as long as its process lives.
pub(crate) struct Client {
    pub(crate) ctx: Context,
    pub(crate) disks: Disks,
    pub(crate) log: Log,
    pub(crate) random: Random,
    /// How many acts are left to all clients together.
    pub(crate) left: Arc<AtomicUsize>,
}

type Done = Result<String, ServiceError>;

impl Client {
    /// Acts until nothing is left to do.
    pub(crate) async fn act_on(mut self) {
        let take = |left: usize| left.checked_sub(1);
        while self.left.fetch_update(Relaxed, Relaxed, take).is_ok() {
            let said = match self.act().await {
                Ok(said) => said,
                Err(error) => format!("refused with {}: {error}", error.code()),
            };
            self.log.note(format!("client: {said}"));
            if self.random.percent(40) {
                let pause = Duration::from_millis(self.random.next() % 3_000);
                self.ctx.lake.catalog.clock().sleep(pause).await;
            }
        }
    }

    async fn act(&mut self) -> Done {
        match self.random.below(100) {
            0..4 => self.add_endpoint().await,
            4..8 => self.change_attributes().await,
            8..18 => self.make_holder().await,
            18..32 => self.change_members().await,
            32..50 => self.upload().await,
            50..64 => self.register().await,
            64..78 => self.add_rule().await,
            78..86 => self.change_rule().await,
            86..91 => self.remove_rule().await,
            _ => self.declare_bad().await,
        }
    }

    fn did(&mut self, kind: DidKind) -> Did {
        let scope = if self.random.percent(70) { "a" } else { "b" };
        let name = match kind {
            DidKind::File => match self.random.below(20) {
                at @ 0..3 => format!("dir/f{at}"),
                at => format!("f{at}"),
            },
            DidKind::Dataset => format!("d{}", self.random.below(4)),
            DidKind::Container => format!("c{}", self.random.below(3)),
        };
        format!("{scope}:{name}").parse().expect("a valid DID")
    }

    async fn all_endpoints(&self) -> Result<Vec<Endpoint>, ServiceError> {
        Ok(endpoints::all(&self.ctx.lake.catalog.view().await?).await?)
    }

    async fn endpoint(&mut self) -> Result<Option<Endpoint>, ServiceError> {
        let all = self.all_endpoints().await?;
        Ok(self.random.pick(&all).cloned())
    }

    async fn add_endpoint(&mut self) -> Done {
        let known: Rows<Endpoints> = self.ctx.lake.catalog.view().await?.scan::<Endpoints>(&(), 100).await?;
        if known.len() >= ENDPOINTS_MAX {
            return Ok("has endpoints enough".to_owned());
        }
        let id = self.ctx.lake.catalog.endpoint_id().await?;
        let said = format!("adds endpoint {id}");
        self.disks.attach(&self.ctx.lake.stores, id);
        let mut endpoint = Endpoint {
            id,
            name: EndpointName::parse(&format!("e{id}")).expect("a valid name"),
            kind: EndpointKind::Memory,
            location: format!("disk-{id}"),
            settings: Settings::default(),
            secret: None,
            probe: None,
            attributes: std::collections::BTreeMap::new(),
            created_at: self.ctx.lake.catalog.clock().now(),
        };
        for (key, value) in self.attributes() {
            endpoint.attributes.extend(value.map(|value| (key, value)));
        }
        let catalog = &self.ctx.lake.catalog;
        let put = catalog.transact(move |txn| {
            let endpoint = endpoint.clone();
            async move { endpoints::put(&txn, &endpoint).await }
        });
        put.await?;
        catalog.wakes().wake(dapple::catalog::wake::Topic::Rules);
        Ok(said)
    }

    fn attributes(&mut self) -> Vec<(String, Option<String>)> {
        let tier = (1 + self.random.below(2)).to_string();
        let fast = self.random.percent(50).then(|| "true".to_owned());
        let country = ["DE", "FR"][self.random.below(2)].to_owned();
        vec![("tier".to_owned(), Some(tier)), ("fast".to_owned(), fast), ("country".to_owned(), Some(country))]
    }

    async fn change_attributes(&mut self) -> Done {
        let Some(endpoint) = self.endpoint().await? else {
            return Ok("has no endpoint".to_owned());
        };
        let attributes = self.attributes().into_iter().collect();
        let said = format!("sets {attributes:?} on {}", endpoint.name);
        dapple::service::endpoints::change(
            &self.ctx,
            endpoint.name,
            EndpointChange { attributes, ..EndpointChange::default() },
        )
        .await?;
        Ok(said)
    }

    async fn make_holder(&mut self) -> Done {
        let kind = if self.random.percent(70) { DidKind::Dataset } else { DidKind::Container };
        let did = self.did(kind);
        let said = format!("makes {kind} {did}");
        dids::create(&self.ctx, NewDid { did, kind }).await?;
        Ok(said)
    }

    async fn change_members(&mut self) -> Done {
        let (holder, kinds) = if self.random.percent(50) {
            (DidKind::Dataset, [DidKind::File; 2])
        } else {
            (DidKind::Container, [DidKind::Dataset, DidKind::Container])
        };
        let did = self.did(holder);
        let count = 1 + self.random.below(2);
        let mut members = Vec::new();
        for _ in 0..count {
            let kind = kinds[self.random.below(2)];
            members.push(self.did(kind));
        }
        let shown: Vec<_> = members.iter().map(Did::to_string).collect();
        if self.random.percent(60) {
            dids::attach(&self.ctx, did.clone(), Members { dids: members }).await?;
            Ok(format!("attaches {shown:?} to {did}"))
        } else {
            dids::detach(&self.ctx, did.clone(), Members { dids: members }).await?;
            Ok(format!("detaches {shown:?} from {did}"))
        }
    }

    /// A file's bytes: they follow from its name and a version, of which the first is the usual.
    fn content(&mut self, file: &Did) -> Bytes {
        let version = u8::from(self.random.percent(15));
        let hash = blake3::hash(format!("{file} {version}").as_bytes());
        let seed = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
        let mut bytes = Random::new(seed);
        let length = match bytes.below(10) {
            0 => 0,
            1 => 70_000 + bytes.below(100_000),
            _ => bytes.below(2_000),
        };
        let mut content = vec![0; length];
        bytes.fill(&mut content);
        content.into()
    }

    async fn upload(&mut self) -> Done {
        let to = self.did(DidKind::Dataset);
        let Some(endpoint) = self.endpoint().await? else {
            return Ok("has no endpoint".to_owned());
        };
        let catalog = self.ctx.lake.catalog.clone();
        let key = (to.scope.to_string(), to.name.to_string());
        let Some(dataset) = catalog.view().await?.get::<DidNames>(&key).await? else {
            return Ok(format!("would upload to {to}"));
        };
        let permit = self.ctx.permit(Action::Place, &to)?;
        let decision = catalog
            .transact(move |txn| {
                let permit = permit.clone();
                async move { Ok::<_, ServiceError>(permit.record(&txn)) }
            })
            .await?;
        let target = Target {
            scope: to.scope.clone(),
            dataset: dataset.id,
            endpoint: endpoint.id,
            account: self.ctx.account().clone(),
            standing: Arc::new(self.ctx.standing()),
            decision,
        };
        let mut files = Vec::new();
        for _ in 0..=self.random.below(3) {
            let mut file = self.did(DidKind::File);
            file.scope = to.scope.clone();
            let content = self.content(&file);
            files.push((file, content));
        }
        let announced = files.iter().map(|(file, content)| Announced {
            name: file.name.clone(),
            bytes: content.len() as u64,
            checksum: blake3_of(content),
            meta: None,
        });
        let answers = self.ctx.lake.uploads.announce(target, announced.collect()).await?;
        let mut said = format!("uploads to {to} at {}:", endpoint.name);
        for ((file, content), answer) in files.into_iter().zip(answers) {
            let outcome = self.send(endpoint.id, &file, content, answer).await;
            said += &format!(" {}={outcome}", file.name);
        }
        Ok(said)
    }

    async fn send(&mut self, endpoint: EndpointId, file: &Did, content: Bytes, answer: Answer) -> String {
        let (id, intent) = match answer {
            Answer::Send { file, intent, .. } => (file, intent),
            Answer::Done => return "done".to_owned(),
            Answer::Refused { code, .. } => return code.to_owned(),
        };
        if self.random.percent(20) {
            return "left".to_owned();
        }
        let sending = Sending {
            file: id,
            did: file.clone(),
            endpoint,
            intent,
            bytes: content.len() as u64,
            checksum: blake3_of(&content),
            account: self.ctx.account().clone(),
        };
        let mut sent = content.to_vec();
        if self.random.percent(5)
            && let Some(first) = sent.first_mut()
        {
            *first ^= 1;
        }
        let pause = self.random.next() % 2_000;
        if self.random.percent(20) {
            self.ctx.lake.catalog.clock().sleep(Duration::from_millis(pause)).await;
        }
        match self.ctx.lake.uploads.take(&sending, chunks(sent)).await {
            Ok(()) => "sent".to_owned(),
            Err(error) => error.code().to_owned(),
        }
    }

    async fn register(&mut self) -> Done {
        let to = self.did(DidKind::Dataset);
        let Some(endpoint) = self.endpoint().await? else {
            return Ok("has no endpoint".to_owned());
        };
        let Some(disk) = self.disks.get(endpoint.id) else {
            return Ok("has no disk".to_owned());
        };
        let mut lines = Vec::new();
        for _ in 0..=self.random.below(4) {
            let mut file = self.did(DidKind::File);
            file.scope = to.scope.clone();
            self.excuse_old_place(&disk, &file).await?;
            lines.push(self.bring(&disk, &file));
        }
        let registration = replicas::begin_registration(&self.ctx, &to, &endpoint.name).await?;
        let chunk = registration.chunk(1, &lines).await?;
        let refused: Vec<_> = chunk.refused.iter().map(|line| &line.code).collect();
        Ok(format!(
            "registers {} new, {} known to {to} at {}, refused {refused:?}",
            chunk.registered, chunk.known, endpoint.name
        ))
    }

    /// Whoever registers a file elsewhere says that what lies where its bad replica was is not it:
    /// from then on that belongs to nobody.
    async fn excuse_old_place(&self, disk: &Disk, file: &Did) -> Result<(), ServiceError> {
        let view = self.ctx.lake.catalog.view().await?;
        let key = (file.scope.to_string(), file.name.to_string());
        let Some(name) = view.get::<DidNames>(&key).await? else {
            return Ok(());
        };
        if let Some(replica) = view.get::<Replicas>(&(name.id, disk.endpoint)).await?
            && replica.state == ReplicaState::Bad
        {
            let path = replica.path.unwrap_or_else(|| format!("{}/{}", file.scope, file.name));
            if disk.excuse_of(&path).is_none() {
                disk.excuse(&path, Excuse::Brought);
            }
        }
        Ok(())
    }

    /// Puts a file's bytes on a disk behind dapple's back and states it.
    fn bring(&mut self, disk: &Disk, file: &Did) -> String {
        let content = self.content(file);
        let stated = self.random.percent(25).then(|| format!("ext/{}/{}", file.scope, self.random.below(30)));
        let derived = format!("{}/{}", file.scope, file.name);
        let path = stated.clone().unwrap_or(derived);
        // What lies there already is stated as it is.
        let there = disk.memory.content(&path);
        if there.is_none() {
            disk.memory.insert(&path, content.clone());
            if disk.excuse_of(&path).is_none() {
                disk.excuse(&path, Excuse::Brought);
            }
            if self.random.percent(4) && disk.memory.rot(&path) {
                disk.excuse(&path, Excuse::Spoiled);
            }
        }
        let content = there.unwrap_or(content);
        let checksum = blake3_of(&content);
        let bytes = content.len();
        let mut line = serde_json::json!({"name": file.name.as_str(), "bytes": bytes, "checksum": checksum});
        if let Some(path) = stated {
            line["path"] = path.into();
        }
        line.to_string()
    }

    async fn add_rule(&mut self) -> Done {
        let kind = [DidKind::File, DidKind::Dataset, DidKind::Dataset, DidKind::Container][self.random.below(4)];
        let grouping = [Grouping::All, Grouping::Dataset, Grouping::None][self.random.below(3)];
        let new = NewRule {
            did: self.did(kind),
            copies: 1 + u16::from(self.random.percent(40)) + u16::from(self.random.percent(10)),
            expression: EXPRESSIONS[self.random.below(EXPRESSIONS.len())].to_owned(),
            grouping,
            lifetime_seconds: self.random.percent(20).then(|| self.random.next() % 600 + 1),
        };
        let rule = rules::create(&self.ctx, new).await?;
        Ok(format!("adds rule {} on {}: {} x {} {:?}", rule.id, rule.did, rule.copies, rule.expression, rule.grouping))
    }

    async fn rule(&mut self) -> Result<Option<RuleId>, ServiceError> {
        let rows: Rows<Rules> = self.ctx.lake.catalog.view().await?.scan::<Rules>(&(), 1_000).await?;
        Ok(self.random.pick(&rows).map(|((rule,), _)| *rule))
    }

    async fn change_rule(&mut self) -> Done {
        let Some(id) = self.rule().await? else {
            return Ok("has no rule".to_owned());
        };
        if self.random.percent(25) {
            rules::retry(&self.ctx, id).await?;
            return Ok(format!("retries rule {id}"));
        }
        let expression = EXPRESSIONS[self.random.below(EXPRESSIONS.len())];
        let change = RuleChange {
            copies: self.random.percent(60).then(|| 1 + u16::from(self.random.percent(40))),
            expression: self.random.percent(60).then(|| expression.to_owned()),
            lifetime_seconds: self.random.percent(20).then(|| self.random.next() % 600),
        };
        let said = format!("changes rule {id}: {change:?}");
        rules::change(&self.ctx, id, change).await?;
        Ok(said)
    }

    async fn remove_rule(&mut self) -> Done {
        let Some(id) = self.rule().await? else {
            return Ok("has no rule".to_owned());
        };
        rules::remove(&self.ctx, id).await?;
        Ok(format!("removes rule {id}"))
    }

    async fn declare_bad(&mut self) -> Done {
        let rows: Rows<Replicas> = self.ctx.lake.catalog.view().await?.scan::<Replicas>(&(), 10_000).await?;
        let available: Vec<_> = rows.into_iter().filter(|(_, one)| one.state == ReplicaState::Available).collect();
        let Some(((file, at), _)) = self.random.pick(&available) else {
            return Ok("has no replica".to_owned());
        };
        declare_bad(&self.ctx, *file, *at).await
    }
}

/// Declares one replica bad, by its names.
pub(crate) async fn declare_bad(ctx: &Context, file: dapple::model::id::DidId, at: EndpointId) -> Done {
    let view = ctx.lake.catalog.view().await?;
    let record = view.get::<dapple::catalog::record::Dids>(&(file,)).await?;
    let endpoint = endpoints::by_id(&view, at).await?;
    let (Some(record), Some(endpoint)) = (record, endpoint) else {
        return Ok("finds nothing to declare bad".to_owned());
    };
    let said = format!("declares {} bad at {}", record.did(), endpoint.name);
    replicas::declare_bad(ctx, record.did(), endpoint.name).await?;
    Ok(said)
}

/// Bytes as a client sends them, in pieces, with pauses for others between.
fn chunks(content: Vec<u8>) -> ByteStream {
    let pieces: Vec<Bytes> = content.chunks(40_000).map(Bytes::copy_from_slice).collect();
    stream::iter(pieces)
        .then(|piece| async move {
            pause().await;
            Ok(piece)
        })
        .boxed()
}

/// Lets others run.
async fn pause() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
}

/// A client's name for a process.
pub(crate) fn context(lake: &Arc<dapple::service::Lake>) -> Context {
    Context::new(Arc::clone(lake), dapple::model::account::Principal::root())
}
