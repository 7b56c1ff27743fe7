// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens to a query, whatever carried it: read, judged, asked anew, answered, remembered.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use enforcer_core::model::{AgentName, limits};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::question::{self, Parsed, Question};
use super::reply::{self, Reach};
use super::{Answer, Config, Error, Failure, Memory, Names, Outcome, Refusal, relay};

/// The resolver. Clones share everything.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    upstream: RwLock<Vec<SocketAddr>>,
    fixed: BTreeMap<String, Vec<SocketAddr>>,
    names: Arc<dyn Names + Send + Sync>,
    memory: Memory,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Resolver {
    /// A resolver for these settings that asks `names` which names it may resolve.
    #[must_use]
    pub fn new(config: Config, names: Arc<dyn Names + Send + Sync>) -> Self {
        Self::with_limits(config, names, limits::RESOLVES_MAX, limits::RESOLVE_TIMEOUT)
    }

    /// As [`Self::new`], with other limits.
    pub(super) fn with_limits(
        config: Config,
        names: Arc<dyn Names + Send + Sync>,
        places: usize,
        patience: Duration,
    ) -> Self {
        let fixed = config.fixed.into_iter().map(|(name, all)| (normal(&name), all)).collect();
        Self(Arc::new(Inner {
            upstream: RwLock::new(config.upstream),
            fixed,
            names,
            memory: Memory::default(),
            places: Arc::new(Semaphore::new(places)),
            patience,
        }))
    }

    /// What was learned from answers.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.0.memory.clone()
    }

    /// Asks other resolvers from now on: those of the host changed.
    pub fn set_upstream(&self, upstream: Vec<SocketAddr>) {
        *self.0.upstream.write().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Asks the host's resolvers for the root of all names, which every resolver can tell.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn probe(&self) -> Result<(), Failure> {
        self.ask(&Name::root(), RecordType::NS).await.map(drop)
    }

    /// The addresses of `[upstream.resolve]` for this name, ports included.
    #[must_use]
    pub fn fixed_addresses(&self, name: &str) -> Option<Vec<SocketAddr>> {
        self.0.fixed.get(&normal(name)).cloned()
    }

    /// Answers one query of an agent. The reply may be as long as a stream carries.
    pub async fn answer(&self, agent: &AgentName, query: &[u8]) -> Answer {
        self.answer_within(Some(agent), query, self.admit(), Reach::Stream).await
    }

    /// The addresses of a name, for our own connections: fixed ones, else from the host's
    /// resolvers. Policy is not asked. An address is its own answer.
    ///
    /// # Errors
    /// If it is no name, has no address, or cannot be looked up.
    pub async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let name = normal(name);
        if let Some(fixed) = self.0.fixed.get(&name) {
            return Ok(distinct(fixed));
        }
        let lookup = |source| Error::Lookup { name: name.clone(), source };
        let _permit = self.admit().ok_or(Failure::Overload).map_err(lookup)?;
        let wire = Name::from_ascii(format!("{name}."))
            .ok()
            .filter(|_| question::is_host_name(&name))
            .ok_or_else(|| Error::Name { name: name.clone() })?;
        let (v4, v6) = tokio::join!(
            self.addresses(&wire, RecordType::A),
            self.addresses(&wire, RecordType::AAAA)
        );
        match (v4, v6) {
            // Half an answer will do: some resolvers drop questions for the other family.
            (Ok(v4), Ok(v6)) if v4.is_empty() && v6.is_empty() => Err(Error::NoAddress { name }),
            (Ok(v4), Ok(v6)) => Ok(v4.into_iter().chain(v6).collect()),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
            (Err(failure), _) | (_, Err(failure)) => Err(lookup(failure)),
        }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Message, Failure> {
        let upstream = self.upstream();
        relay::ask(&upstream, name, kind, self.0.patience).await
    }

    fn upstream(&self) -> Vec<SocketAddr> {
        self.0.upstream.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn addresses(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, Failure> {
        let question = Question::ours(name, kind);
        let message = self.ask(name, kind).await?;
        let message = reply::relayed(&question, message);
        Ok(reply::addresses(&message).into_iter().map(|(address, _)| address).collect())
    }

    /// A place among the questions in flight, if there is one.
    pub(super) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }

    /// Answers one query. Without a place it only answers what needs no upstream, at once; without an agent
    /// it refuses every name.
    pub(super) async fn answer_within(
        &self,
        agent: Option<&AgentName>,
        query: &[u8],
        place: Option<OwnedSemaphorePermit>,
        reach: Reach,
    ) -> Answer {
        let (question, refusal) = match question::parse(query) {
            Parsed::Question(question, refusal) => (question, refusal),
            Parsed::Garbage => return Answer { reply: None, outcome: Outcome::Garbage },
            Parsed::Malformed(id) => {
                let reply = reply::bare(id, OpCode::Query, ResponseCode::FormErr);
                return Answer { reply, outcome: Outcome::Garbage };
            }
            Parsed::Odd(id, operation) => {
                let outcome = Outcome::Refused { name: String::new(), refusal: Refusal::Form };
                let reply = reply::bare(id, operation, ResponseCode::Refused);
                return Answer { reply, outcome };
            }
        };
        let (message, outcome) = match refusal.or_else(|| self.refusal(agent, &question)) {
            Some(refusal) => refused(&question, refusal),
            None => match self.0.fixed.get(&question.name) {
                Some(fixed) => self.fixed(&question, fixed),
                None => self.forwarded(&question, place).await,
            },
        };
        if let Some(reply) = reply::encode(message, &question, reach) {
            return Answer { reply: Some(reply), outcome };
        }
        let (message, outcome) = failed(&question, Failure::Answer);
        Answer { reply: reply::encode(message, &question, reach), outcome }
    }

    fn refusal(&self, agent: Option<&AgentName>, question: &Question) -> Option<Refusal> {
        let kind = question.query.query_type;
        if !agent.is_some_and(|agent| self.0.names.allows(agent, &question.name)) {
            Some(Refusal::Name)
        } else if !question::is_asked(kind) {
            Some(Refusal::Kind(kind.into()))
        } else {
            None
        }
    }

    fn fixed(&self, question: &Question, fixed: &[SocketAddr]) -> (Message, Outcome) {
        let message = reply::fixed(question, &distinct(fixed));
        let addresses = self.learn(question, &message);
        (message, Outcome::Fixed { name: question.name.clone(), addresses })
    }

    async fn forwarded(
        &self,
        question: &Question,
        place: Option<OwnedSemaphorePermit>,
    ) -> (Message, Outcome) {
        let asked = match place {
            None => Err(Failure::Overload),
            Some(_place) => self.ask(&question.query.name, question.query.query_type).await,
        };
        match asked {
            Ok(upstream) => {
                let message = reply::relayed(question, upstream);
                let addresses = self.learn(question, &message);
                (message, Outcome::Answered { name: question.name.clone(), addresses })
            }
            Err(failure) => failed(question, failure),
        }
    }

    fn learn(&self, question: &Question, message: &Message) -> Vec<IpAddr> {
        let addresses = reply::addresses(message);
        self.0.memory.learn(&question.name, &addresses);
        addresses.into_iter().map(|(address, _)| address).collect()
    }
}

impl Debug for Resolver {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resolver")
            .field("upstream", &self.upstream())
            .field("fixed", &self.0.fixed)
            .finish_non_exhaustive()
    }
}

fn refused(question: &Question, refusal: Refusal) -> (Message, Outcome) {
    let message = reply::empty(question, ResponseCode::Refused);
    (message, Outcome::Refused { name: question.name.clone(), refusal })
}

fn failed(question: &Question, failure: Failure) -> (Message, Outcome) {
    let message = reply::empty(question, ResponseCode::ServFail);
    (message, Outcome::Failed { name: question.name.clone(), failure })
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses without their ports, each once, in order.
fn distinct(fixed: &[SocketAddr]) -> Vec<IpAddr> {
    let mut addresses = Vec::with_capacity(fixed.len());
    for address in fixed.iter().map(|it| it.ip().to_canonical()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}
