//! `dapple demo`: a lake in one command. It runs the very commands that a person would type, shows
//! them with their answers, and then stays up; with `--once` it checks what it did and stops.
//! Its endpoints are one of each kind: two of their stores run in this process.

mod check;
mod collection;
mod netcdf;
mod sample;
mod sites;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use crate::app::serve::{self, ServeArgs, Server};
use crate::cli::failure::Failure;
use crate::cli::screen::{Format, Screen};
use crate::cli::{Cli, Session, dispatch};
use crate::client::Client;
use crate::clock::{SharedClock, SystemClock};
use crate::model::did::Did;
use crate::model::rule::RuleState;
use crate::model::shell::quoted;
use crate::service::view::{NewUrl, RuleView};

use sample::Sample;
use sites::{SITES, Site, Stores};

/// Where the demo listens if it may choose and nobody else does.
const USUAL: &str = "127.0.0.1:7070";
const ANY: &str = "127.0.0.1:0";
/// The expression of the rule that becomes OK.
const GOOD: &str = "kind=s3|kind=webdav";
/// The expression of the rule that is stuck on purpose.
const STUCK: &str = "country=FR";

/// What `dapple demo` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Where to keep the lake [default: a directory that goes away]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A tree to put into the lake [default: made-up data]
    #[arg(long, value_name = "TREE")]
    data: Option<PathBuf>,
    /// Check what was done, and stop
    #[arg(long)]
    once: bool,
    /// Where to listen [default: 127.0.0.1:7070, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// A tour that is under way.
struct Tour<'a> {
    session: Session,
    directory: PathBuf,
    tree: PathBuf,
    dataset: Did,
    /// What the data was made from; none if it is somebody's own.
    sample: Option<Sample>,
    stores: &'a Stores,
}

/// Sets up a small lake, shows what it does, and serves it.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let clock = SystemClock::shared();
    let (directory, goes_away) = match &args.dir {
        Some(directory) => (crate::cli::parse::absolute(directory)?, false),
        None => (std::env::temp_dir().join(format!("dapple-demo-{:016x}", clock.random())), true),
    };
    let outcome = with_stores(args, &directory, clock).await;
    if goes_away {
        // Made by us a moment ago under a random name, so nothing of anybody else's is in it.
        std::fs::remove_dir_all(&directory).map_err(|error| Failure::io("remove", &directory, error))?;
    }
    outcome
}

async fn with_stores(args: DemoArgs, directory: &Path, clock: SharedClock) -> Result<(), Failure> {
    let stores = Stores::start(&directory.join("sites"), &clock).await?;
    let outcome = tour_and_serve(args, directory, &stores, clock).await;
    stores.stop().await;
    outcome
}

async fn tour_and_serve(args: DemoArgs, directory: &Path, stores: &Stores, clock: SharedClock) -> Result<(), Failure> {
    let mut server = start(directory, args.listen).await?;
    let (url, key) = (server.url.clone(), server.admin_key.clone());
    let toured = tokio::select! {
        toured = tour(&args, directory, stores, &url, &key, clock) => toured,
        error = server.failed() => return Err(error.into()),
        () = serve::told_to_stop() => Ok(None),
    };
    if let Ok(Some(())) = toured
        && !args.once
    {
        say("the page, where the stuck rule can be helped. This address signs in once, within 15 minutes;");
        say("later, sign in with the API key:\n");
        println!("{}\n", server.sign_in_url());
        tokio::select! {
            error = server.failed() => return Err(error.into()),
            () = serve::told_to_stop() => {}
        }
    }
    server.stop().await?;
    toured.map(|_| ())
}

async fn start(directory: &Path, listen: Option<SocketAddr>) -> Result<Server, Failure> {
    let args = |listen| ServeArgs { dir: directory.join("lake"), listen, public_url: None, policies: None };
    if let Some(listen) = listen {
        return Ok(serve::start(args(listen)).await?);
    }
    match serve::start(args(USUAL.parse().expect("an address"))).await {
        Err(crate::app::error::AppError::Listen { .. }) => {
            Ok(serve::start(args(ANY.parse().expect("an address"))).await?)
        }
        other => Ok(other?),
    }
}

/// Shows the lake around. `Some` when all of it was shown.
async fn tour(
    args: &DemoArgs,
    directory: &Path,
    stores: &Stores,
    server: &str,
    key: &str,
    clock: SharedClock,
) -> Result<Option<()>, Failure> {
    say(&format!("a lake is up at {server}"));
    let (tree, dataset, sample) = match &args.data {
        Some(tree) => (crate::cli::parse::absolute(tree)?, "demo:tree", None),
        None => {
            let sample = sample::make(&directory.join("sample"))?;
            (sample.fields.clone(), sample::ALL, Some(sample))
        }
    };
    let client = Client::new(server, Some(key.to_owned()), clock.clone())?;
    let stranger = Client::new(server, None, clock.clone())?;
    let screen = Screen::of_process(Format::Table, true, clock);
    let session = Session { client, screen };
    let dataset = dataset.parse().expect("a DID");
    let mut tour = Tour { session, directory: directory.to_owned(), tree, dataset, sample, stores };
    if args.data.is_none() {
        say("its data is made up: smooth fields of regions of Europe, shaped like a reanalysis, true of no day");
    }
    let (s3, webdav) = (stores.s3.address, stores.webdav.address);
    say(&format!("in this process run an S3 store at {s3} and a WebDAV server at {webdav}, to try dapple with"));
    tour.store().await?;
    tour.collect().await?;
    let (good, stuck) = tour.rules().await?;
    let url = tour.url().await?;
    let seen = tour.look(&stranger).await?;
    if args.once {
        tour.check(&stranger, &good, &stuck, &url).await?;
        if let Some(seen) = &seen {
            tour.check_seen(&stranger, server, seen).await?;
        }
        say("all acts checked");
        return Ok(Some(()));
    }
    say("the lake stays up until Ctrl-C. In another terminal:\n");
    println!("export DAPPLE_URL={server}");
    println!("export DAPPLE_TOKEN=$(cat '{}')\n", directory.join("lake/admin.key").display());
    Ok(Some(()))
}

