// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every route against every grade.

use std::collections::BTreeMap;

use super::super::access::not_admitted;
use super::super::grade::{Grade, Groups};
use super::*;

const GROUPS: Groups = Groups { users: Some(100), auditors: Some(200) };

fn needs() -> BTreeMap<(&'static str, &'static str), Needs> {
    ROUTES.iter().map(|route| ((route.method.word(), route.path), route.needs)).collect()
}

#[test]
fn every_route_is_open_to_the_grades_that_the_table_names_and_to_nobody_else() {
    // Who: uid and groups. What they may use: by the needs of the route.
    let people: [(&str, u32, &[u32], [bool; 4]); 6] = [
        ("root", 0, &[], [true, true, true, true]),
        ("a user", 1000, &[7, 100], [true, true, false, false]),
        ("an auditor", 1000, &[200], [false, true, true, false]),
        ("both", 1000, &[100, 200], [true, true, true, false]),
        ("a stranger", 1000, &[7, 0], [false; 4]),
        ("nobody", u32::MAX, &[], [false; 4]),
    ];
    for route in ROUTES {
        for (who, uid, groups, may) in people {
            let [uses, own, audit, change] = may;
            let expected = match route.needs {
                Needs::Use => uses,
                Needs::Own => own,
                Needs::Audit => audit,
                Needs::Change => change,
            };
            let grades = GROUPS.grades(uid, groups);
            let is_open = route.needs.any_of().iter().any(|grade| grades.contains(grade));
            assert_eq!(is_open, expected, "{who}: {} {}", route.method.word(), route.path);
        }
    }
}

#[test]
fn what_changes_the_state_takes_root_and_what_shows_all_takes_an_auditor() {
    let needs = needs();
    assert_eq!(needs.len(), ROUTES.len(), "no route stands twice");
    let posts = ROUTES.iter().filter(|route| route.method == Method::Post);
    let posts: Vec<_> = posts.map(|route| (route.path, route.needs)).collect();
    let expected = [
        ("/v1/approvals/{id}", Needs::Use),
        ("/v1/budgets/reset", Needs::Change),
        ("/v1/sessions", Needs::Use),
    ];
    assert_eq!(posts, expected, "a new route that changes something needs `Needs::Change`");
    for path in ["/v1/budgets", "/v1/metrics"] {
        assert_eq!(needs.get(&("GET", path)), Some(&Needs::Audit), "{path}");
    }
}

#[test]
fn without_the_groups_only_root_has_a_grade() {
    let groups = Groups::default();
    assert!(groups.grades(1000, &[0, 100, 200]).is_empty());
    assert_eq!(groups.grades(0, &[]), [Grade::Use, Grade::Audit, Grade::Change]);
}

#[test]
fn a_refusal_names_who_may() {
    for route in ROUTES {
        let problem = not_admitted(1000, route.wanted()).into_problem();
        let holder =
            route.needs.any_of().iter().all(|grade| problem.error.contains(grade.holder()));
        assert!(holder && problem.error.contains("user 1000"), "{}", problem.error);
        assert!(problem.hint.is_some_and(|hint| hint.contains("root")), "{}", route.path);
    }
}
