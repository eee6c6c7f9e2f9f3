//! Exact choice probabilities of Thompson sampling with independent Beta arms, by one-dimensional quadrature.
//!
//! The probability that arm *i* is the best is ∫ fᵢ(x) ∏ⱼ₌ᵢ̸ Fⱼ(x) dx. In the log-odds `t = ln(x / (1 − x))` every
//! Beta density is smooth and log-concave for all parameters. Panels end where the log-densities have fallen by
//! given steps, and each panel has eight Gauss–Legendre nodes. This integrates to about 12 digits. The distribution
//! functions at the nodes come from the same nodes (spectral integration), so no incomplete Beta function is needed.

use std::sync::LazyLock;

/// A Beta distribution. Both parameters are positive and finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    /// Prior and observed successes.
    pub alpha: f64,
    /// Prior and observed failures.
    pub beta: f64,
}

impl Beta {
    /// The mean, in `(0, 1)`.
    pub fn mean(self) -> f64 {
        self.alpha / (self.alpha + self.beta)
    }

    /// The log-odds at which the density is highest.
    fn mode(self) -> f64 {
        libm::log(self.alpha / self.beta)
    }

    /// The width of the density over the log-odds at the mode.
    fn width(self) -> f64 {
        ((self.alpha + self.beta) / self.alpha / self.beta).sqrt()
    }

    /// Logarithm of the unnormalised density over the log-odds.
    fn log_density(self, t: f64) -> f64 {
        // ln x and ln(1 − x), computed from the exponential that cannot overflow.
        let softplus = libm::log1p(libm::exp(-t.abs()));
        let (ln_x, ln_rest) = if t >= 0.0 {
            (-softplus, -t - softplus)
        } else {
            (t - softplus, -softplus)
        };
        self.alpha * ln_x + self.beta * ln_rest
    }

    /// The derivative of [`Self::log_density`].
    fn slope(self, t: f64) -> f64 {
        let x = 1.0 / (1.0 + libm::exp(-t));
        self.alpha - (self.alpha + self.beta) * x
    }

    /// The log-odds on the given side of the mode at which the log-density has fallen by about `drop`.
    fn fallen_by(self, drop: f64, side: f64) -> f64 {
        let target = self.log_density(self.mode()) - drop;
        let mut t = self.mode() + side * self.width() * (2.0 * drop).sqrt();
        // The function is concave: after one step, Newton's method converges from outside, monotonically.
        for _ in 0..6 {
            let slope = self.slope(t);
            if slope * side >= 0.0 {
                break;
            }
            t += (target - self.log_density(t)) / slope;
        }
        t
    }
}

/// Half of the eight Gauss–Legendre nodes on `[-1, 1]` and their weights. The other half is symmetric.
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];
const NODES: usize = 8;

struct Rule {
    nodes: [f64; NODES],
    weights: [f64; NODES],
    /// `up_to[m][k]`: the integral from −1 to node `m` of the polynomial that is 1 at node `k` and 0 at the others.
    up_to: [[f64; NODES]; NODES],
}

static RULE: LazyLock<Rule> = LazyLock::new(|| {
    let mut nodes = [0.0; NODES];
    let mut weights = [0.0; NODES];
    for (index, &(node, weight)) in GAUSS.iter().enumerate() {
        (nodes[4 + index], weights[4 + index]) = (node, weight);
        (nodes[3 - index], weights[3 - index]) = (-node, weight);
    }
    let lagrange = |k: usize, x: f64| {
        (0..NODES)
            .filter(|&j| j != k)
            .map(|j| (x - nodes[j]) / (nodes[k] - nodes[j]))
            .product::<f64>()
    };
    let mut up_to = [[0.0; NODES]; NODES];
    for (m, row) in up_to.iter_mut().enumerate() {
        let half = f64::midpoint(nodes[m], 1.0);
        for (k, cell) in row.iter_mut().enumerate() {
            *cell = (0..NODES)
                .map(|q| half * weights[q] * lagrange(k, -1.0 + half * (nodes[q] + 1.0)))
                .sum();
        }
    }
    Rule {
        nodes,
        weights,
        up_to,
    }
});

/// Drops of the log-density at which panels end. Beyond the last, a density counts as 0 (e⁻⁴⁰).
const DROPS: [f64; 9] = [0.5, 2.0, 4.5, 8.0, 12.5, 18.0, 24.5, 32.0, 40.0];

