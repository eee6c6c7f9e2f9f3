//! One request at the providers of its chain: attempts, failover, hedging, and what they cost.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{HumanDuration, Slug, event_id};
use tokio::sync::mpsc;

use super::attempt::{Event, Runner, Start};
use super::budget::{OverLimit, micros};
use super::error::GatewayError;
use super::filmed::OpenJob;
use super::ledger::{Payer, Used};
use super::plan::{self, Standing, State, Step};
use super::price::Price;
use super::work::{Made, Work};
use super::{Answered, Inner, Piece, Pieces};
use crate::provider::{Failure, FailureKind, Spent};
use crate::{FilmJob, Usage};

/// A target with its price.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) provider: Slug,
    pub(super) model: String,
    pub(super) price: Price,
    /// The most that an attempt can use.
    pub(super) most: Usage,
}

/// A request whose model and prices are known.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) payer: Payer,
    pub(super) work: Arc<Work>,
    pub(super) chain: Vec<Choice>,
}

/// What a request knows of a target.
#[derive(Debug)]
struct Known {
    state: State,
    problem: Option<Problem>,
}

/// Why a target gave no reply.
#[derive(Debug)]
enum Problem {
    /// The provider refuses the form of the request.
    Rejected(String),
    /// A limit of the tenant left no room for its cost, so it was not asked.
    OverLimit(OverLimit),
    Other(String),
}

/// What became of the start of an attempt.
#[derive(Debug)]
enum Begun {
    Yes,
    /// The provider is paused, or another request tests it.
    NotOpen,
    OverLimit(OverLimit),
}

/// A running request.
pub(super) struct Running<'a> {
    inner: &'a Arc<Inner>,
    request: &'a Resolved,
    pieces: &'a Pieces,
    /// What it knows of each target of the chain.
    known: Vec<Known>,
    runners: Vec<Runner>,
    /// The attempt whose text is passed on.
    shown: Option<usize>,
    /// Whether text was passed on that does not belong to the reply.
    has_sent_discarded_text: bool,
    attempts: usize,
    settled: u64,
    deadline: Duration,
    hedge_at: Option<Duration>,
    sender: mpsc::UnboundedSender<(usize, Event)>,
    events: mpsc::UnboundedReceiver<(usize, Event)>,
}

