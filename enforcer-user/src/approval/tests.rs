// SPDX-License-Identifier: Apache-2.0 OR MIT
use enforcer_core::model::{
    AgentName, EndpointName, ExchangeId, Facts, Http, Operation, SessionId, UnixMillis,
};

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
        calls: Vec::new(),
        hidden: Default::default(),
        operation: Operation::Http(http),
    };
    Question {
        exchange: ExchangeId { session: SessionId::HOST, number: 1 },
        agent: AgentName::new("a"),
        uid: 1000,
        session: SessionId::HOST,
        endpoint: EndpointName::new("openai"),
        host: "api.openai.com".to_owned(),
        request_line: "POST /v1/fine_tuning/jobs".to_owned(),
        facts,
        headers: Vec::new(),
        body_bytes: 0,
        hides_content: false,
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
    approvals.ask(question(digest, needs), String::new(), may.collect(), EXPIRE).unwrap()
}

/// Shows it to a person, who then answers.
fn answer(
    approvals: &Approvals,
    id: QuestionId,
    person: &Person,
    grants: bool,
) -> Result<Standing, NotTaken> {
    approvals.show(id, person)?;
    approvals.answer(id, person, grants)
}

fn person(user: &str, groups: &[&str]) -> Person {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Person { user: user.to_owned(), groups }
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_for_one_exchange_and_waits_for_it() {
    let approvals = Approvals::new([7; 32]);
    let first = ask(&approvals, "d", &["leads"]);
    let id = first.id;
    assert_eq!(approvals.wait(first, HOLD).await, Outcome::Pending);
    let granted = answer(&approvals, id, &person("ann", &["leads-group"]), true);
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
async fn of_ten_that_wait_for_one_grant_one_is_sent() {
    let approvals = Approvals::new([7; 32]);
    let waiting: Vec<_> = (0..10).map(|_| ask(&approvals, "d", &["leads"])).collect();
    let id = waiting.first().unwrap().id;
    answer(&approvals, id, &person("ann", &["leads-group"]), true).unwrap();
    let mut granted = 0;
    for asked in waiting {
        assert_eq!(asked.id, id, "one question for the same request");
        granted += usize::from(approvals.wait(asked, HOLD).await == Outcome::Granted);
    }
    assert_eq!(granted, 1);
}

#[tokio::test(start_paused = true)]
async fn every_approval_is_needed_and_one_refusal_is_enough() {
    let approvals = Approvals::new([7; 32]);
    let asked = ask(&approvals, "d", &["leads", "legal"]);
    let id = asked.id;
    let ann = person("ann", &["leads-group"]);
    assert_eq!(answer(&approvals, id, &ann, true), Ok(Standing::Open));
    let again = answer(&approvals, id, &ann, true).unwrap_err();
    assert!(again.to_string().contains("`legal` can be answered by group:legal-group"), "{again}");
    let bob = person("bob", &["legal-group"]);
    assert_eq!(answer(&approvals, id, &bob, false), Ok(Standing::Refused));
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Refused);
    assert_eq!(answer(&approvals, id, &bob, true), Err(NotTaken::Unknown(id)), "refused for good");
    let asked = ask(&approvals, "e", &["leads", "legal"]);
    let root = person("root", &[]);
    assert_eq!(answer(&approvals, asked.id, &root, true), Ok(Standing::Granted), "named for both");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_named_answers_nothing() {
    let approvals = Approvals::new([7; 32]);
    let asked = ask(&approvals, "d", &["leads"]);
    for nobody in [person("mallory", &["users"]), person("leads-group", &[]), Person::default()] {
        let refused = answer(&approvals, asked.id, &nobody, true);
        assert!(matches!(refused, Err(NotTaken::NotYours { .. })), "{refused:?}");
    }
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Pending);
}

#[tokio::test(start_paused = true)]
async fn questions_expire_and_there_is_a_bound_for_an_agent_and_for_all() {
    let approvals = Approvals::new([7; 32]);
    let asked = ask(&approvals, "d", &["leads"]);
    tokio::time::advance(EXPIRE).await;
    let root = person("root", &[]);
    assert_eq!(answer(&approvals, asked.id, &root, true), Err(NotTaken::Unknown(asked.id)));
    let more = |agent: String, number: usize| {
        let agent = AgentName::new(agent);
        let question = Question { agent, ..question(&number.to_string(), &["leads"]) };
        approvals.ask(question, String::new(), BTreeMap::new(), EXPIRE).map(|asked| asked.is_new)
    };
    let agents = limits::APPROVALS_MAX / limits::APPROVALS_OF_AGENT_MAX;
    for agent in 0..agents {
        for number in 0..limits::APPROVALS_OF_AGENT_MAX {
            assert_eq!(more(agent.to_string(), number), Ok(true));
        }
        assert_eq!(more(agent.to_string(), limits::APPROVALS_OF_AGENT_MAX), Err(NotAsked::TooMany));
        assert_eq!(more(agent.to_string(), 0), Ok(false), "one that stands is found");
    }
    assert_eq!(more("another".to_owned(), 0), Err(NotAsked::TooMany));
    assert_eq!(approvals.all().len(), limits::APPROVALS_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_taken_back_cannot_be_answered() {
    let approvals = Approvals::new([7; 32]);
    let asked = ask(&approvals, "d", &["leads"]);
    let id = asked.id;
    approvals.withdraw(id);
    let root = person("root", &[]);
    assert_eq!(answer(&approvals, id, &root, true), Err(NotTaken::Unknown(id)));
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Pending);
    assert!(ask(&approvals, "d", &["leads"]).is_new);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_shown_to_a_person_is_not_granted_by_that_person() {
    let approvals = Approvals::new([7; 32]);
    let asked = ask(&approvals, "d", &["leads"]);
    let (id, ann, bob) =
        (asked.id, person("ann", &["leads-group"]), person("bob", &["leads-group"]));
    assert_eq!(approvals.all().len(), 1, "a list shows no body");
    assert_eq!(approvals.answer(id, &ann, true), Err(NotTaken::NotShown(id)));
    let shown = approvals.show(id, &bob).unwrap();
    assert_eq!(shown.question.digest, "d");
    assert_eq!(approvals.answer(id, &ann, true), Err(NotTaken::NotShown(id)), "bob saw it");
    approvals.show(id, &person("ann", &[])).unwrap();
    assert_eq!(approvals.answer(id, &ann, true), Err(NotTaken::NotShown(id)), "another ann");
    approvals.show(id, &ann).unwrap();
    assert_eq!(approvals.answer(id, &ann, true), Ok(Standing::Granted));
    assert_eq!(approvals.wait(asked, HOLD).await, Outcome::Granted);
    let asked = ask(&approvals, "d", &["leads"]);
    assert_eq!(approvals.answer(asked.id, &ann, true), Err(NotTaken::NotShown(asked.id)), "anew");
    assert_eq!(approvals.answer(asked.id, &ann, false), Ok(Standing::Refused), "no need to look");
}

#[tokio::test(start_paused = true)]
async fn a_grant_for_one_session_or_user_is_not_taken_by_another() {
    let approvals = Approvals::new([7; 32]);
    let ask = |uid: u32, session: SessionId| {
        let question = Question { uid, session, ..question("d", &["leads"]) };
        let by = vec![Approver::User("root".to_owned())];
        let may = BTreeMap::from([(ApprovalName::new("leads"), by)]);
        approvals.ask(question, String::new(), may, EXPIRE).unwrap()
    };
    let first = ask(1000, SessionId::from_u64(1));
    let root = person("root", &[]);
    assert_eq!(answer(&approvals, first.id, &root, true), Ok(Standing::Granted));
    let (session, user) = (ask(1000, SessionId::from_u64(2)), ask(1001, SessionId::from_u64(1)));
    assert!(session.is_new && user.is_new);
    assert_eq!(approvals.wait(session, HOLD).await, Outcome::Pending);
    assert_eq!(approvals.wait(user, HOLD).await, Outcome::Pending);
    let again = ask(1000, SessionId::from_u64(1));
    assert!(!again.is_new, "a retry of the same session");
    assert_eq!(approvals.wait(again, HOLD).await, Outcome::Granted);
}

#[tokio::test(start_paused = true)]
async fn what_open_questions_show_has_a_bound_for_an_agent_and_for_all() {
    let approvals = Approvals::new([7; 32]);
    let ask = |agent: usize, number: usize| {
        let agent = AgentName::new(agent.to_string());
        let question = Question { agent, ..question(&number.to_string(), &["leads"]) };
        let body = "x".repeat(limits::APPROVAL_SHOWN_BYTES_MAX);
        approvals.ask(question, body, BTreeMap::new(), EXPIRE).map(|asked| asked.id)
    };
    // The question itself counts, too, so that one less has room.
    let one = limits::APPROVALS_OF_AGENT_SHOWN_BYTES_MAX / limits::APPROVAL_SHOWN_BYTES_MAX - 1;
    let all = limits::APPROVALS_SHOWN_BYTES_MAX / limits::APPROVAL_SHOWN_BYTES_MAX - 1;
    let mut asked = Vec::new();
    for number in 0..all {
        asked.push(ask(number / one, number % one).unwrap());
        if number + 1 == one {
            assert_eq!(ask(0, one), Err(NotAsked::NoRoom), "one agent leaves room for others");
        }
    }
    assert_eq!(ask(all, 0), Err(NotAsked::NoRoom));
    approvals.withdraw(asked[0]);
    assert!(ask(all, 0).is_ok(), "room comes back");
}