/// The ends of the panels of all arms, ascending.
fn panels(arms: &[Beta]) -> Vec<f64> {
    let narrowest = arms.iter().map(|arm| arm.width()).fold(f64::INFINITY, f64::min);
    let mut ends = Vec::with_capacity(arms.len() * (2 * DROPS.len() + 1));
    for arm in arms {
        ends.push(arm.mode());
        for drop in DROPS {
            ends.push(arm.fallen_by(drop, -1.0));
            ends.push(arm.fallen_by(drop, 1.0));
        }
    }
    ends.sort_unstable_by(f64::total_cmp);
    let last = ends.last().copied();
    ends.dedup_by(|next, kept| *next - *kept < 0.4 * narrowest);
    // The last panel must still cover an end that was merged away.
    if let (Some(last), Some(end)) = (last, ends.last_mut()) {
        *end = last.max(*end);
    }
    ends
}

/// The probability that each arm is the best, if each is drawn once from its Beta distribution.
///
/// The probabilities sum to 1 within 1e-12. Empty if there are no arms.
pub fn best_arm_probabilities(arms: &[Beta]) -> Vec<f64> {
    rank_probabilities(arms, 1)
        .into_iter()
        .map(|ranks| ranks[0])
        .collect()
}

/// `result[arm][rank]`: the probability that the arm has the rank `rank` (0 is the best) if all are drawn once.
///
/// Over the arms, the probabilities of each rank sum to 1 within 1e-12. `ranks` is cut to the number of arms.
pub fn rank_probabilities(arms: &[Beta], ranks: usize) -> Vec<Vec<f64>> {
    let ranks = ranks.min(arms.len());
    if arms.len() == 1 {
        return vec![vec![1.0]];
    }
    let table = Table::of(arms);
    let mut result = vec![vec![0.0; ranks]; arms.len()];
    let mut product = LeaveOneOut::new(arms.len(), ranks);
    for node in 0..table.weights.len() {
        let row = node * arms.len()..(node + 1) * arms.len();
        let (densities, below) = (&table.densities[row.clone()], &table.below[row]);
        // If `ranks` or more arms surely lie above, no arm has one of the first ranks here.
        if below.iter().filter(|&&share| share < 1e-18).count() > ranks {
            continue;
        }
        product.load(below);
        for (arm, sums) in result.iter_mut().enumerate() {
            let density = densities[arm] * table.weights[node];
            if density > 0.0 {
                product.add(arm, density, sums);
            }
        }
    }
    for rank in 0..ranks {
        let total: f64 = result.iter().map(|sums| sums[rank]).sum();
        for sums in &mut result {
            sums[rank] /= total;
        }
    }
    result
}

/// Densities and distribution functions of all arms at all nodes, with the arm as the innermost index.
struct Table {
    weights: Vec<f64>,
    densities: Vec<f64>,
    below: Vec<f64>,
}

impl Table {
    fn of(arms: &[Beta]) -> Self {
        let rule = &*RULE;
        let ends = panels(arms);
        let count = ends.len().saturating_sub(1) * NODES;
        let mut weights = Vec::with_capacity(count);
        let mut densities = vec![0.0; count * arms.len()];
        let mut below = vec![0.0; count * arms.len()];
        for pair in ends.windows(2) {
            let half = 0.5 * (pair[1] - pair[0]);
            weights.extend(rule.weights.iter().map(|weight| weight * half));
        }
        for (index, arm) in arms.iter().enumerate() {
            let peak = arm.log_density(arm.mode());
            let mut total = 0.0;
            for (panel, pair) in ends.windows(2).enumerate() {
                let half = 0.5 * (pair[1] - pair[0]);
                let values: [f64; NODES] = std::array::from_fn(|node| {
                    let t = pair[0] + half * (rule.nodes[node] + 1.0);
                    let fall = arm.log_density(t) - peak;
                    if fall > -45.0 { libm::exp(fall) } else { 0.0 }
                });
                for node in 0..NODES {
                    let at = (panel * NODES + node) * arms.len() + index;
                    let part: f64 = (0..NODES).map(|k| rule.up_to[node][k] * values[k]).sum();
                    densities[at] = values[node];
                    below[at] = (total + half * part).max(0.0);
                }
                total += half * (0..NODES).map(|k| rule.weights[k] * values[k]).sum::<f64>();
            }
            for at in (index..count * arms.len()).step_by(arms.len()) {
                densities[at] /= total;
                below[at] = (below[at] / total).min(1.0);
            }
        }
        Self {
            weights,
            densities,
            below,
        }
    }
}

/// For every arm, the distribution of how many of the *other* arms lie above. It is computed without division, from
/// products over the arms before and after it: polynomials cut after `ranks` terms.
struct LeaveOneOut {
    ranks: usize,
    before: Vec<f64>,
    behind: Vec<f64>,
}

impl LeaveOneOut {
    fn new(arms: usize, ranks: usize) -> Self {
        let mut before = vec![0.0; (arms + 1) * ranks];
        let mut behind = vec![0.0; (arms + 1) * ranks];
        if ranks > 0 {
            before[0] = 1.0;
            behind[arms * ranks] = 1.0;
        }
        Self {
            ranks,
            before,
            behind,
        }
    }

