// SPDX-License-Identifier: Apache-2.0 OR MIT
use enforcer_core::model::{Http, Operation, SessionId};

use super::*;

const HOLD: Duration = Duration::from_secs(90);
const EXPIRE: Duration = Duration::from_secs(1800);

fn question(digest: &str, needs: &[&str]) -> Question {
    let http = Http {
        method: "POST".to_owned(),
        path: "/v1/fine_tuning/jobs".to_owned(),
        query: String::new(),
        has_body: true,
    };
    let facts = Facts {
        agent: AgentName::new("a"),
        endpoint: EndpointName::new("openai"),
        detected: BTreeSet::new(),
        sought: None,
        operation: Operation::Http(http),
    };
    Question {
        exchange: ExchangeId { session: SessionId::HOST, number: 1 },
        agent: AgentName::new("a"),
        endpoint: EndpointName::new("openai"),
        host: "api.openai.com".to_owned(),
        request_line: "POST /v1/fine_tuning/jobs".to_owned(),
        facts,
        body: None,
        body_bytes: 0,
        digest: digest.to_owned(),
        needs: needs.iter().map(|name| ApprovalName::new(*name)).collect(),
        granted: BTreeMap::new(),
        asked: UnixMillis(0),
        expires: UnixMillis(1),
    }
}

fn ask(approvals: &Approvals, digest: &str, needs: &[&str]) -> Asked {
    let may = needs.iter().map(|name| {
        let by = vec![Approver::Group(format!("{name}-group")), Approver::User("root".to_owned())];
        (ApprovalName::new(*name), by)
    });
    approvals.ask(question(digest, needs), may.collect(), EXPIRE).unwrap()
}

fn person(user: &str, groups: &[&str]) -> Person {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Person { user: user.to_owned(), groups }
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_for_one_exchange_and_waits_for_it() {
    let approvals = Approvals::default();
    let first = ask(&approvals, "d", &["leads"]);
    let id = first.id;
    assert_eq!(approvals.wait(first, HOLD).await, Outcome::Pending);
    let granted = approvals.answer(id, &person("ann", &["leads-group"]), true);
    assert_eq!(granted, Ok(Standing::Granted));
    let again = ask(&approvals, "d", &["leads"]);
    assert_eq!((again.id, again.is_new), (id, false));
    let beside = ask(&approvals, "d", &["leads"]);
    assert_eq!(approvals.wait(again, HOLD).await, Outcome::Granted);
    assert_eq!(approvals.wait(beside, HOLD).await, Outcome::Pending, "taken once");
    let anew = ask(&approvals, "d", &["leads"]);
    assert!(anew.is_new && anew.id != id, "it has to be asked again");
    assert!(ask(&approvals, "another", &["leads"]).is_new);
}

#[tokio::test(start_paused = true)]
async fn every_approval_is_needed_and_one_refusal_is_enough() {
    let approvals = Approvals::default();
    let asked = ask(&approvals, "d", &["leads", "legal"]);
    let id = asked.id;
    let ann = person("ann", &["leads-group"]);
    assert_eq!(approvals.answer(id, &ann, true), Ok(Standing::Open));
    let again = approvals.answer(id, &ann, true).unwrap_err();
    assert!(again.to_string().contains("`legal` can be answered by group:legal-group"), "{again}");
    let bob = person("bob", &["legal-group"]);
    assert_eq!(approvals.answer(id, &bob, false), Ok(Standing::Refused));
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Refused);
    assert_eq!(approvals.answer(id, &bob, true), Err(NotTaken::Unknown(id)), "refused for good");
    let asked = ask(&approvals, "e", &["leads", "legal"]);
    let root = person("root", &[]);
    assert_eq!(approvals.answer(asked.id, &root, true), Ok(Standing::Granted), "named for both");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_named_answers_nothing() {
    let approvals = Approvals::default();
    let asked = ask(&approvals, "d", &["leads"]);
    for nobody in [person("mallory", &["users"]), person("leads-group", &[]), Person::default()] {
        let refused = approvals.answer(asked.id, &nobody, true);
        assert!(matches!(refused, Err(NotTaken::NotYours { .. })), "{refused:?}");
    }
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Pending);
}

#[tokio::test(start_paused = true)]
async fn questions_expire_and_there_is_a_bound_for_an_agent_and_for_all() {
    let approvals = Approvals::default();
    let asked = ask(&approvals, "d", &["leads"]);
    tokio::time::advance(EXPIRE).await;
    let root = person("root", &[]);
    assert_eq!(approvals.answer(asked.id, &root, true), Err(NotTaken::Unknown(asked.id)));
    let more = |agent: String, number: usize| {
        let agent = AgentName::new(agent);
        let question = Question { agent, ..question(&number.to_string(), &["leads"]) };
        approvals.ask(question, BTreeMap::new(), EXPIRE).map(|asked| asked.is_new)
    };
    let agents = limits::APPROVALS_MAX / limits::APPROVALS_OF_AGENT_MAX;
    for agent in 0..agents {
        for number in 0..limits::APPROVALS_OF_AGENT_MAX {
            assert_eq!(more(agent.to_string(), number), Ok(true));
        }
        assert_eq!(more(agent.to_string(), limits::APPROVALS_OF_AGENT_MAX), Err(TooMany));
        assert_eq!(more(agent.to_string(), 0), Ok(false), "one that stands is found");
    }
    assert_eq!(more("another".to_owned(), 0), Err(TooMany));
    assert_eq!(approvals.all().len(), limits::APPROVALS_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_taken_back_cannot_be_answered() {
    let approvals = Approvals::default();
    let asked = ask(&approvals, "d", &["leads"]);
    let id = asked.id;
    approvals.withdraw(id);
    let root = person("root", &[]);
    assert_eq!(approvals.answer(id, &root, true), Err(NotTaken::Unknown(id)));
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Pending);
    assert!(ask(&approvals, "d", &["leads"]).is_new);
}
