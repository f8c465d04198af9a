//! One request: sent, answered, judged, and sent again where that does no harm.

use std::sync::OnceLock;
use std::time::Duration;

use futures::future::{Either, select};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::client::error::ClientError;
use crate::fault::{Fault as _, Kind};
use crate::model::id::GrantId;
use crate::service::view::ProblemView;

/// How long a call of the API may take.
const CALL_DEADLINE: Duration = Duration::from_mins(1);
/// The longest pause a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// How often a file that cannot be read is asked for again: its storage is what is ill, not the server.
const UNREADABLE_REPEATS_MAX: u32 = 1;
/// The header that names a change, so that it is carried out once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// A problem document is small; more than this is something else.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

/// When a call may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Sending it twice does what sending it once does.
    Always,
    /// The server carries it out once for its key, and answers it again as it did the first time.
    ByKey,
    /// Only while the server has certainly not begun with it.
    IfUnsent,
}

/// A call of the API.
pub(crate) struct Call {
    method: Method,
    url: String,
    body: Option<Vec<u8>>,
    again: Again,
    /// What the server is to know it by, should it come again.
    key: OnceLock<String>,
}

impl Call {
    pub(crate) fn new(method: Method, url: String, again: Again) -> Self {
        Self { method, url, body: None, again, key: OnceLock::new() }
    }

    pub(crate) fn get(url: String) -> Self {
        Self::new(Method::GET, url, Again::Always)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn again(&self) -> Again {
        self.again
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).expect("wire shapes have text keys only"));
        self
    }
}

/// A failed attempt, and how long the server asked to be left alone.
pub(crate) struct Failed {
    pub(crate) error: ClientError,
    pub(crate) pause: Option<Duration>,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, pause: None }
    }
}

impl Client {
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(&Call::get(self.api(path))).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        again: Again,
    ) -> Result<T, ClientError> {
        self.send(Method::POST, path, body, again).await
    }

    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        again: Again,
    ) -> Result<T, ClientError> {
        self.call(&Call::new(method, self.api(path), again).json(body)).await
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, ClientError> {
        let body = self.exchange(call).await?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Protocol { url: call.url.clone(), detail: error.to_string() })
    }

    /// Makes a call whose answer does not matter.
    pub(crate) async fn call_for_nothing(&self, call: &Call) -> Result<(), ClientError> {
        self.exchange(call).await.map(|_| ())
    }

    async fn exchange(&self, call: &Call) -> Result<Vec<u8>, ClientError> {
        self.persist(call.again, || async {
            let body = async {
                let answer = self.request(call).send().await;
                let same = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::NOT_MODIFIED);
                if let Some(body) = self.memory.as_ref().filter(|_| same).and_then(|memory| memory.body(&call.url)) {
                    return Ok(body);
                }
                let response = judge(&call.url, answer).await?;
                let headers = response.headers().clone();
                let body = response.bytes().await.map_err(|source| unreachable(&call.url, source))?;
                if let Some(memory) = self.memory.as_ref().filter(|_| call.method == Method::GET) {
                    memory.keep(&call.url, &headers, &body);
                }
                Ok(body.to_vec())
            };
            self.within(CALL_DEADLINE, &call.url, body).await?
        })
        .await
    }

    pub(crate) fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let mut request = self.http.request(call.method.clone(), &call.url);
        if self.rehearses && call.method != Method::GET {
            request = request.query(&[("dry_run", "true")]);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(tag) = self.memory.as_ref().and_then(|memory| memory.tag(&call.url))
            && call.method == Method::GET
        {
            request = request.header(IF_NONE_MATCH, tag);
        }
        if call.again == Again::ByKey && !self.rehearses {
            let key = call.key.get_or_init(|| GrantId(self.clock.id()).to_string());
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        match &call.body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.clone()),
            None => request,
        }
    }

    /// Makes attempts until one succeeds, fails for good, or the pauses are used up.
    pub(crate) async fn persist<T, A: Future<Output = Result<T, Failed>>>(
        &self,
        again: Again,
        mut attempt: impl FnMut() -> A,
    ) -> Result<T, ClientError> {
        let mut pauses = self.pauses.iter();
        let mut unreadable = 0;
        loop {
            let failed = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            unreadable += u32::from(failed.error.is_unreadable());
            match pauses.next() {
                Some(pause) if unreadable <= UNREADABLE_REPEATS_MAX && may_repeat(again, &failed.error) => {
                    // A pause that is asked for a file's sake is for people: a program has others to go on with.
                    let asked = failed.pause.filter(|_| !failed.error.is_unreadable());
                    let pause = asked.map_or(*pause, |asked| asked.min(RETRY_AFTER_MAX));
                    tracing::debug!("{}; trying again in {pause:?}", failed.error);
                    if let Some(notice) = &self.notice {
                        notice(&failed.error);
                    }
                    self.clock.sleep(pause).await;
                }
                _ => return Err(failed.error),
            }
        }
    }

    /// Tells whether a failure is that of the server as a whole, so that others would meet it too. A
    /// server that hangs up in the middle of a body may have failed over that body alone; if it still
    /// answers, others may go on.
    pub(crate) async fn is_gone_after(&self, error: &ClientError) -> bool {
        match error {
            ClientError::Unreachable { .. } => self.health().await.is_err(),
            _ => error.kind() == Kind::Unavailable && !error.is_unreadable() && !error.is_busy(),
        }
    }

    /// Waits for a future, but not for ever.
    pub(crate) async fn within<T>(
        &self,
        deadline: Duration,
        url: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, ClientError> {
        match select(std::pin::pin!(work), self.clock.sleep(deadline)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(ClientError::Slow { url: unsigned(url), seconds: deadline.as_secs() }),
        }
    }
}

