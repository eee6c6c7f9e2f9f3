//! The tests of [`estimator`](super).

use super::*;

#[test]
fn every_estimator_is_found_by_its_name() {
    for estimator in Estimator::ALL {
        assert_eq!(estimator.name().parse(), Ok(estimator));
        assert_eq!(
            serde_json::to_string(&estimator).unwrap(),
            format!("{:?}", estimator.name())
        );
    }
    assert!("mystery".parse::<Estimator>().is_err());
}

#[test]
fn sums_give_the_textbook_values() {
    let row = |weight: f64, reward: f64, direct: f64, fitted: f64| Scored {
        weight,
        reward,
        direct,
        residual: reward - fitted,
        accepted: weight > 1.0,
    };
    let tuning = Tuning {
        switch_threshold: 1.0,
        shrinkage: 4.0,
    };
    let mut sums = Sums::default();
    for scored in [row(2.0, 1.0, 0.3, 0.5), row(0.5, 0.0, 0.4, 0.2)] {
        sums.add_row(&scored, tuning);
    }
    sums.add_stable(0.7, 3.0);
    sums.add_stable(0.2, 1.0);
    let expected = [
        (Estimator::Replay, 1.0),
        (Estimator::Ipw, 1.0),
        (Estimator::Snipw, 0.8),
        (Estimator::Dm, 0.35),
        (Estimator::Dr, 0.35 + 0.45),
        (Estimator::Sndr, 0.35 + 0.9 / 2.5),
        (Estimator::StabilisedDr, (3.0 * 0.7 + 0.2) / 4.0),
        (Estimator::SwitchDr, 0.35 - 0.05),
        (Estimator::DrOs, 0.35 + (0.5 - 2.0 / 4.25 * 0.2) / 2.0),
    ];
    for (estimator, value) in expected {
        let found = estimator.value(&sums).unwrap();
        assert!((found - value).abs() < 1e-12, "{estimator} {found}");
    }
    assert_eq!(Estimator::Replay.value(&Sums::default()), None);
}

#[test]
fn a_term_is_the_derivative_by_the_share_of_a_block() {
    let tuning = Tuning {
        switch_threshold: 1.0,
        shrinkage: 4.0,
    };
    let blocks: Vec<Sums> = (1..6)
        .map(|index| {
            let index = f64::from(index);
            let mut block = Sums::default();
            for row in 0..5 {
                block.add_row(
                    &Scored {
                        weight: 0.3 * index + 0.2 * f64::from(row),
                        reward: f64::from(row % 2),
                        direct: 0.1 * index,
                        residual: f64::from(row % 2) - 0.2 * index,
                        accepted: row != 1,
                    },
                    tuning,
                );
                block.add_stable(0.3 + f64::from(row), 0.5 + 0.1 * index);
            }
            block
        })
        .collect();
    let total = |first: f64| {
        let mut sums = Sums::default();
        for (index, block) in blocks.iter().enumerate() {
            let factor = if index == 0 { first } else { 1.0 };
            sums.add(&block.scaled(factor));
        }
        sums
    };
    for estimator in Estimator::ALL {
        let sums = total(1.0);
        let value = estimator.value(&sums).unwrap();
        let step = 1e-6;
        let slope = (estimator.value(&total(1.0 + step)).unwrap()
            - estimator.value(&total(1.0 - step)).unwrap())
            / (2.0 * step);
        let term = estimator.term(&blocks[0], &sums, value) / sums.rows;
        assert!((slope - term).abs() < 1e-8, "{estimator} {slope} {term}");
        let all: f64 = blocks
            .iter()
            .map(|block| estimator.term(block, &sums, value))
            .sum();
        assert!(all.abs() < 1e-9, "{estimator} {all}");
    }
}

#[test]
fn heavy_weights_without_bias_are_shrunk() {
    // The model is right on average and the weights are large: the correction only adds variance.
    let rows: Vec<Scored> = (0..2000)
        .map(|i| Scored {
            weight: if i % 100 < 2 { 40.0 } else { 0.2 },
            reward: 0.0,
            direct: 0.5,
            residual: if i % 2 == 0 { 0.5 } else { -0.5 },
            accepted: false,
        })
        .collect();
    let tuning = tune(&rows, &[0.2, 40.0], None, None, 1);
    assert!(
        tuning.switch_threshold < 1.0 && tuning.shrinkage < 1.0,
        "{tuning:?}"
    );
    let given = tune(&rows, &[0.2, 40.0], Some(3.0), Some(7.0), 2);
    assert_eq!((given.switch_threshold, given.shrinkage), (3.0, 7.0));
}
