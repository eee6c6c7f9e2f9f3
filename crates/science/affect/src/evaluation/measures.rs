//! The measures of the published tasks, as their organisers and scikit-learn define them.

/// `F1` of one class: 2·TP / (2·TP + FP + FN); 0 if the class neither occurs nor is predicted.
pub fn f1(truth: impl Iterator<Item = bool>, predicted: impl Iterator<Item = bool>) -> f64 {
    let (mut both, mut all) = (0_u32, 0_u32);
    for (truth, predicted) in truth.zip(predicted) {
        both += u32::from(truth && predicted);
        all += u32::from(truth) + u32::from(predicted);
    }
    if all == 0 {
        0.0
    } else {
        2.0 * f64::from(both) / f64::from(all)
    }
}

/// `F1` of the class `class`.
pub fn class_f1(truth: &[usize], predicted: &[usize], class: usize) -> f64 {
    f1(
        truth.iter().map(|t| *t == class),
        predicted.iter().map(|s| *s == class),
    )
}

/// The mean `F1` of `classes` classes.
pub fn macro_f1(truth: &[usize], predicted: &[usize], classes: usize) -> f64 {
    mean((0..classes).map(|class| class_f1(truth, predicted, class)))
}

/// The mean recall of the classes (the sentiment measure of `TweetEval` and `SemEval` 2017). A class that does not
/// occur counts as 0.
pub fn macro_recall(truth: &[usize], predicted: &[usize], classes: usize) -> f64 {
    mean((0..classes).map(|class| {
        let (mut found, mut there) = (0_u32, 0_u32);
        for (truth, predicted) in truth.iter().zip(predicted).filter(|(truth, _)| **truth == class) {
            there += 1;
            found += u32::from(truth == predicted);
        }
        if there == 0 {
            0.0
        } else {
            f64::from(found) / f64::from(there)
        }
    }))
}

/// The mean `F1` of all labels. Each label is a bit of the sets.
pub fn labels_macro_f1(truth: &[u32], predicted: &[u32], labels: usize) -> f64 {
    mean((0..labels).map(|label| {
        let has = |set: &u32| set >> label & 1 == 1;
        f1(truth.iter().map(has), predicted.iter().map(has))
    }))
}

/// `F1` over all pairs of a post and a label.
pub fn labels_micro_f1(truth: &[u32], predicted: &[u32]) -> f64 {
    let pairs = truth.iter().zip(predicted);
    let (both, all) = pairs.fold((0, 0), |(both, all), (truth, predicted)| {
        (
            both + (truth & predicted).count_ones(),
            all + truth.count_ones() + predicted.count_ones(),
        )
    });
    if all == 0 {
        0.0
    } else {
        2.0 * f64::from(both) / f64::from(all)
    }
}

/// The mean Jaccard index over posts (the accuracy of `SemEval` 2018 E-c); 1 if both sets are empty.
pub fn jaccard(truth: &[u32], predicted: &[u32]) -> f64 {
    mean(truth.iter().zip(predicted).map(|(truth, predicted)| {
        let either = (truth | predicted).count_ones();
        if either == 0 {
            1.0
        } else {
            f64::from((truth & predicted).count_ones()) / f64::from(either)
        }
    }))
}

/// Pearson's correlation; 0 if one side is constant.
pub fn pearson(truth: &[f64], predicted: &[f64]) -> f64 {
    let (mean_truth, mean_said) = (mean(truth.iter().copied()), mean(predicted.iter().copied()));
    let (mut both, mut one, mut other) = (0.0, 0.0, 0.0);
    for (truth, predicted) in truth.iter().zip(predicted) {
        let (t, s) = (truth - mean_truth, predicted - mean_said);
        both += t * s;
        one += t * t;
        other += s * s;
    }
    let scale = (one * other).sqrt();
    if scale == 0.0 { 0.0 } else { both / scale }
}

