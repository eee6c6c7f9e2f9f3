//! The stage and an evaluation of its log give each decision the same reward.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod harness;

use limbic_bandit::random::Random;
use limbic_domain::{Envelope, Outcome, OutcomeKind, Pseudonym, TenantId, Utc, topics};
use limbic_evaluation::{EvaluationOptions, EvaluationPolicy, LogFormat, evaluate};
use limbic_optimize::OptimizeSettings;

use harness::{Harness, MINUTE, at, decided};

/// Outcomes of every kind: in and out of their windows, restated, withdrawn, repeated, with and without persons.
fn outcomes(decision: &str, from: i64, random: &mut Random) -> Vec<Envelope<Outcome>> {
    let kinds = [
        OutcomeKind::Impression,
        OutcomeKind::Click,
        OutcomeKind::Conversion,
        OutcomeKind::Dismissal,
    ];
    let knows_people = random.unit() < 0.5;
    let statements = random.below(12) as i64;
    (0..statements)
        .map(|number| {
            let kind = kinds[[0, 0, 0, 1, 1, 2, 3][random.below(7)]];
            let minutes = from + random.below(90) as i64;
            let person = format!("{:032x}", random.below(3));
            let outcome = Outcome {
                value: (kind == OutcomeKind::Conversion).then(|| random.below(4) as f64),
                count: 1 + random.below(3) as u64,
                person: knows_people.then(|| Pseudonym::new(&person).unwrap()),
                // A policy cannot forget a decision whose last impression is withdrawn.
                withdrawn: kind != OutcomeKind::Impression && random.unit() < 0.2,
                revision: random.below(3) as u64,
                stated_at: Some(at(from + number)),
                ..Outcome::new(decision, kind, format!("{kind:?}/{}", random.below(3)))
            };
            Envelope::new(
                TenantId::default(),
                format!("{decision}/{number}"),
                at(minutes),
                outcome,
            )
        })
        .collect()
}

#[test]
fn the_stage_and_an_evaluation_give_the_same_rewards() {
    let settings = OptimizeSettings {
        rewards: limbic_bandit::rewards::RewardConfig {
            conversion_value: 0.25,
            conversion: 0.125,
            ..Default::default()
        },
        ..OptimizeSettings::default()
    };
    let (mut rewarded, mut shown) = (0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut harness = Harness::new(settings.clone());
        let id = decided(&mut harness, "m", 0);
        let said = outcomes(&id, 0, &mut random);
        for outcome in &said {
            harness.feed(vec![(topics::OUTCOMES, outcome.encode())]);
        }
        // Longer than every window; before the decision is removed.
        harness.watermark(Utc::from_millis(8 * 24 * 60 * MINUTE));
        assert!(harness.dead.is_empty(), "{:?}", harness.dead);
        let open = harness.saved(&format!("open/default/{id}")).unwrap();
        let open: serde_json::Value = serde_json::from_slice(&open).unwrap();
        let learned = open["attribution"]["learned"].as_u64().map(f64::from_bits);

        // The log has the decision last, and its outcomes in another order. A second decision without outcomes, so that
        // the log is not empty.
        let mut lines: Vec<Vec<u8>> = said.iter().rev().map(Envelope::encode).collect();
        let sentinel = decided(&mut harness, "sentinel", 0);
        let seen = Outcome::new(sentinel.as_str(), OutcomeKind::Impression, "i");
        lines.push(Envelope::new(TenantId::default(), "s".into(), at(0), seen).encode());
        lines.extend(harness.decisions.iter().map(Envelope::encode));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        std::fs::write(&path, lines.join(&b'\n')).unwrap();
        let mut options = EvaluationOptions::new(
            path,
            LogFormat::Limbic,
            EvaluationPolicy::named("uniform", None).unwrap(),
        );
        options.rewards = settings.rewards.clone();
        let report = evaluate(&options, |_| {}).unwrap();
        assert_eq!(report.rejected.rows, 0, "{:?}", report.rejected);
        // The mean of the rows times their number is their sum; the second decision adds 0.
        let sum = report.logged_value * report.rows as f64;
        assert_eq!(
            report.rows,
            1 + u64::from(learned.is_some()),
            "seed {seed}: {said:#?}"
        );
        assert!(
            (sum - learned.unwrap_or(0.0)).abs() < 1e-12,
            "seed {seed}: {sum} {learned:?}"
        );
        shown += usize::from(learned.is_some());
        rewarded += usize::from(learned.is_some_and(|reward| reward > 0.0));
    }
    assert!(shown > 20 && rewarded > 10, "{shown} {rewarded}");
}