impl Tour<'_> {
    /// Endpoints, a scope, and data.
    async fn store(&mut self) -> Result<(), Failure> {
        let scope = self.dataset.scope.clone();
        // The demo's directory may have been used before.
        let scopes = self.session.client.scopes().page(1_000, None).await?.items;
        if !scopes.iter().any(|known| known.scope == scope) {
            self.act(&["scope", "add", scope.as_str()]).await?;
        }
        let endpoints = self.session.client.endpoints().page(1_000, None).await?.items;
        for site in SITES {
            match endpoints.iter().find(|known| known.name.as_str() == site.name) {
                None => self.add(&site).await?,
                Some(known) if known.kind == site.kind => {}
                Some(known) => {
                    let (name, kind, wanted) = (site.name, known.kind.name(), site.kind.name());
                    let lake = self.directory.display();
                    return Err(Failure::Usage {
                        detail: format!("{name} of the lake in {lake} is of the kind {kind}, here it is {wanted}"),
                        hint: Some("give another directory: this one is of another demo".to_owned()),
                    });
                }
            }
        }
        let (tree, dataset) = (self.tree.display().to_string(), self.dataset.to_string());
        self.act(&["put", &tree, "--to", &dataset, "--endpoint", "lisbon"]).await
    }

    async fn add(&mut self, site: &Site) -> Result<(), Failure> {
        let words = site.add(&self.directory.join("sites"), self.stores);
        self.act(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// One rule that becomes OK, one that is stuck.
    async fn rules(&mut self) -> Result<(RuleView, RuleView), Failure> {
        say("a rule: two copies, in the S3 store and on the WebDAV server");
        let good = self.rule(GOOD, "2").await?;
        self.act(&["rule", "wait", &good.id.to_string(), "--for", "ok", "--timeout", "10m"]).await?;
        say("a rule that cannot be met, on purpose, and what dapple says about it");
        let stuck = self.rule(STUCK, "1").await?;
        self.stuck(&stuck).await?;
        self.act(&["rule", "explain", &stuck.id.to_string()]).await?;
        Ok((good, stuck))
    }

    /// Makes a rule, or finds the one of an earlier run.
    async fn rule(&mut self, expression: &str, copies: &str) -> Result<RuleView, Failure> {
        let dataset = self.dataset.to_string();
        if self.find_rule(expression).await?.is_none() {
            self.act(&["rule", "add", &dataset, "--copies", copies, "--on", expression]).await?;
        }
        let made = self.find_rule(expression).await?;
        made.ok_or_else(|| Failure::Unmet(format!("the rule on `{expression}` is not listed")))
    }

    async fn find_rule(&self, expression: &str) -> Result<Option<RuleView>, Failure> {
        let rules = self.session.client.rules(Some(&self.dataset)).page(1_000, None).await?.items;
        Ok(rules.into_iter().find(|rule| rule.expression == expression))
    }

    async fn stuck(&self, rule: &RuleView) -> Result<(), Failure> {
        let clock = self.session.screen.clock();
        for _ in 0..100 {
            if self.session.client.rule(rule.id).await?.state == RuleState::Stuck {
                return Ok(());
            }
            clock.sleep(std::time::Duration::from_millis(50)).await;
        }
        Err(Failure::Unmet("the rule on an endpoint in France is not stuck".to_owned()))
    }

    /// A signed URL of the first file.
    async fn url(&mut self) -> Result<String, Failure> {
        say("a signed URL: whoever has it can read this one file for an hour, with any tool");
        let first = self.session.client.contents(&self.dataset)?.page(1, None).await?.items.pop();
        let first = first.ok_or_else(|| Failure::Unmet(format!("{} is empty", self.dataset)))?;
        let wish = NewUrl { did: first.did.clone(), expires_seconds: 3_600, from: None, redirect: false };
        let url = self.session.client.mint(&wish).await?.url;
        println!("$ dapple url '{}' --expires 1h\n{url}\n", first.did);
        Ok(url)
    }

    /// Shows a command and carries it out.
    async fn act(&mut self, words: &[&str]) -> Result<(), Failure> {
        println!("$ dapple {}", words.iter().map(|word| shown(word)).collect::<Vec<_>>().join(" "));
        let cli = Cli::try_parse_from(std::iter::once("dapple").chain(words.iter().copied()));
        let cli = cli.map_err(|error| Failure::Unmet(error.to_string()))?;
        Box::pin(dispatch(cli.command, &mut self.session)).await?;
        println!();
        Ok(())
    }
}

fn say(text: &str) {
    println!("# {text}");
}

/// A word as a person would type it.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { quoted(word) }
}
