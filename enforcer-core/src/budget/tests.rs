// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reservations, windows and charges, one at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::*;
use crate::model::{Chat, Embed, EndpointName, Facts, Operation, Passed, Usage};

const DAY: u64 = 86_400_000;
const NOW: UnixMillis = UnixMillis(5);

fn budget(tokens: u64) -> Budget {
    let window = Duration::from_millis(DAY);
    Budget { per: Per::Agent, tokens: Some(tokens), requests: None, answer_tokens: 1_000, window }
}

fn account() -> Account {
    let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
    Account::of(&BudgetName::new("daily"), Per::Agent, &agent, 0, &endpoint)
}

const fn cost(request: u64) -> Cost {
    Cost { requests: 1, request, answer: Answer::Nothing }
}

const fn bounded(request: u64, most: u64) -> Cost {
    Cost { requests: 1, request, answer: Answer::AtMost(most) }
}

const fn open(request: u64, choices: u64) -> Cost {
    Cost { requests: 1, request, answer: Answer::Open { choices } }
}

const fn reported(input_tokens: u64, output_tokens: u64) -> Outcome {
    let usage = Some(Usage { input_tokens, output_tokens });
    Outcome { end: End::Whole { is_error: false }, usage, ..Outcome::UNSENT }
}

fn chat(max_tokens: Option<i64>) -> Operation {
    Operation::Chat(Chat {
        n: 1,
        store: false,
        api: "chat_completions".to_owned(),
        tool_choice: String::new(),
        system: false,
        previous: false,
        files: BTreeSet::new(),
        unknown: BTreeSet::new(),
        model: "gpt-4.1".to_owned(),
        stream: false,
        message_count: 1,
        tools: BTreeSet::new(),
        parts: BTreeSet::new(),
        max_tokens,
        input_tokens: 12,
    })
}

fn cost_of(operation: Operation) -> Cost {
    Cost::of(&Facts {
        agent: AgentName::new("support"),
        endpoint: EndpointName::new("openai"),
        detected: BTreeSet::new(),
        sought: None,
        hidden: BTreeSet::new(),
        operation,
        calls: Vec::new(),
    })
}

#[test]
fn a_chat_without_a_bound_is_open_and_an_embedding_answers_nothing() {
    assert_eq!(cost_of(chat(Some(500))), bounded(12, 500));
    for none in [None, Some(0), Some(-1), Some(i64::MIN)] {
        assert_eq!(cost_of(chat(none)), open(12, 1), "{none:?}");
    }
    assert_eq!(Answer::bound(Some(500), 128), Answer::AtMost(64_000));
    assert_eq!(Answer::bound(Some(i64::MAX), 128), Answer::AtMost(u64::MAX));
    assert_eq!(Answer::bound(None, 128), Answer::Open { choices: 128 });
    let embed = Embed { model: "e".to_owned(), input_count: 1, input_tokens: 7 };
    assert_eq!(cost_of(Operation::Embed(embed)), cost(7));
}

#[test]
fn what_is_reserved_cannot_be_reserved_again_and_comes_back_if_it_is_not_used() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let first = ledger.reserve(&account, &budget, bounded(20, 40), NOW).unwrap();
    let spent = ledger.reserve(&account, &budget, cost(41), NOW).unwrap_err();
    assert_eq!(spent.until, UnixMillis(DAY));
    assert_eq!(account.as_str(), "daily/agent:a");
    ledger.give_back(first);
    let second = ledger.reserve(&account, &budget, cost(100), NOW).unwrap();
    ledger.settle(second, &reported(30, 0));
    assert!(ledger.reserve(&account, &budget, cost(71), NOW).is_err());
    assert!(ledger.reserve(&account, &budget, cost(70), NOW).is_ok());
}

#[test]
fn a_bound_that_is_named_has_to_fit() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    for most in [81, 64_000, u64::MAX] {
        assert!(ledger.reserve(&account, &budget, bounded(20, most), NOW).is_err(), "{most}");
    }
    assert!(ledger.reserve(&account, &budget, cost(u64::MAX), NOW).is_err());
    assert!(ledger.reserve(&account, &budget, bounded(20, 80), NOW).is_ok());
}

#[test]
fn of_sixty_at_once_without_a_bound_as_many_are_sent_as_the_budget_has_room_for() {
    let (mut ledger, account) = (Ledger::default(), account());
    for (tokens, expected) in [(2_000, 2), (20_000, 20), (1_000, 1), (15, 1), (14, 0)] {
        let budget = budget(tokens);
        ledger.counts.clear();
        let sent: Vec<_> = (0..60)
            .filter_map(|_| ledger.reserve(&account, &budget, open(14, 1), NOW).ok())
            .collect();
        assert_eq!(sent.len(), expected, "of {tokens}");
        assert_eq!(ledger.counts[&account].reserved.tokens, 1_014 * expected as u64);
    }
    // Several choices are several answers.
    ledger.counts.clear();
    let budget = budget(2_000);
    let _all = ledger.reserve(&account, &budget, open(14, 128), NOW).unwrap();
    assert_eq!(ledger.counts[&account].reserved.tokens, 14 + 128_000);
    assert!(ledger.reserve(&account, &budget, cost(1), NOW).is_err());
}