    fn load(&mut self, below: &[f64]) {
        let ranks = self.ranks;
        for (arm, &share) in below.iter().enumerate() {
            for above in 0..ranks {
                let carried = if above > 0 {
                    self.before[arm * ranks + above - 1]
                } else {
                    0.0
                };
                self.before[(arm + 1) * ranks + above] =
                    self.before[arm * ranks + above] * share + carried * (1.0 - share);
            }
        }
        for (arm, &share) in below.iter().enumerate().rev() {
            for above in 0..ranks {
                let carried = if above > 0 {
                    self.behind[(arm + 1) * ranks + above - 1]
                } else {
                    0.0
                };
                self.behind[arm * ranks + above] =
                    self.behind[(arm + 1) * ranks + above] * share + carried * (1.0 - share);
            }
        }
    }

    fn add(&self, arm: usize, density: f64, sums: &mut [f64]) {
        let ranks = self.ranks;
        let before = &self.before[arm * ranks..(arm + 1) * ranks];
        let behind = &self.behind[(arm + 1) * ranks..(arm + 2) * ranks];
        for (rank, sum) in sums.iter_mut().enumerate() {
            let others: f64 = (0..=rank).map(|i| before[i] * behind[rank - i]).sum();
            *sum += density * others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use proptest::prelude::*;

    fn ln_beta(a: f64, b: f64) -> f64 {
        libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
    }

    /// P(first > second) for an integer `first.alpha` (Miller 2015, "Formulas for Bayesian A/B testing").
    fn closed_form(first: Beta, second: Beta) -> f64 {
        (0..first.alpha as u32)
            .map(|i| {
                let i = f64::from(i);
                let log = ln_beta(second.alpha + i, second.beta + first.beta)
                    - libm::log(first.beta + i)
                    - ln_beta(1.0 + i, first.beta)
                    - ln_beta(second.alpha, second.beta);
                libm::exp(log)
            })
            .sum()
    }

    fn beta(alpha: f64, beta: f64) -> Beta {
        Beta { alpha, beta }
    }

    proptest! {
        #[test]
        fn two_integer_arms_follow_the_closed_form(a in 1u32..400, b in 1u32..400, c in 1u32..400, d in 1u32..400) {
            let [a, b, c, d] = [a, b, c, d].map(f64::from);
            let exact = closed_form(beta(a, b), beta(c, d));
            let found = best_arm_probabilities(&[beta(a, b), beta(c, d)]);
            prop_assert!((found[0] - exact).abs() < 1e-9, "{} {exact}", found[0]);
            prop_assert!((found[0] + found[1] - 1.0).abs() < 1e-12);
        }

        #[test]
        fn any_parameters_sum_to_one_in_every_rank(
            arms in prop::collection::vec((-2.0f64..5.0, -2.0f64..5.0), 1..12),
        ) {
            let arms: Vec<Beta> = arms.iter().map(|&(a, b)| beta(libm::exp10(a), libm::exp10(b))).collect();
            let found = rank_probabilities(&arms, 3);
            for rank in 0..arms.len().min(3) {
                let total: f64 = found.iter().map(|ranks| ranks[rank]).sum();
                prop_assert!((total - 1.0).abs() < 1e-12);
                prop_assert!(found.iter().all(|ranks| (0.0..=1.0).contains(&ranks[rank])));
            }
        }
    }

    #[test]
    fn probabilities_are_the_frequencies_of_draws() {
        let arms = [
            beta(3.0, 40.0),
            beta(5.5, 61.0),
            beta(0.3, 0.7),
            beta(900.0, 11_000.0),
        ];
        let exact = rank_probabilities(&arms, 4);
        let mut random = Random::new(3);
        let mut counts = [[0.0; 4]; 4];
        let draws = 200_000;
        for _ in 0..draws {
            let mut order: Vec<(f64, usize)> = arms
                .iter()
                .enumerate()
                .map(|(index, arm)| (random.beta(arm.alpha, arm.beta), index))
                .collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (rank, &(_, arm)) in order.iter().enumerate() {
                counts[arm][rank] += 1.0 / f64::from(draws);
            }
        }
        for (arm, ranks) in exact.iter().enumerate() {
            for (rank, &probability) in ranks.iter().enumerate() {
                assert!((probability - counts[arm][rank]).abs() < 0.005, "{arm} {rank}");
            }
        }
    }

    #[test]
    fn equal_arms_share_equally_and_one_arm_is_certain() {
        for probability in best_arm_probabilities(&[beta(2.0, 9.0); 80]) {
            assert!((probability - 1.0 / 80.0).abs() < 1e-12);
        }
        assert_eq!(best_arm_probabilities(&[beta(0.01, 5.0)]), [1.0]);
        assert!(best_arm_probabilities(&[]).is_empty());
    }
}
