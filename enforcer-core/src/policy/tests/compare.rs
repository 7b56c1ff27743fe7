// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `policy diff` promises about decisions, on generated pairs of bundles and generated requests.

use proptest::prelude::{Strategy, any, proptest};
use proptest::test_runner::Config;

use super::super::desk::diff::{Difference, Side, Tendency, compare};
use super::agree::{built, bundle, judged, request, rule};
use crate::model::Effect;

/// Rules that never err: what errs denies, whichever way a change of rules can go.
fn sound_rules() -> impl Strategy<Value = Vec<String>> {
    let sound = rule().prop_filter("arithmetic that overflows", |rule| !rule.contains("922337"));
    proptest::collection::vec(sound, 0..6)
}

/// Whether a comparison says that nothing can go the one way.
fn only(difference: &Difference, tendency: Tendency) -> bool {
    let is_it = |found: Tendency| found == tendency || found == Tendency::Obligations;
    difference.scopes.iter().all(|scope| is_it(scope.tendency))
}

proptest! {
    #![proptest_config(Config { cases: 96, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_a_comparison_rules_out_never_happens(
        shared in sound_rules(),
        more in proptest::collection::vec(
            rule().prop_filter("arithmetic that overflows", |rule| !rule.contains("922337")), 0..3
        ),
        is_reversed in any::<bool>(),
        requests in proptest::collection::vec(request(), 8),
    ) {
        let mut changed: Vec<String> = more.iter().chain(&shared).cloned().collect();
        let mut plain = shared;
        plain.reverse();
        if is_reversed {
            std::mem::swap(&mut changed, &mut plain);
        }
        let (old, new) = (built(&plain), built(&changed));
        let (old_sources, new_sources) = (bundle(&plain), bundle(&changed));
        let difference = compare(
            Side { policy: &old, sources: &old_sources },
            Side { policy: &new, sources: &new_sources },
        );
        for request in requests {
            let before = old.decide(&judged(&old, &request));
            let after = new.decide(&judged(&new, &request));
            let change = (before.effect, after.effect);
            if difference.is_empty() {
                assert_eq!(before.effect, after.effect, "{request:?}");
                assert_eq!(before.obligations, after.obligations, "{request:?}");
            }
            if only(&difference, Tendency::MayDenyMore) {
                assert_ne!(change, (Effect::Deny, Effect::Allow), "{request:?} {difference:#?}");
            }
            if only(&difference, Tendency::MayAllowMore) {
                assert_ne!(change, (Effect::Allow, Effect::Deny), "{request:?} {difference:#?}");
            }
        }
    }
}