fn may_repeat(again: Again, error: &ClientError) -> bool {
    let turned_away = matches!(error, ClientError::Problem(problem) if matches!(problem.status, 429 | 503));
    match again {
        Again::Always => error.kind() == Kind::Unavailable,
        Again::ByKey => error.kind() == Kind::Unavailable || error.is_in_progress(),
        Again::IfUnsent => error.kind() == Kind::Unavailable && (turned_away || error.is_unsent()),
    }
}

/// Passes on an answer that is a success, and reads the problem out of any other.
pub(crate) async fn judge(url: &str, answer: reqwest::Result<Response>) -> Result<Response, Failed> {
    let response = answer.map_err(|source| unreachable(url, source))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let pause = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    Err(Failed { error: problem(url, response).await, pause })
}

async fn problem(url: &str, mut response: Response) -> ClientError {
    let status = response.status();
    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > PROBLEM_BYTES_MAX {
            break;
        }
    }
    if let Ok(problem) = serde_json::from_slice::<ProblemView>(&body) {
        return ClientError::Problem(Box::new(problem));
    }
    if let Ok(told) = serde_json::from_slice::<Exception>(&body) {
        return told.into_problem(status);
    }
    // Not our server's words, but a proxy's or a stranger's; the status still tells what to do.
    let (detail, hint) = match (to, status) {
        (Some(to), _) => (
            format!("{} answered {status} and sends on to {}, as no dapple server does", unsigned(url), unsigned(&to)),
            STRANGER,
        ),
        (None, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT) => {
            (format!("{} answered {status}, and not in dapple's words", unsigned(url)), BEHIND)
        }
        (None, _) => (format!("{} answered {status}, and not as a dapple server does", unsigned(url)), STRANGER),
    };
    ClientError::Problem(Box::new(ProblemView {
        kind: "about:blank".to_owned(),
        code: "answered-without-a-problem".to_owned(),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail,
        hint: Some(hint.to_owned()),
        request_id: String::new(),
    }))
}

/// What the STAC API says of what is wrong.
#[derive(serde::Deserialize)]
struct Exception {
    code: String,
    description: String,
    #[serde(default)]
    request_id: String,
}

impl Exception {
    fn into_problem(self, status: StatusCode) -> ClientError {
        ClientError::Problem(Box::new(ProblemView {
            kind: "about:blank".to_owned(),
            code: self.code,
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: self.description,
            hint: None,
            request_id: self.request_id,
        }))
    }
}

/// What helps when somebody else answers.
pub(crate) const STRANGER: &str =
    "is another server at that address? `dapple config show --origin` tells which one is asked, and who says so";
/// What helps when a proxy does.
const BEHIND: &str = "a proxy answered for a server that it cannot reach: look at the server, or try again later";

pub(crate) fn unreachable(url: &str, source: reqwest::Error) -> ClientError {
    // reqwest's own text repeats the URL, which may be signed.
    ClientError::Unreachable { url: unsigned(url), source: source.without_url() }
}

/// The part of a URL that may be shown: signatures stand in the query or the path, so of what is
/// not under `/api/` only the server is left.
pub(crate) fn unsigned(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return "the server".to_owned();
    };
    parsed.set_query(None);
    if !parsed.path().contains("/api/v1/") && !parsed.path().ends_with("/health") {
        parsed.set_path("");
    }
    parsed.to_string()
}
