//! The tests of [`regression`](super).

use super::*;

fn cells() -> (Vec<Sparse>, Vec<Sparse>, Vec<Cell>) {
    let contexts = vec![vec![], vec![(0, 1.0)], vec![(0, 1.0), (1, -2.0)]];
    let arms = vec![vec![(0, 0.5)], vec![(0, 3.0), (1, 1.0)]];
    let mut cells = Vec::new();
    for context in 0..3_u32 {
        for arm in 0..2_u32 {
            cells.push(Cell {
                context,
                arm,
                rows: f64::from(10 + 3 * context + arm),
                reward: f64::from(2 + context * (1 + arm)),
            });
        }
    }
    (contexts, arms, cells)
}

fn fit_with(dense: bool, link: Link) -> (Vec<f64>, Vec<f64>) {
    let (contexts, arms, cells) = cells();
    // Features that never occur change only the method of solving.
    let design = Design {
        contexts: &contexts,
        arms: &arms,
        context_features: if dense { 2 } else { DENSE },
        arm_features: 2,
    };
    let model = fit(design, &cells, link);
    let predicted = cells
        .iter()
        .map(|cell| {
            let context = &contexts[cell.context as usize];
            model.predict(context, model.context_score(context), cell.arm)
        })
        .collect();
    (predicted, model.coefficients)
}

#[test]
fn the_fit_is_where_the_gradient_vanishes() {
    for link in [Link::Logit, Link::Identity] {
        let (predicted, coefficients) = fit_with(true, link);
        let (contexts, arms, cells) = cells();
        let mut gradient = [
            coefficients[0],
            coefficients[1],
            coefficients[2],
            coefficients[3],
            0.0,
        ];
        for (cell, mean) in cells.iter().zip(&predicted) {
            let slope = cell.rows * mean - cell.reward;
            for &(f, v) in &contexts[cell.context as usize] {
                gradient[f as usize] += slope * v;
            }
            for &(f, v) in &arms[cell.arm as usize] {
                gradient[2 + f as usize] += slope * v;
            }
            gradient[4] += slope;
        }
        for g in gradient {
            assert!(g.abs() < 1e-6, "{link:?} {gradient:?}");
        }
    }
}

#[test]
fn both_ways_of_solving_find_the_same_optimum() {
    for link in [Link::Logit, Link::Identity] {
        for (dense, iterative) in fit_with(true, link).0.iter().zip(fit_with(false, link).0) {
            assert!((dense - iterative).abs() < 1e-7, "{link:?} {dense} {iterative}");
        }
    }
}

#[test]
fn one_class_alone_is_a_constant() {
    let (contexts, arms, mut cells) = cells();
    for cell in &mut cells {
        cell.reward = 0.0;
    }
    let design = Design {
        contexts: &contexts,
        arms: &arms,
        context_features: 2,
        arm_features: 2,
    };
    let model = fit(design, &cells, Link::Logit);
    let score = model.context_score(&contexts[2]);
    assert!(model.is_constant() && model.predict(&contexts[2], score, 1).abs() < 1e-15);
}

#[test]
fn interactions_learn_what_each_arm_is_worth_in_each_context() {
    // The second arm pays in the second context, the first arm elsewhere: no additive model says so.
    let contexts = vec![vec![(0, 1.0)], vec![(1, 1.0)]];
    let arms = vec![vec![(0, 1.0)], vec![(1, 1.0)]];
    let mut cells = Vec::new();
    for context in 0..2_u32 {
        for arm in 0..2_u32 {
            cells.push(Cell {
                context,
                arm,
                rows: 1000.0,
                reward: if context == arm { 900.0 } else { 100.0 },
            });
        }
    }
    let design = Design {
        contexts: &contexts,
        arms: &arms,
        context_features: 2,
        arm_features: 2,
    };
    let mut model = fit(design, &cells, Link::Logit);
    let value = |model: &Model, context: usize, arm| {
        model.predict(&contexts[context], model.context_score(&contexts[context]), arm)
    };
    assert!((value(&model, 0, 0) - 0.5).abs() < 0.01);
    interact(&mut model, design, &cells);
    assert!((value(&model, 0, 0) - 0.9).abs() < 0.01);
    assert!((value(&model, 1, 0) - 0.1).abs() < 0.01);
    // The gradient of the first arm's objective: slopes and the penalty of every coefficient.
    let own = &model.interactions[0];
    for (coefficient, in_context) in own.iter().zip([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) {
        let slope: f64 = (0..2)
            .map(|context| {
                in_context[context] * (1000.0 * value(&model, context, 0) - cells[2 * context].reward)
            })
            .sum();
        assert!(
            (slope + PENALTY * coefficient).abs() < 1e-5,
            "{slope} {coefficient}"
        );
    }
}

#[test]
fn an_arm_without_rows_keeps_the_additive_prediction() {
    let (contexts, arms, mut cells) = cells();
    cells.retain(|cell| cell.arm == 0);
    let design = Design {
        contexts: &contexts,
        arms: &arms,
        context_features: 2,
        arm_features: 2,
    };
    let mut model = fit(design, &cells, Link::Logit);
    let score = model.context_score(&contexts[1]);
    let before = model.predict(&contexts[1], score, 1);
    interact(&mut model, design, &cells);
    assert_eq!(before.to_bits(), model.predict(&contexts[1], score, 1).to_bits());
}