#[test]
fn beside_an_exchange_that_may_cost_more_than_is_left_nothing_is_sent_also_if_room_comes_back() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let first = ledger.reserve(&account, &budget, bounded(10, 50), NOW).unwrap();
    let last = ledger.reserve(&account, &budget, open(10, 1), NOW).unwrap();
    ledger.settle(first, &reported(10, 1));
    assert!(ledger.reserve(&account, &budget, open(1, 1), NOW).is_err());
    ledger.settle(last, &reported(10, 5));
    assert!(ledger.reserve(&account, &budget, bounded(10, 64), NOW).is_ok());
}

#[test]
fn a_reservation_grows_as_long_as_there_is_room_and_all_of_it_comes_back() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let mut reserved = ledger.reserve(&account, &budget, bounded(20, 40), NOW).unwrap();
    ledger.cover(&mut reserved, &budget, 40).unwrap();
    ledger.cover(&mut reserved, &budget, 80).unwrap();
    let spent = ledger.cover(&mut reserved, &budget, 81).unwrap_err();
    assert_eq!((spent.budget(), spent.until), ("daily", UnixMillis(DAY)));
    assert!(ledger.reserve(&account, &budget, cost(1), NOW).is_err());
    ledger.give_back(reserved);
    assert!(ledger.reserve(&account, &budget, cost(100), NOW).is_ok());
}

#[test]
fn an_open_answer_is_cut_where_the_budget_ends_and_not_where_its_reservation_does() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let other = ledger.reserve(&account, &budget, bounded(10, 40), NOW).unwrap();
    let mut reserved = ledger.reserve(&account, &budget, open(10, 1), NOW).unwrap();
    ledger.cover(&mut reserved, &budget, 40).unwrap();
    assert!(ledger.cover(&mut reserved, &budget, 41).is_err());
    // Room that comes back is room for it.
    ledger.settle(other, &reported(10, 0));
    ledger.cover(&mut reserved, &budget, 80).unwrap();
    assert!(ledger.cover(&mut reserved, &budget, 81).is_err());
    assert_eq!(ledger.counts[&account].reserved.tokens, 1_010, "what it reserved, and no more");
    let passed = Passed { pieces: 81, text_bytes: 0 };
    ledger.settle(reserved, &Outcome { end: End::Broken, passed, usage: None });
    assert_eq!(ledger.counts[&account].used.tokens, 10 + 1_010, "it may have cost all of it");
}

#[test]
fn what_an_answer_says_in_a_later_window_is_charged_to_that_one() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let mut yesterday = ledger.reserve(&account, &budget, bounded(50, 50), NOW).unwrap();
    ledger.prune(UnixMillis(DAY));
    assert!(ledger.cover(&mut yesterday, &budget, 51).is_err(), "it is not forgotten either");
    let today = ledger.reserve(&account, &budget, bounded(20, 40), UnixMillis(DAY)).unwrap();
    ledger.cover(&mut yesterday, &budget, 50).unwrap();
    ledger.cover(&mut yesterday, &budget, 80).unwrap();
    assert_eq!(ledger.counts[&account].used.tokens, 30);
    assert!(ledger.cover(&mut yesterday, &budget, 91).is_err());
    ledger.settle(yesterday, &reported(50, 80));
    assert_eq!(ledger.counts[&account].used.tokens, 30);
    ledger.give_back(today);
    assert!(ledger.reserve(&account, &budget, cost(70), UnixMillis(DAY)).is_ok());
}

#[test]
fn a_new_window_begins_empty_and_an_old_one_never_comes_back() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let yesterday = ledger.reserve(&account, &budget, cost(100), NOW).unwrap();
    let today = ledger.reserve(&account, &budget, cost(100), UnixMillis(DAY)).unwrap();
    ledger.settle(yesterday, &reported(100, 0));
    ledger.settle(today, &reported(100, 0));
    // The clock is set back into a window that is over.
    assert!(ledger.reserve(&account, &budget, cost(1), NOW).is_err());
    assert!(ledger.reserve(&account, &budget, cost(1), UnixMillis(2 * DAY)).is_ok());
}

#[test]
fn requests_are_counted_beside_tokens() {
    let (mut ledger, account) = (Ledger::default(), account());
    let budget = Budget { tokens: None, requests: Some(2), ..budget(0) };
    for cost in [open(1_000_000, 1), bounded(1, u64::MAX)] {
        let reserved = ledger.reserve(&account, &budget, cost, NOW).unwrap();
        ledger.settle(reserved, &Outcome { end: End::Broken, ..Outcome::UNSENT });
    }
    assert!(ledger.reserve(&account, &budget, cost(0), NOW).is_err());
    let had = ledger.used(account.as_str()).unwrap();
    assert_eq!((had.requests, ledger.used("daily/agent:b")), (2, None));
    ledger.reset(account.as_str(), had);
    assert!(ledger.reserve(&account, &budget, cost(0), NOW).is_ok());
}

