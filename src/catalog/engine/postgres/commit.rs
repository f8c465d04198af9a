//! A transaction, from its closure to its commit, and to the truth about a commit whose answer was
//! lost.
//!
//! Everything that is written goes to the server at once: one statement for each table, with the end
//! of the transaction behind them. Among them is a row that says which attempt of this seat it is. If
//! the connection is lost on the way, nobody knows whether the server has got it; so the row is read
//! again, behind a bar that waits for a transaction that is still about to end, and fails one that has
//! not got there yet. Then it is known: either it took effect, or it never will, and the closure runs
//! again. A closure takes effect once.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::super::laid::Laid;
use super::super::overlay::Buffer;
use super::super::{Body, BoxFuture, EngineError, Verdict};
use super::Postgres;
use super::link::Link;
use super::pool::Seated;
use super::session::Session;
use super::sql::{ATTEMPT, ATTEMPT_BAR, ATTEMPT_LAST, ATTEMPT_NONE, Ask, BEGIN, INBOX};
use super::trouble::Trouble;
use crate::clock::within;

/// How long a closure may run.
const RUN_TIME: Duration = Duration::from_secs(30);
/// How long it is asked what became of a commit.
const DOUBT_TIME: Duration = Duration::from_secs(30);
/// How long lies between two such questions.
const DOUBT_REST: Duration = Duration::from_millis(300);

/// What became of an attempt.
pub(super) enum Outcome {
    /// It is over; what it emitted is in the inbox under this number.
    Done(Option<i64>),
    /// It came to nothing.
    Trouble(Trouble),
}

impl From<EngineError> for Outcome {
    fn from(error: EngineError) -> Self {
        Self::Trouble(match error {
            EngineError::Unreachable { what } => Trouble::Lost(what),
            other => Trouble::Final(other),
        })
    }
}

/// What is sent, in order.
enum Step {
    Plain(&'static str),
    Given(Statement, Vec<Box<dyn ToSql + Sync + Send>>),
    /// Answers with the number in the inbox.
    Inbox(Statement, Vec<Bytes>),
}

impl Step {
    async fn take(&self, link: &Link) -> Result<Option<i64>, Error> {
        match self {
            Step::Plain(text) => link.client().batch_execute(text).await.map(|()| None),
            Step::Given(statement, given) => {
                let given: Vec<&(dyn ToSql + Sync)> = given.iter().map(|one| &**one as &(dyn ToSql + Sync)).collect();
                link.client().execute(statement, &given).await.map(|_| None)
            }
            Step::Inbox(statement, changes) => {
                let changes: Vec<&[u8]> = changes.iter().map(|change| &change[..]).collect();
                let row = link.client().query_one(statement, &[&changes]).await?;
                row.try_get(0).map(Some)
            }
        }
    }
}

impl Postgres {
    /// Runs the closure once.
    pub(super) async fn attempt(&self, seated: &mut Seated, body: &Body) -> Outcome {
        let link = match seated.link().await {
            Ok(link) => link,
            Err(error) => return error.into(),
        };
        let session = Arc::new(Session::writing(Arc::clone(&link)));
        let laid = Laid::over(Arc::clone(&session) as _, Buffer::default());
        seated.set_open(true);
        let ran = within(&*self.dial.clock, RUN_TIME, laid.run(body)).await;
        if !session.has_begun() {
            seated.set_open(false);
        }
        // Whatever the closure made of it: a transaction in which something failed comes to nothing.
        if let Some(trouble) = session.trouble() {
            return Outcome::Trouble(trouble);
        }
        let late = || EngineError::Io { what: format!("a transaction took longer than {RUN_TIME:?}") };
        let buffer = match ran.unwrap_or_else(|| Err(late())) {
            Err(error) => return Outcome::Trouble(Trouble::Final(error)),
            Ok(Verdict::Abort) => return Outcome::Done(None),
            Ok(Verdict::Commit) => match laid.take() {
                Ok(buffer) => buffer,
                Err(broken) => return Outcome::Trouble(Trouble::Final(broken)),
            },
        };
        if buffer.writes.is_empty() && buffer.changes.is_empty() {
            return self.confirm(seated, &session, &link).await;
        }
        self.commit(seated, session.has_begun(), &link, buffer).await
    }

    /// Ends a transaction that only read: the server says whether what it read was one state.
    async fn confirm(&self, seated: &mut Seated, session: &Session, link: &Link) -> Outcome {
        if session.has_begun() {
            let ended = link.client().batch_execute("COMMIT").await;
            seated.set_open(false);
            if let Err(error) = ended {
                return Outcome::Trouble(Trouble::of(&error));
            }
        }
        Outcome::Done(None)
    }

