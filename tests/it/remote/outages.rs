//! Stores that are dead, hang, refuse, are full or lie: transfers wait or stop with the right reason,
//! nothing partial gets a final name, and all is done when the store is well.

use std::time::Duration;

use dapple::model::rule::RuleState;
use dapple::service::view::{EndpointChange, Problem, SecretText};

use super::{Store, on_apache, on_radosgw};
use crate::lake::{TestLake, did, name, pause, tree};
use crate::peers::apache::{Apache, PAIR, apache};
use crate::peers::free_port;
use crate::peers::proxy::{Proxy, Way};
use crate::peers::radosgw::radosgw;

/// How long a lake may take to notice that a store is well again: it is left alone for a while.
const HEALING: Duration = Duration::from_mins(3);

/// A lake with files at `x` and a store `far` behind a way that can be made bad.
struct Troubled {
    lake: TestLake,
    way: Proxy,
    store: Store,
}

impl Troubled {
    async fn on(port: u16, store: fn(u16) -> Store) -> Self {
        let lake = TestLake::with_endpoints(&["x"]).await;
        let way = Proxy::to(port).await;
        let store = store(way.port);
        lake.add_store("far", &store).await;
        lake.put_numbered("s:d", "x", 0..20).await;
        Self { lake, way, store }
    }

    async fn on_apache() -> Self {
        Self::on(apache().port, on_apache).await
    }

    async fn on_radosgw() -> Self {
        Self::on(radosgw().port, on_radosgw).await
    }

    /// Waits until the rule's explanation has a problem of a kind.
    async fn problem(&self, rule: dapple::model::id::RuleId, code: &str) -> Problem {
        let started = std::time::Instant::now();
        loop {
            let explained = self.lake.client.explain_rule(rule).await.expect("explained");
            if let Some(problem) = explained.problems.iter().find(|problem| problem.code == code) {
                return problem.clone();
            }
            assert!(started.elapsed() < HEALING, "{code} was never told: {explained:#?}");
            pause().await;
        }
    }

    /// Makes the way bad, asks for copies, sees the problem told, opens the way, sees it done.
    async fn bear(self, bad: Way, code: &str) {
        self.way.set(bad.clone());
        let rule = self.lake.rule("s:d", 1, "site=far").await;
        let problem = self.problem(rule, code).await;
        assert!(problem.said.is_some_and(|said| !said.is_empty()), "{bad:?}: what the store said");
        assert!(problem.help.iter().any(|help| help.starts_with("dapple ")), "{:?}", problem.help);
        let shown = self.lake.client.endpoint(&name("far")).await.expect("shown");
        assert!(shown.notes.iter().any(|note| note.contains("said last")), "{:?}", shown.notes);
        self.nothing_is_half_there();
        self.way.set(Way::Open);
        self.lake.until_within(HEALING, rule, |view| view.state == RuleState::Ok).await;
        self.equals_x();
        self.lake.is_well().await;
    }

    fn nothing_is_half_there(&self) {
        let Some(directory) = &self.store.directory else { return };
        let whole = tree(&self.lake.root("x"));
        for (path, bytes) in tree(directory) {
            if !path.contains(".dapple-") {
                assert_eq!(whole.get(&path), Some(&bytes), "{path}");
            }
        }
    }

    fn equals_x(&self) {
        let local = self.lake.root("x").display().to_string();
        super::compare_by_rclone(&local, &self.store, "");
    }
}