impl<'a> Running<'a> {
    pub(super) fn new(inner: &'a Arc<Inner>, request: &'a Resolved, pieces: &'a Pieces) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let deadline = match *request.work {
            // A clip is followed after its job has begun.
            Work::Text(_) | Work::Clip(_) => inner.settings.deadline,
            Work::Picture(_) => inner.settings.picture_deadline,
        };
        Self {
            deadline: inner.clock.elapsed() + deadline.get(),
            inner,
            request,
            pieces,
            known: request
                .chain
                .iter()
                .map(|_| Known {
                    state: State::Untried,
                    problem: None,
                })
                .collect(),
            runners: Vec::new(),
            shown: None,
            has_sent_discarded_text: false,
            attempts: 0,
            settled: 0,
            hedge_at: None,
            sender,
            events,
        }
    }

    /// Asks the providers until one gives a reply.
    pub(super) async fn run(mut self) -> Result<Answered<Made>, GatewayError> {
        let result = self.finish().await;
        // Attempts that a hedge has made needless end here.
        for runner in std::mem::take(&mut self.runners) {
            self.abandon(runner).await;
        }
        result
    }

    async fn finish(&mut self) -> Result<Answered<Made>, GatewayError> {
        let clock = Arc::clone(&self.inner.clock);
        loop {
            if self.runners.is_empty() {
                let now = clock.elapsed();
                match self.step(now) {
                    Step::Ask(place) => match self.start(place).await? {
                        Begun::Yes => {}
                        Begun::NotOpen => continue,
                        Begun::OverLimit(over) => {
                            // Another target can cost less.
                            self.known[place] = Known {
                                state: State::Failed,
                                problem: Some(Problem::OverLimit(over)),
                            };
                            continue;
                        }
                    },
                    Step::WaitUntil(until) => {
                        clock.sleep_until(until).await;
                        continue;
                    }
                    Step::GiveUp => return Err(self.gave_up(now)),
                }
            }
            let limit = self.next_limit();
            tokio::select! {
                biased;
                event = self.events.recv() => {
                    // `self` has a sender, so the channel is open.
                    if let Some((number, event)) = event
                        && let Some(result) = self.take(number, event).await
                    {
                        return result;
                    }
                }
                () = clock.sleep_until(limit) => {
                    let now = clock.elapsed();
                    if now >= self.deadline {
                        let problem = match *self.request.work {
                            Work::Text(_) => "no text within llm.deadline",
                            Work::Clip(_) => "no job within llm.deadline",
                            Work::Picture(_) => "no picture within llm.picture_deadline",
                        };
                        self.end_late(problem, |_| true).await;
                        return Err(self.gave_up(now));
                    }
                    let is_silent = |runner: &Runner| runner.text_by.is_some_and(|by| by <= now);
                    self.end_late("no text within llm.first_text_within", is_silent).await;
                    if !self.runners.is_empty() && self.hedge_at.is_some_and(|at| at <= now) {
                        self.hedge_at = None;
                        if let Step::Ask(place) = self.step(now) {
                            // A limit that leaves no room for the second attempt does not end the first one.
                            let _ = self.start(place).await;
                        }
                    }
                }
            }
        }
    }

    /// When the request must act, if no attempt reports anything.
    fn next_limit(&self) -> Duration {
        let texts = self.runners.iter().filter_map(|runner| runner.text_by);
        texts.chain(self.hedge_at).fold(self.deadline, Duration::min)
    }

    /// Ends the attempts for which `is_late` is true. They count as failures of their providers; what they have cost is not known.
    async fn end_late(&mut self, problem: &str, is_late: impl Fn(&Runner) -> bool) {
        let (late, running): (Vec<Runner>, Vec<Runner>) =
            std::mem::take(&mut self.runners).into_iter().partition(is_late);
        self.runners = running;
        for runner in late {
            runner.task.abort();
            let failure = Failure::new(FailureKind::Unknown, problem).spending(Spent::Unknown);
            // Only a refusal ends the request.
            let _ = self.fail(runner, failure).await;
        }
    }

    fn step(&self, now: Duration) -> Step {
        if self.has_no_attempt_left() {
            return Step::GiveUp;
        }
        let standings = self.request.chain.iter().zip(&self.known);
        let standings: Vec<Standing> = standings
            .map(|(choice, known)| Standing {
                is_open: self
                    .inner
                    .connection(&choice.provider)
                    .is_some_and(|one| one.is_open(now)),
                state: known.state,
            })
            .collect();
        plan::next(&standings, now, self.deadline)
    }

    fn has_no_attempt_left(&self) -> bool {
        self.attempts >= self.inner.settings.attempts as usize
    }

    /// Starts an attempt, after its hold is durable.
    async fn start(&mut self, place: usize) -> Result<Begun, GatewayError> {
        let choice = &self.request.chain[place];
        let payer = &self.request.payer;
        let most = choice.most;
        let Some(connection) = self.inner.connection(&choice.provider) else {
            // A route names known providers only.
            return Err(GatewayError::Stopped);
        };
        if !connection.try_begin(self.inner.clock.elapsed()) {
            return Ok(Begun::NotOpen);
        }
        let hold = self
            .inner
            .hold(&payer.tenant, most.total(), choice.price.of(most));
        let hold = match hold {
            Ok(hold) => hold,
            Err(over) => {
                connection.ends();
                return Ok(Begun::OverLimit(over));
            }
        };
        let id = self.inner.next_id();
        if let Err(error) = self.inner.ledger.open_hold(&id, payer, hold).await {
            connection.ends();
            self.inner.settle(&payer.tenant, hold, 0, 0);
            return Err(error.into());
        }
        let number = self.attempts;
        self.attempts += 1;
        let now = self.inner.clock.now();
        let elapsed = self.inner.clock.elapsed();
        let deadline = self.deadline.saturating_sub(elapsed);
        let start = Start {
            number,
            maker: connection.upstream.maker.clone(),
            key: provider_key(payer, choice).unwrap_or_else(|| id.clone()),
            work: self.request.work.to_model(&choice.model),
            pictures: Arc::clone(&self.inner.pictures),
            job: matches!(*self.request.work, Work::Clip(_)).then(|| OpenJob {
                job: FilmJob {
                    name: String::new(),
                    model: choice.model.clone(),
                    seconds: most.video_seconds,
                },
                provider: choice.provider.clone(),
                started: now,
                hold_id: id.clone(),
                hold,
                spent: self.settled,
            }),
            now,
            deadline,
        };
        let task = start.spawn(self.sender.clone());
        self.known[place].state = State::Running;
        // A picture arrives as a whole, after a minute perhaps. Two of them are not worth the time that is saved.
        let is_text = matches!(*self.request.work, Work::Text(_));
        let of_text = |duration: HumanDuration| if is_text { duration.get() } else { Duration::ZERO };
        let first_text_within = of_text(self.inner.settings.first_text_within);
        self.runners.push(Runner {
            number,
            place,
            id,
            hold,
            task,
            began: elapsed,
            text_by: (!first_text_within.is_zero()).then(|| elapsed + first_text_within),
        });
        let hedge_after = of_text(self.inner.settings.hedge_after);
        self.hedge_at = (!hedge_after.is_zero() && self.shown.is_none()).then(|| elapsed + hedge_after);
        Ok(Begun::Yes)
    }

    /// Takes an event of an attempt. Returns the end of the request, if this is it.
    async fn take(&mut self, number: usize, event: Event) -> Option<Result<Answered<Made>, GatewayError>> {
        // An attempt that was ended can have sent events before.
        let position = self.runners.iter().position(|runner| runner.number == number)?;
        match event {
            Event::Text(piece) => {
                self.runners[position].text_by = None;
                if self.shown.is_none() {
                    self.show(number).await;
                }
                if self.shown == Some(number) {
                    self.pieces.send(Piece::Text(piece));
                }
                None
            }
            Event::Done(Ok(made)) => {
                let runner = self.runners.remove(position);
                Some(match made {
                    Made::Job(job) => self.begun(&runner, job).await,
                    made => Ok(self.succeed(runner, made).await),
                })
            }
            Event::Done(Err(failure)) => {
                let runner = self.runners.remove(position);
                if self.shown == Some(number) {
                    self.shown = None;
                    self.has_sent_discarded_text = true;
                }
                self.fail(runner, failure).await.map(Err)
            }
        }
    }

    /// From now on the text of this attempt is passed on. Other attempts end.
    async fn show(&mut self, number: usize) {
        self.shown = Some(number);
        self.hedge_at = None;
        if std::mem::take(&mut self.has_sent_discarded_text) {
            self.pieces.send(Piece::Restart);
        }
        let (kept, needless): (Vec<Runner>, Vec<Runner>) = std::mem::take(&mut self.runners)
            .into_iter()
            .partition(|runner| runner.number == number);
        self.runners = kept;
        for runner in needless {
            self.abandon(runner).await;
        }
    }

    /// An attempt has begun a job. Its name is durable before anybody asks for it. Its hold stays until the job ends.
    async fn begun(&mut self, runner: &Runner, job: OpenJob) -> Result<Answered<Made>, GatewayError> {
        if let Some(connection) = self.inner.connection(&job.provider) {
            connection.succeeds();
        }
        let took = self.inner.clock.elapsed().saturating_sub(runner.began);
        self.inner.meters.answered(&job.provider, None, took);
        let payer = &self.request.payer;
        if let Err(error) = self.inner.ledger.open_job(payer, &job).await {
            // The hold stays in the ledger, so the next start counts it.
            self.inner.settle_unknown(&payer.tenant, runner.hold);
            return Err(error.into());
        }
        Ok(Answered {
            provider: job.provider.clone(),
            generated: Made::Job(job),
            cost: micros(self.settled),
        })
    }

    async fn succeed(&mut self, runner: Runner, made: Made) -> Answered<Made> {
        let choice = &self.request.chain[runner.place];
        if self.shown != Some(runner.number) {
            // A provider that passes no pieces on.
            if std::mem::take(&mut self.has_sent_discarded_text) {
                self.pieces.send(Piece::Restart);
            }
            self.pieces.whole(&made);
        }
        if let Some(connection) = self.inner.connection(&choice.provider) {
            connection.succeeds();
        }
        let took = self.inner.clock.elapsed().saturating_sub(runner.began);
        self.inner.meters.answered(&choice.provider, made.usage(), took);
        let used = match made.usage() {
            Some(usage) => Used {
                settled: choice.price.of(usage),
                unknown: 0,
            },
            None => Used {
                settled: 0,
                unknown: runner.hold.cost,
            },
        };
        let answered = Answered {
            provider: choice.provider.clone(),
            cost: micros(
                self.settled
                    .saturating_add(used.settled)
                    .saturating_add(used.unknown),
            ),
            generated: made,
        };
        let tokens = answered.generated.usage().map(Usage::total);
        self.close(&runner, used, tokens, Some(&answered)).await;
        answered
    }

    /// Notes a failed attempt. Returns the error that ends the request, if it does.
    async fn fail(&mut self, runner: Runner, failure: Failure) -> Option<GatewayError> {
        let choice = &self.request.chain[runner.place];
        let name = choice.provider.as_str();
        let retry = self
            .inner
            .connection(&choice.provider)
            .and_then(|connection| connection.fails(name, &failure, self.inner.clock.elapsed()));
        self.inner.meters.failed(&choice.provider, failure.kind);
        if let Spent::Tokens(usage) = failure.spent {
            self.inner.meters.used(&choice.provider, usage);
        }
        let (used, tokens) = match failure.spent {
            Spent::Nothing => (Used::default(), Some(0)),
            Spent::Tokens(usage) => {
                let settled = choice.price.of(usage);
                (Used { settled, unknown: 0 }, Some(usage.total()))
            }
            Spent::Unknown => {
                let unknown = runner.hold.cost;
                (Used { settled: 0, unknown }, None)
            }
        };
        let detail = failure.detail.clone();
        self.known[runner.place] = Known {
            state: retry.map_or(State::Failed, State::RetryAt),
            problem: Some(match failure.kind {
                FailureKind::Rejected => Problem::Rejected(detail),
                _ => Problem::Other(detail),
            }),
        };
        self.close(&runner, used, tokens, None).await;
        (failure.kind == FailureKind::Refused).then(|| GatewayError::Refused {
            provider: name.to_owned(),
            detail: failure.detail,
        })
    }

    /// Ends an attempt whose result is not needed. What it has cost is not known.
    async fn abandon(&mut self, runner: Runner) {
        runner.task.abort();
        let provider = &self.request.chain[runner.place].provider;
        if let Some(connection) = self.inner.connection(provider) {
            connection.ends();
        }
        self.inner.meters.ended(provider);
        let used = Used {
            settled: 0,
            unknown: runner.hold.cost,
        };
        self.known[runner.place].state = State::Failed;
        self.close(&runner, used, None, None).await;
    }

    /// Ends the hold of an attempt, in the account and in the ledger. `tokens` is `None` if they are not known.
    async fn close(
        &mut self,
        runner: &Runner,
        used: Used,
        tokens: Option<u64>,
        answered: Option<&Answered<Made>>,
    ) {
        let payer = &self.request.payer;
        self.inner
            .meters
            .cost(&self.request.chain[runner.place].provider, used);
        self.settled = self
            .settled
            .saturating_add(used.settled)
            .saturating_add(used.unknown);
        match tokens {
            Some(tokens) => self
                .inner
                .settle(&payer.tenant, runner.hold, tokens, used.settled),
            None => self.inner.settle_unknown(&payer.tenant, runner.hold),
        }
        let closed = self
            .inner
            .ledger
            .close_hold(&runner.id, payer, runner.hold, used, answered);
        if let Err(error) = closed.await {
            // The hold stays in the ledger, so the next start counts it. The caller still gets the text that was paid.
            tracing::error!(%error, tenant = %payer.tenant, "the cost of an attempt was not stored");
        }
    }

    fn gave_up(&self, now: Duration) -> GatewayError {
        if let Some(over) = self.over_limit() {
            return GatewayError::OverLimit(over);
        }
        let chain = || self.request.chain.iter().zip(&self.known);
        let opens_in = |choice: &Choice| self.inner.connection(&choice.provider)?.opens_in(now);
        let problems: Vec<String> = chain()
            .map(|(choice, known)| {
                let problem = match &known.problem {
                    Some(Problem::Rejected(detail) | Problem::Other(detail)) => detail.clone(),
                    Some(Problem::OverLimit(over)) => over.to_string(),
                    None => match opens_in(choice) {
                        Some(wait) => format!(
                            "it is paused for {} s, because it failed before",
                            wait.as_secs_f64().ceil()
                        ),
                        None => "it was not asked".to_owned(),
                    },
                };
                format!("{}/{}: {problem}", choice.provider, choice.model)
            })
            .collect();
        let detail = problems.join("; ");
        if self.is_rejected() {
            return GatewayError::Rejected { detail };
        }
        let waits = chain().filter_map(|(choice, known)| match known.state {
            State::RetryAt(at) => Some(at.saturating_sub(now)),
            _ => opens_in(choice),
        });
        GatewayError::Failed {
            wait: waits.min(),
            detail,
        }
    }

    /// The limit that left no room for any target. Of several, the one that has room first.
    fn over_limit(&self) -> Option<OverLimit> {
        let limits = self.known.iter().map(|known| match known.problem {
            Some(Problem::OverLimit(over)) => Some(over),
            _ => None,
        });
        let limits = limits.collect::<Option<Vec<OverLimit>>>()?;
        limits
            .into_iter()
            .min_by_key(|over| over.wait.unwrap_or(Duration::MAX))
    }

    /// Whether another attempt does not help: every target refuses the form of the request, as far as targets are asked.
    fn is_rejected(&self) -> bool {
        let is_rejected = |known: &Known| match known.problem {
            Some(Problem::Rejected(_)) => true,
            Some(_) => false,
            None => self.has_no_attempt_left(),
        };
        self.attempts > 0 && self.known.iter().all(is_rejected)
    }
}

/// The idempotency key that a provider gets. Tenants choose their keys without knowledge of each other, and can share an account at a
/// provider, so it depends on the tenant. The same request at the same provider and model always has the same one.
fn provider_key(payer: &Payer, choice: &Choice) -> Option<String> {
    let request = payer.request.as_deref()?;
    let causes = [
        payer.tenant.as_str(),
        request,
        choice.provider.as_str(),
        &choice.model,
    ];
    Some(event_id("llm request", &causes))
}

impl Inner {
    /// A name for a hold that no other hold has.
    fn next_id(&self) -> String {
        let number = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        event_id(
            "llm attempt",
            &[&self.start.as_millis().to_string(), &number.to_string()],
        )
    }
}
