//! Which provider is asked next.

use std::time::Duration;

/// A target of the chain during one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether its provider's breaker allows a call now.
    pub is_open: bool,
    /// What this request knows of it.
    pub state: State,
}

/// What a request knows of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was not asked.
    Untried,
    /// It is being asked.
    Running,
    /// It asked for another attempt at this time.
    RetryAt(Duration),
    /// It failed, and did not ask for another attempt.
    Failed,
}

/// The next step of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask this target.
    Ask(usize),
    /// Wait until this time, and look again.
    WaitUntil(Duration),
    /// Nothing is left to do.
    GiveUp,
}

/// The next step: the first target that was not asked; then the one that asked for another attempt at the earliest time. A target
/// that did not ask for another attempt gets none. No step is later than `deadline`. All times are on one clock.
pub fn next(chain: &[Standing], now: Duration, deadline: Duration) -> Step {
    if now >= deadline {
        return Step::GiveUp;
    }
    let untried = |target: &Standing| target.is_open && target.state == State::Untried;
    if let Some(place) = chain.iter().position(untried) {
        return Step::Ask(place);
    }
    let retries = chain
        .iter()
        .enumerate()
        .filter_map(|(place, target)| match target.state {
            State::RetryAt(at) => Some((at, place, target.is_open)),
            _ => None,
        });
    let due = retries
        .clone()
        .filter(|(at, _, is_open)| *at <= now && *is_open)
        .min();
    if let Some((_, place, _)) = due {
        return Step::Ask(place);
    }
    let later = retries
        .map(|(at, ..)| at)
        .filter(|at| *at > now && *at < deadline)
        .min();
    later.map_or(Step::GiveUp, Step::WaitUntil)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn standing(is_open: bool, state: State) -> Standing {
        Standing { is_open, state }
    }

    #[test]
    fn the_chain_comes_first_then_those_that_asked_for_another_attempt() {
        let mut chain = [
            standing(true, State::Untried),
            standing(false, State::Untried),
            standing(true, State::Untried),
        ];
        let next = |chain: &[Standing], now| next(chain, seconds(now), seconds(10));
        assert_eq!(next(&chain, 0), Step::Ask(0));
        chain[0].state = State::RetryAt(seconds(5));
        assert_eq!(next(&chain, 0), Step::Ask(2), "the second one's breaker is open");
        chain[2].state = State::Failed;
        assert_eq!(next(&chain, 0), Step::WaitUntil(seconds(5)));
        assert_eq!(next(&chain, 5), Step::Ask(0));
        chain[0].state = State::RetryAt(seconds(12));
        assert_eq!(next(&chain, 5), Step::GiveUp, "the deadline comes first");
        assert_eq!(next(&[], 0), Step::GiveUp);
    }

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Untried),
            Just(State::Running),
            (0u64..12).prop_map(|at| State::RetryAt(seconds(at))),
            Just(State::Failed),
        ]
    }

    proptest! {
        #[test]
        fn only_a_target_that_may_be_asked_is_asked_and_every_wait_ends(
            chain in prop::collection::vec((any::<bool>(), state()), 0..5),
            now in 0u64..12,
        ) {
            let chain: Vec<Standing> = chain.into_iter().map(|(is_open, state)| standing(is_open, state)).collect();
            let (now, deadline) = (seconds(now), seconds(10));
            let may_be_asked = |target: &Standing| target.is_open && match target.state {
                State::Untried => true,
                State::RetryAt(at) => at <= now,
                State::Running | State::Failed => false,
            };
            match next(&chain, now, deadline) {
                Step::Ask(place) => prop_assert!(may_be_asked(&chain[place]) && now < deadline),
                Step::WaitUntil(until) => {
                    prop_assert!(now < until && until < deadline);
                    prop_assert!(!chain.iter().any(may_be_asked));
                    prop_assert!(chain.iter().any(|target| target.state == State::RetryAt(until)));
                }
                Step::GiveUp => prop_assert!(now >= deadline || !chain.iter().any(may_be_asked)),
            }
        }
    }
}