const FULL: Way = Way::Answered("HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
const LIE: Way = Way::Swallowed("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
const REFUSAL: Way = Way::Answered("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

macro_rules! borne {
    ($($(#[$attribute:meta])* $name:ident: $on:ident, $way:expr, $code:literal;)*) => {
        $(
            $(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                Troubled::$on().await.bear($way, $code).await;
            }
        )*
    };
}

borne! {
    a_dead_webdav_server_is_waited_for: on_apache, Way::Dead, "endpoint-unreachable";
    a_dead_s3_store_is_waited_for: on_radosgw, Way::Dead, "endpoint-unreachable";
    #[ignore = "a hanging server is waited for, minute by minute: tests/run --long"]
    a_webdav_server_that_hangs_is_waited_for: on_apache, Way::Silent, "endpoint-unreachable";
    #[ignore = "a hanging store is waited for, minute by minute: tests/run --long"]
    an_s3_store_that_hangs_is_waited_for: on_radosgw, Way::Silent, "endpoint-unreachable";
    a_webdav_server_that_is_full_is_told: on_apache, FULL, "endpoint-full";
    a_webdav_server_that_lies_is_found_out: on_apache, LIE, "endpoint-faulty";
    an_s3_store_that_lies_is_found_out: on_radosgw, LIE, "endpoint-faulty";
    a_webdav_server_that_refuses_is_told: on_apache, REFUSAL, "endpoint-denies";
    an_s3_store_that_refuses_is_told: on_radosgw, REFUSAL, "endpoint-denies";
}

/// A server of its own that is really killed, in the middle of its work, and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_gets_its_files() {
    let (directory, ports) = (crate::peers::home().join(crate::remote::fresh()), (free_port(), free_port()));
    let server = Apache::start(directory.clone(), ports.0, ports.1);
    let secret = format!("{}:{}", PAIR.0, PAIR.1);
    let location = format!("http://127.0.0.1:{}/dav/site", ports.0);
    let kind = dapple::model::endpoint::EndpointKind::Webdav;
    let store = Store { kind, location, secret, directory: Some(directory.join("dav/site")) };
    let lake = TestLake::with_endpoints(&["x"]).await;
    lake.add_store("far", &store).await;
    lake.put_numbered("s:d", "x", 0..400).await;
    let troubled = Troubled { lake, way: Proxy::to(ports.0).await, store };
    let rule = troubled.lake.rule("s:d", 1, "site=far").await;
    troubled.lake.until_rule(rule, |view| view.files_done > 20).await;
    server.stop();
    troubled.problem(rule, "endpoint-unreachable").await;
    troubled.nothing_is_half_there();
    let again = Apache::start(directory, ports.0, ports.1);
    troubled.lake.until_within(HEALING, rule, |view| view.state == RuleState::Ok).await;
    troubled.equals_x();
    again.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_s3_store_is_told_and_goes_on_when_there_is_room() {
    let gateway = radosgw();
    let user = crate::remote::fresh();
    let store = |port: u16| Store {
        location: format!("http://127.0.0.1:{port}/{}", crate::remote::fresh()),
        ..on_radosgw(port)
    };
    gateway.admin(&format!("user create --uid={user} --display-name=x --access-key={user} --secret=its-own"));
    let lake = TestLake::with_endpoints(&["x"]).await;
    let store = Store { secret: format!("{user}:its-own"), ..store(gateway.port) };
    lake.add_store("far", &store).await;
    gateway.admin(&format!("quota set --quota-scope=user --uid={user} --max-objects=0 --max-size=0"));
    gateway.admin(&format!("quota enable --quota-scope=user --uid={user}"));
    lake.put_numbered("s:d", "x", 0..5).await;
    let rule = lake.rule("s:d", 1, "site=far").await;
    let troubled = Troubled { lake, way: Proxy::to(gateway.port).await, store };
    troubled.problem(rule, "endpoint-full").await;
    gateway.admin(&format!("quota disable --quota-scope=user --uid={user}"));
    troubled.lake.until_within(HEALING, rule, |view| view.state == RuleState::Ok).await;
    troubled.equals_x();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_is_told_and_a_new_secret_helps_without_a_restart() {
    let troubled = Troubled::on_apache().await;
    let (user, password) = troubled.store.secret.split_once(':').expect("a pair");
    // Only this way knows another password; the server keeps its own for everybody else.
    troubled.way.set(Way::Answered(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"lake\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ));
    let rule = troubled.lake.rule("s:d", 1, "site=far").await;
    let problem = troubled.problem(rule, "endpoint-denies").await;
    assert!(problem.help.iter().any(|help| help.contains("--secret-file")), "{:?}", problem.help);
    troubled.way.set(Way::Open);
    let wrong =
        EndpointChange { secret: Some(Some(SecretText::new(format!("{user}:wrong")))), ..EndpointChange::default() };
    let refused = troubled.lake.client.change_endpoint(&name("far"), &wrong).await.expect_err("it does not fit");
    assert!(!refused.to_string().contains("wrong"), "{refused}");
    let right = SecretText::new(format!("{user}:{password}"));
    let right = EndpointChange { secret: Some(Some(right)), ..EndpointChange::default() };
    troubled.lake.client.change_endpoint(&name("far"), &right).await.expect("it fits");
    troubled.lake.client.retry_rule(rule).await.expect("retried");
    troubled.lake.until_within(HEALING, rule, |view| view.state == RuleState::Ok).await;
    troubled.equals_x();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_gives_wrong_bytes_or_ends_early_is_never_published() {
    for (on, port) in [(on_apache as fn(u16) -> Store, apache().port), (on_radosgw, radosgw().port)] {
        for bad in [Way::Flipped(400), Way::Cut(300)] {
            let lake = TestLake::with_endpoints(&["x"]).await;
            let way = Proxy::to(port).await;
            lake.add_store("far", &on(way.port)).await;
            let content = vec![7; 100_000];
            lake.put("s:d", "far", &[("d/1", &content)]).await;
            way.set(bad.clone());
            let rule = lake.rule("s:d", 1, "site=x").await;
            let started = std::time::Instant::now();
            while lake.client.explain_rule(rule).await.expect("explained").problems.is_empty() {
                assert!(started.elapsed() < HEALING, "{bad:?} was never noticed");
                pause().await;
            }
            assert!(tree(&lake.root("x")).keys().all(|path| path.contains(".dapple-")), "{bad:?}");
            way.set(Way::Open);
            lake.client.retry_rule(rule).await.expect("retried");
            lake.until_within(HEALING, rule, |view| view.state == RuleState::Ok).await;
            assert_eq!(lake.read_from(&did("s:d/1"), "x").await, content);
        }
    }
}