    async fn commit(&self, seated: &mut Seated, has_begun: bool, link: &Arc<Link>, buffer: Buffer) -> Outcome {
        let attempt = seated.next_attempt();
        let seat = self.seat_name(seated.number());
        let steps = match steps(link, has_begun, (seat.clone(), attempt), buffer).await {
            Ok(steps) => steps,
            Err(error) => return Outcome::Trouble(Trouble::of(&error)),
        };
        seated.set_open(true);
        // Should this be dropped on the way, what is open is rolled back.
        let running = steps.iter().map(|step| Box::pin(step.take(link)) as BoxFuture<'_, Result<Option<i64>, Error>>);
        let mut inbox = None;
        for answer in at_once(running.collect()).await {
            match answer.map_err(|error| Trouble::of(&error)) {
                Ok(id) => inbox = inbox.or(id),
                Err(Trouble::Lost(what)) => {
                    seated.hang_up();
                    return self.settle(seated, &seat, attempt, what).await;
                }
                // The end of the transaction came behind the failure, and rolled it back.
                Err(trouble) => {
                    seated.set_open(false);
                    return Outcome::Trouble(trouble);
                }
            }
        }
        seated.set_open(false);
        Outcome::Done(inbox)
    }

    /// Finds out whether an attempt took effect whose answer was lost.
    async fn settle(&self, seated: &mut Seated, seat: &[u8], attempt: i64, what: String) -> Outcome {
        tracing::debug!("a commit went without an answer, and is asked for: {what}");
        let clock = &self.dial.clock;
        let began = clock.monotonic();
        while clock.monotonic().saturating_sub(began) < DOUBT_TIME {
            if let Ok(link) = seated.link().await {
                match last_attempt(&link, seat, attempt).await {
                    Ok(last) if last == attempt => return Outcome::Done(None),
                    Ok(_) => return Outcome::Trouble(Trouble::Lost(what)),
                    Err(error) => {
                        seated.hang_up();
                        tracing::debug!("it could not be asked for: {error}");
                    }
                }
            }
            clock.sleep(DOUBT_REST).await;
        }
        Outcome::Trouble(Trouble::Final(EngineError::InDoubt { what }))
    }

    /// How a seat of this process is called in the catalog.
    fn seat_name(&self, number: u32) -> Vec<u8> {
        [&self.process[..], &number.to_be_bytes()].concat()
    }
}

/// The last attempt of a seat that took effect. None up to `attempt` can take effect behind this, which
/// may be asked as often as the answer gets lost.
async fn last_attempt(link: &Link, seat: &[u8], attempt: i64) -> Result<i64, Error> {
    let client = link.client();
    client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    client.execute(ATTEMPT_NONE, &[&seat]).await?;
    client.execute(ATTEMPT_BAR, &[&seat, &attempt]).await?;
    let last = client.query_one(ATTEMPT_LAST, &[&seat]).await?.try_get(0)?;
    client.batch_execute("COMMIT").await?;
    Ok(last)
}

/// What is to be sent. Tables and keys come in order, so that no two transactions wait for each other.
async fn steps(
    link: &Link,
    has_begun: bool,
    (seat, attempt): (Vec<u8>, i64),
    buffer: Buffer,
) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if !has_begun {
        steps.push(Step::Plain(BEGIN));
    }
    steps.push(Step::Given(link.statement(ATTEMPT).await?, vec![Box::new(seat), Box::new(attempt)]));
    for (table, rows) in buffer.writes.into_tables() {
        let (mut keys, mut values, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in rows {
            match value {
                Some(value) => {
                    keys.push(key.to_vec());
                    values.push(value.to_vec());
                }
                None => gone.push(key.to_vec()),
            }
        }
        if !gone.is_empty() {
            steps.push(Step::Given(link.ask(table, Ask::Delete).await?, vec![Box::new(gone)]));
        }
        if !keys.is_empty() {
            steps.push(Step::Given(link.ask(table, Ask::Put).await?, vec![Box::new(keys), Box::new(values)]));
        }
    }
    if !buffer.changes.is_empty() {
        steps.push(Step::Inbox(link.statement(INBOX).await?, buffer.changes));
    }
    steps.push(Step::Plain("COMMIT"));
    Ok(steps)
}

/// Begins all in their order before any is answered, and waits for every one.
async fn at_once<T>(mut running: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for (running, done) in running.iter_mut().zip(&mut done) {
            if done.is_none() {
                match running.as_mut().poll(context) {
                    Poll::Ready(answer) => *done = Some(answer),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().map(|answer| answer.expect("all are over")).collect()
}
