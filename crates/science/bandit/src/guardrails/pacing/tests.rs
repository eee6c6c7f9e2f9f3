//! The tests of [`pacing`](super).

use super::*;
use crate::random::Random;
use proptest::prelude::*;

fn config(budget: i64) -> PacingConfig {
    PacingConfig::daily(Micros(budget))
}

#[test]
fn a_budget_lasts_the_day_when_demand_would_eat_it_by_breakfast() {
    let config = config(10_000);
    let mut pacer = Pacer::default();
    let mut by_noon = 0;
    // A hundred decisions per minute, fourteen times what the budget can pay.
    for minute in 0..1440_i64 {
        for chance in 0..100 {
            let id = format!("{minute}.{chance}");
            let at = Utc::from_millis(minute * 60_000);
            if let Ok(reserved) = pacer.reserve(&config, &id, Micros(1), at) {
                pacer.settle(reserved, None);
            }
        }
        if minute == 720 {
            by_noon = pacer.spent().0;
        }
    }
    assert!((4_000..7_000).contains(&by_noon), "{by_noon}");
    assert!((9_000..=10_000).contains(&pacer.spent().0), "{:?}", pacer.spent());
}

#[test]
fn a_new_period_has_a_new_budget_and_a_refusal_gives_the_money_back() {
    let config = config(10);
    let mut pacer = Pacer::default();
    let at = Utc::from_millis;
    let reserved = pacer.reserve(&config, "a", Micros(10), at(0)).unwrap();
    assert_eq!(
        pacer.reserve(&config, "b", Micros(1), at(1)),
        Err(PacingRefusal::Exhausted)
    );
    pacer.release(reserved);
    let reserved = pacer.reserve(&config, "b", Micros(10), at(2)).unwrap();
    pacer.settle(reserved, None);
    assert_eq!(pacer.spent(), Micros(10));
    assert_eq!(
        pacer.reserve(&config, "c", Micros(1), at(3)),
        Err(PacingRefusal::Exhausted)
    );
    assert_eq!(
        pacer.reserve(&config, "c", Micros(1), at(86_400_000)),
        Ok(Micros(1))
    );
}

#[test]
fn a_state_of_the_first_version_keeps_what_was_spent_and_reserved() {
    let text =
        r#"{"period":20000,"interval":28800000,"spent":60,"reserved":30,"committed_at_interval":0,"rate":1}"#;
    let former: Pacer = serde_json::from_str(text).unwrap();
    let config = config(100);
    let day = |number: i64| Utc::from_millis(number * 86_400_000 + 40_000_000);
    let mut pacer = former.clone();
    assert_eq!(
        pacer.reserve(&config, "a", Micros(20), day(20_000)),
        Err(PacingRefusal::Exhausted)
    );
    assert_eq!((pacer.spent(), pacer.committed()), (Micros(60), 90));
    let mut pacer = former;
    assert_eq!(
        pacer.reserve(&config, "a", Micros(20), day(20_001)),
        Ok(Micros(20))
    );
    assert_eq!((pacer.spent(), pacer.committed()), (Micros(0), 50));
    // Its text is of version 2 now, and reads back.
    let text = serde_json::to_string(&pacer).unwrap();
    assert!(
        text.contains(r#""version":2"#) && !text.contains("former_period"),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Pacer>(&text).unwrap(), pacer);
}

#[test]
fn a_day_of_the_budget_is_a_day_of_the_campaigns_time_zone() {
    let config = PacingConfig {
        time_zone: "Europe/Berlin".parse().unwrap(),
        ..config(10)
    };
    config.check().unwrap();
    let mut pacer = Pacer::default();
    let mut ask = |id: &str, at: &str| pacer.reserve(&config, id, Micros(10), at.parse().unwrap());
    assert_eq!(ask("a", "2026-06-01T20:00:00Z"), Ok(Micros(10)));
    assert_eq!(ask("b", "2026-06-01T21:59:59Z"), Err(PacingRefusal::Exhausted));
    // The first reservation is still open. It will be spent in this day.
    assert_eq!(ask("c", "2026-06-01T22:00:00Z"), Err(PacingRefusal::Exhausted));
    pacer.settle(Micros(10), None);
    let next = "2026-06-02T22:00:00Z".parse().unwrap();
    assert_eq!(pacer.reserve(&config, "d", Micros(10), next), Ok(Micros(10)));
    let weekly = PacingConfig {
        period: HumanDuration::from_days(7),
        ..config
    };
    assert!(weekly.check().unwrap_err().to_string().contains("time_zone"));
}

#[test]
fn money_that_is_released_is_spent_later_in_the_period() {
    let config = config(100);
    let mut pacer = Pacer::default();
    let mut spent = 0;
    for minute in 0..1440_i64 {
        let at = Utc::from_millis(minute * 60_000);
        if let Ok(reserved) = pacer.reserve(&config, &minute.to_string(), Micros(1), at) {
            // The platform refuses every second ad.
            if spent % 2 == 0 {
                pacer.release(reserved);
            } else {
                pacer.settle(reserved, None);
            }
            spent += 1;
        }
    }
    assert!(pacer.spent().0 >= 97, "{:?}", pacer.spent());
}

#[test]
fn a_burst_on_a_first_day_does_not_use_the_budget_up() {
    let config = config(1_000);
    let mut pacer = Pacer::default();
    // A thousand decisions in the first five minutes, as many as the budget can pay.
    for number in 0..1_000_i64 {
        let at = Utc::from_millis(number * 300);
        if let Ok(reserved) = pacer.reserve(&config, &number.to_string(), Micros(1), at) {
            pacer.settle(reserved, None);
        }
    }
    assert!(pacer.spent().0 < 50, "{:?}", pacer.spent());
}

proptest! {
    #[test]
    fn reserved_and_spent_never_exceed_the_budget(seed: u64, budget in 0..500_i64) {
        let config = config(budget);
        let mut pacer = Pacer::default();
        let mut random = Random::new(seed);
        let mut open = Vec::new();
        for turn in 0..300_i64 {
            let id = turn.to_string();
            let price = Micros((40.0 * random.unit()) as i64);
            if let Ok(reserved) = pacer.reserve(&config, &id, price, Utc::from_millis(turn * 1000)) {
                open.push(reserved);
            }
            if random.below(3) == 0 && !open.is_empty() {
                let reserved = open.swap_remove(random.below(open.len()));
                if random.below(2) == 0 {
                    pacer.settle(reserved, Some(Micros((reserved.0 as f64 * random.unit()) as i64)));
                } else {
                    pacer.release(reserved);
                }
            }
            prop_assert!(pacer.committed() <= budget);
        }
        let text = serde_json::to_string(&pacer).unwrap();
        prop_assert_eq!(serde_json::from_str::<Pacer>(&text).unwrap(), pacer);
    }
}