#[test]
fn what_is_written_down_is_what_was_used() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let settled = ledger.reserve(&account, &budget, cost(10), NOW).unwrap();
    ledger.settle(settled, &reported(10, 0));
    let _under_way = ledger.reserve(&account, &budget, cost(50), NOW).unwrap();
    let written = serde_json::to_string(&ledger).unwrap();
    let mut read: Ledger = serde_json::from_str(&written).unwrap();
    assert!(read.reserve(&account, &budget, cost(91), NOW).is_err());
    assert!(read.reserve(&account, &budget, cost(90), NOW).is_ok());
    ledger.prune(UnixMillis(DAY));
    assert_eq!(ledger.counts.len(), 1, "an exchange is under way");
    let mut read: Ledger = serde_json::from_str(&written).unwrap();
    read.prune(UnixMillis(DAY));
    assert_eq!(read, Ledger::default());
}

/// Time that passes, what may be used, and what that costs if it is sent.
fn steps() -> impl Strategy<Value = Vec<(u64, Cost, Option<u64>, bool)>> {
    let answer = prop_oneof![
        Just(Answer::Nothing),
        (0..60_u64).prop_map(Answer::AtMost),
        (1..4_u64).prop_map(|choices| Answer::Open { choices }),
    ];
    let cost =
        (0..60_u64, answer).prop_map(|(request, answer)| Cost { requests: 1, request, answer });
    let step = (0..DAY / 2, cost, proptest::option::of(0..60_u64), any::<bool>());
    proptest::collection::vec(step, 0..40)
}

proptest! {
    #[test]
    fn no_more_than_the_budget_is_reserved_and_nothing_gets_lost(steps in steps()) {
        let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
        let mut now = UnixMillis(0);
        let mut open = Vec::new();
        for (passes, cost, used, settles) in steps {
            now = UnixMillis(now.0 + passes);
            let before = ledger.counts.get(&account).copied().unwrap_or_default();
            if let Ok(reserved) = ledger.reserve(&account, &budget, cost, now) {
                let count = ledger.counts[&account];
                let after = count.used.plus(count.reserved).tokens;
                match cost.answer {
                    Answer::Open { choices } => assert!(after < 100 + choices * 1_000),
                    Answer::Nothing | Answer::AtMost(_) => assert!(after <= 100),
                }
                assert!(count.since != before.since || after >= before.reserved.tokens);
                open.push((reserved, used));
            }
            if settles && let Some((reserved, used)) = open.pop() {
                match used {
                    Some(used) => drop(ledger.settle(reserved, &reported(used, 0))),
                    None => ledger.give_back(reserved),
                }
            }
        }
        for (reserved, _) in open {
            ledger.give_back(reserved);
        }
        if let Some(count) = ledger.counts.get(&account) {
            assert_eq!(count.reserved, Amount::default());
        }
    }
}

#[test]
fn what_is_said_of_a_full_budget_tells_what_is_spent_from_what_is_reserved() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let under_way = ledger.reserve(&account, &budget, cost(80), NOW).unwrap();
    let full = ledger.reserve(&account, &budget, cost(30), NOW).unwrap_err();
    assert!(full.is_reserved, "it has room when the first is over");
    let never = ledger.reserve(&account, &budget, cost(101), NOW).unwrap_err();
    assert!(!never.is_reserved, "it has no room for that at all");
    let charged = ledger.settle(under_way, &reported(80, 0)).unwrap();
    assert_eq!(charged, (account.clone(), Amount { tokens: 80, requests: 1 }));
    let spent = ledger.reserve(&account, &budget, cost(30), NOW).unwrap_err();
    assert!(!spent.is_reserved, "nothing is under way");
    assert_eq!(spent.until, ledger.counts(NOW).next().unwrap().1.until);
}

#[test]
fn a_reset_takes_back_what_was_recorded_and_nothing_that_came_after() {
    let (mut ledger, account, budget) = (Ledger::default(), account(), budget(100));
    let one = |ledger: &mut Ledger| {
        let reserved = ledger.reserve(&account, &budget, cost(30), NOW).unwrap();
        ledger.settle(reserved, &reported(30, 0)).unwrap().1
    };
    let had = one(&mut ledger);
    assert_eq!(ledger.used(account.as_str()), Some(had));
    one(&mut ledger);
    ledger.reset(account.as_str(), had);
    assert_eq!(ledger.used(account.as_str()), Some(Amount { tokens: 30, requests: 1 }));
}

#[test]
fn an_account_is_taken_apart_as_it_was_put_together() {
    let (agent, endpoint) = (AgentName::new("a-1"), EndpointName::new("e"));
    for (per, who) in [(Per::Agent, "a-1"), (Per::User, "7"), (Per::Endpoint, "e"), (Per::Host, "")]
    {
        let account = Account::of(&BudgetName::new("daily"), per, &agent, 7, &endpoint);
        assert_eq!(account.parts(), ("daily", per.as_str(), who));
    }
}