/// Expected calibration error (Guo et al., ICML 2017), from pairs of a confidence in `[0, 1]` and whether the
/// prediction was right: the mean distance between confidence and accuracy over bins of equal width, weighted by
/// their sizes.
pub fn calibration_error(pairs: impl Iterator<Item = (f64, bool)>, bins: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0, 0_u32); bins];
    let mut total = 0_u32;
    for (confidence, right) in pairs {
        let bin = &mut sums[((confidence * bins as f64) as usize).min(bins - 1)];
        bin.0 += confidence;
        bin.1 += f64::from(u8::from(right));
        bin.2 += 1;
        total += 1;
    }
    let errors = sums
        .iter()
        .map(|(confidence, right, _)| f64::abs(confidence - right));
    errors.sum::<f64>() / f64::from(total.max(1))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
    }

    const TRUTH: [usize; 8] = [0, 0, 0, 1, 1, 2, 2, 2];
    const PREDICTED: [usize; 8] = [0, 0, 1, 1, 2, 2, 2, 0];

    #[test]
    fn measures_of_classes_equal_values_computed_by_hand() {
        // Class 0: 2 of 3 found, 3 predicted: F1 = 2·2/6. Class 1: 1 of 2, 2 predicted: 2/4. Class 2: 2 of 3, 3
        // predicted: 4/6.
        near(class_f1(&TRUTH, &PREDICTED, 0), 2.0 / 3.0);
        near(
            macro_f1(&TRUTH, &PREDICTED, 3),
            (2.0 / 3.0 + 0.5 + 2.0 / 3.0) / 3.0,
        );
        near(
            macro_recall(&TRUTH, &PREDICTED, 3),
            (2.0 / 3.0 + 0.5 + 2.0 / 3.0) / 3.0,
        );
        // Always the most frequent: one class in three is found completely, the others not at all.
        near(macro_recall(&TRUTH, &[2; 8], 3), 1.0 / 3.0);
        near(macro_f1(&TRUTH, &[2; 8], 3), (2.0 * 3.0 / 11.0) / 3.0);
        near(class_f1(&TRUTH, &[2; 8], 1), 0.0);
    }

    #[test]
    fn measures_of_label_sets_equal_values_computed_by_hand() {
        let (truth, predicted) = ([0b011, 0b100, 0b000, 0b110], [0b001, 0b110, 0b000, 0b001]);
        // Intersection / union: 1/2, 1/2, empty = 1, 0/3.
        near(jaccard(&truth, &predicted), (0.5 + 0.5 + 1.0 + 0.0) / 4.0);
        // Two in both, 5 true and 4 predicted.
        near(labels_micro_f1(&truth, &predicted), 4.0 / 9.0);
        // Label 0: 1 in both of 1 and 2; label 1: 0 of 2 and 1; label 2: 1 of 2 and 1.
        near(
            labels_macro_f1(&truth, &predicted, 3),
            (2.0 / 3.0 + 0.0 + 2.0 / 3.0) / 3.0,
        );
        near(labels_micro_f1(&[0], &[0]), 0.0);
    }

    #[test]
    fn correlation_equals_values_computed_by_hand() {
        near(pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]), 1.0);
        near(pearson(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // Deviations (-1, 0, 1) and (-1, 1, 0): 1 divided by the root of 2·2.
        near(pearson(&[1.0, 2.0, 3.0], &[1.0, 3.0, 2.0]), 0.5);
        near(pearson(&[1.0, 2.0], &[5.0, 5.0]), 0.0);
    }

    #[test]
    fn the_calibration_error_equals_a_value_computed_by_hand() {
        // Two bins. Low: 0.2 and 0.4, one right: |0.6 − 1| = 0.4. High: 0.8 and 1.0, both right: |1.8 − 2| = 0.2.
        // Divided by 4.
        let pairs = [(0.2, false), (0.4, true), (0.8, true), (1.0, true)];
        near(calibration_error(pairs.into_iter(), 2), 0.6 / 4.0);
        near(calibration_error([(1.0, true)].into_iter(), 15), 0.0);
        near(calibration_error(std::iter::empty(), 15), 0.0);
    }

    /// Results of scikit-learn 1.9 and `SciPy` for the same 500 rows (`f1_score`, `recall_score`, `jaccard_score`
    /// with `average="samples"` and `zero_division=1`, `pearsonr`).
    #[test]
    fn all_measures_agree_with_scikit_learn() {
        let truth: Vec<usize> = (0..500)
            .map(|i| {
                if i % 4 == 0 {
                    i % 3
                } else {
                    (i * i * 7 + 3 * i) % 3
                }
            })
            .collect();
        let predicted: Vec<usize> = (0..500).map(|i| (i * 5 + i / 7) % 3).collect();
        near(macro_f1(&truth, &predicted, 3), 0.296_665_577_972_168_8);
        near(macro_recall(&truth, &predicted, 3), 0.336_022_408_907_544_1);
        near(class_f1(&truth, &predicted, 1), 0.381_609_195_402_298_9);
        let truth: Vec<u32> = (0..500).map(|i| ((i * i * 13 + i * 5) % 32) & (i % 32)).collect();
        let predicted: Vec<u32> = (0..500).map(|i| (i * 11 + i / 3) % 32).collect();
        near(labels_macro_f1(&truth, &predicted, 5), 0.242_652_591_868_415_26);
        near(labels_micro_f1(&truth, &predicted), 0.278_583_865_351_131_8);
        near(jaccard(&truth, &predicted), 0.1865);
        let truth: Vec<f64> = (0..500).map(|i| f64::from(i * 37 % 101) / 101.0).collect();
        let predicted: Vec<f64> = (0..500)
            .map(|i| f64::from((i * 53 + i / 5) % 97) / 97.0)
            .collect();
        near(pearson(&truth, &predicted), 0.017_519_810_030_997_8);
    }
}
