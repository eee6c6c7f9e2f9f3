//! Simulated worlds whose true values are known.

use limbic_bandit::random::{Random, choose};
use limbic_evaluation::{BanditLog, LogRow, Situation, TargetPolicy};

/// How the logging policy chooses.
#[derive(Clone, Copy)]
pub(crate) enum Logger {
    /// Fixed probabilities, by context.
    Fixed(fn(usize) -> Vec<f64>),
    /// Other probabilities for each row: a softmax of normal scores of this deviation, with a floor of 0.002.
    Scattered(f64),
    /// The arm with the best mean so far, and with the probability `max(floor, row^-power)` any arm.
    Greedy {
        /// Smallest probability of exploring.
        floor: f64,
        /// How fast it falls.
        power: f64,
    },
}

/// A world: contexts, arms, rewards and policies.
#[derive(Clone, Copy)]
pub(crate) struct World {
    /// Its name in the table.
    pub(crate) name: &'static str,
    pub(crate) rows: usize,
    pub(crate) contexts: usize,
    pub(crate) arms: usize,
    /// Mean reward at a time in `[0, 1)`, in a context, for an arm; within the reward range.
    pub(crate) pay: fn(f64, usize, usize) -> f64,
    /// Draws a reward with this mean.
    pub(crate) reward: fn(&mut Random, f64) -> f64,
    /// Largest reward; the smallest is 0.
    pub(crate) most: f64,
    /// Share of a context at a time.
    pub(crate) share: fn(f64, usize) -> f64,
    pub(crate) logger: Logger,
    /// Probabilities of the evaluated policy, by context.
    pub(crate) policy: fn(usize) -> Vec<f64>,
    /// Whether the log has the propensity of every candidate.
    pub(crate) candidates: bool,
}

/// A log and its true values.
pub(crate) struct Simulated {
    pub(crate) log: BanditLog,
    /// Mean over the rows of the policy's value, given the rows before.
    pub(crate) value: f64,
    /// The same for the logging policy.
    pub(crate) logged: f64,
}

pub(crate) fn click(random: &mut Random, mean: f64) -> f64 {
    f64::from(u8::from(random.unit() < mean))
}

impl World {
    /// The log with a number.
    pub(crate) fn simulate(&self, number: u64) -> Simulated {
        let mut random = Random::new(number);
        let mut log = BanditLog::new();
        let arms: Vec<u32> = (0..self.arms).map(|arm| log.arm(&format!("arm {arm}"))).collect();
        let set = log.set(&arms);
        let situations: Vec<u32> = (0..self.contexts)
            .map(|context| {
                let feature = log.feature(&format!("context={context}"));
                let context = log.context(&mut vec![(feature, 1.0)]);
                let position = 0;
                log.situation(Situation {
                    context,
                    set,
                    position,
                })
            })
            .collect();
        let mut played = vec![(0.0, 0.0); self.arms];
        let (mut value, mut logged) = (0.0, 0.0);
        for row in 0..self.rows {
            let time = row as f64 / self.rows as f64;
            let shares: Vec<f64> = (0..self.contexts).map(|x| (self.share)(time, x)).collect();
            let total: f64 = shares.iter().sum();
            let shares: Vec<f64> = shares.iter().map(|share| share / total).collect();
            let by_context: Vec<Vec<f64>> = match self.logger {
                Logger::Fixed(probabilities) => (0..self.contexts).map(probabilities).collect(),
                Logger::Scattered(deviation) => {
                    let scores: Vec<f64> = (0..self.arms)
                        .map(|_| (deviation * random.normal()).exp())
                        .collect();
                    let total: f64 = scores.iter().sum();
                    let floor = 0.002;
                    let rest = 1.0 - floor * self.arms as f64;
                    let probabilities = scores.iter().map(|score| floor + rest * score / total);
                    vec![probabilities.collect(); self.contexts]
                }
                Logger::Greedy { floor, power } => {
                    let explore = floor.max((row as f64 + 1.0).powf(-power));
                    let mean = |arm: &usize| {
                        let (count, sum): (f64, f64) = played[*arm];
                        (sum + 0.5) / (count + 1.0)
                    };
                    let best = (0..self.arms).max_by(|a, b| mean(a).total_cmp(&mean(b)));
                    let mut probabilities = vec![explore / self.arms as f64; self.arms];
                    probabilities[best.unwrap()] += 1.0 - explore;
                    vec![probabilities; self.contexts]
                }
            };
            for context in 0..self.contexts {
                let policy = (self.policy)(context);
                for arm in 0..self.arms {
                    let pay = (self.pay)(time, context, arm);
                    value += shares[context] * policy[arm] * pay;
                    logged += shares[context] * by_context[context][arm] * pay;
                }
            }
            let context = choose(&shares, random.unit()).unwrap();
            let probabilities = &by_context[context];
            let arm = choose(probabilities, random.unit()).unwrap();
            let reward = (self.reward)(&mut random, (self.pay)(time, context, arm));
            played[arm].0 += 1.0;
            played[arm].1 += reward;
            let chosen = LogRow {
                situation: situations[context],
                arm: arms[arm],
                reward,
                propensity: probabilities[arm],
            };
            if self.candidates {
                log.push_with_candidates(chosen, probabilities.iter().copied(), row as u64 + 1);
            } else {
                log.push(chosen, row as u64 + 1);
            }
        }
        Simulated {
            log,
            value: value / self.rows as f64,
            logged: logged / self.rows as f64,
        }
    }
}

impl TargetPolicy for World {
    fn name(&self) -> &str {
        self.name
    }

    fn probabilities(&self, log: &BanditLog, situation: Situation, out: &mut Vec<f64>) {
        let (feature, _) = log.contexts[situation.context as usize][0];
        let context = log.feature_names[feature as usize]
            .strip_prefix("context=")
            .and_then(|number| number.parse().ok());
        out.extend((self.policy)(context.unwrap()));
    }

    fn looks_at_context(&self) -> bool {
        true
    }
}

fn even(_: f64, _: usize) -> f64 {
    1.0
}

/// The first world: everything is as it should be.
pub(crate) const EASY: World = World {
    name: "easy",
    rows: 1000,
    contexts: 3,
    arms: 4,
    pay: |_, context, arm| 0.1 + 0.15 * ((context + 2 * arm) % 5) as f64,
    reward: click,
    most: 1.0,
    share: even,
    logger: Logger::Fixed(|context| {
        let mut probabilities = vec![0.15; 4];
        probabilities[context] = 0.55;
        probabilities
    }),
    policy: |_| vec![0.1, 0.2, 0.3, 0.4],
    candidates: true,
};

const RARE: World = World {
    name: "rare",
    contexts: 1,
    arms: 3,
    pay: |_, _, arm| [0.8, 0.2, 0.3][arm],
    logger: Logger::Fixed(|_| vec![0.001, 0.5, 0.499]),
    policy: |_| vec![0.3, 0.4, 0.3],
    ..EASY
};

const CLICKS: World = World {
    name: "rare clicks",
    rows: 4000,
    contexts: 2,
    arms: 5,
    pay: |_, context, arm| 0.01 + 0.004 * ((2 * context + arm) % 5) as f64,
    logger: Logger::Fixed(|_| vec![0.1, 0.1, 0.2, 0.2, 0.4]),
    policy: |_| vec![0.2; 5],
    ..EASY
};

const HEAVY: World = World {
    name: "heavy weights",
    rows: 2000,
    contexts: 2,
    arms: 6,
    pay: |_, context, arm| 0.1 + 0.1 * ((context + arm) % 6) as f64,
    logger: Logger::Scattered(1.5),
    policy: |_| vec![1.0 / 6.0; 6],
    ..EASY
};

const ADAPTIVE: World = World {
    name: "adaptive",
    rows: 2000,
    contexts: 2,
    arms: 4,
    pay: |_, context, arm| [0.3, 0.35, 0.4, 0.45][arm] + 0.1 * context as f64,
    logger: Logger::Greedy {
        floor: 0.05,
        power: 0.3,
    },
    policy: |_| vec![0.7, 0.1, 0.1, 0.1],
    ..EASY
};

const DRIFTING: World = World {
    name: "drifting",
    contexts: 2,
    arms: 3,
    pay: |time, context, arm| match arm {
        0 => 0.2 + 0.6 * time,
        1 => 0.7 - 0.5 * time,
        _ => 0.3 + 0.2 * context as f64,
    },
    share: |time, context| if context == 0 { 1.0 + 3.0 * time } else { 2.0 },
    logger: Logger::Fixed(|context| [vec![0.6, 0.2, 0.2], vec![0.2, 0.3, 0.5]][context].clone()),
    policy: |_| vec![0.5, 0.4, 0.1],
    ..EASY
};

/// The scenarios of the table.
pub(crate) const WORLDS: [World; 12] = [
    EASY,
    World {
        name: "few rows",
        rows: 150,
        ..EASY
    },
    RARE,
    World {
        name: "rare, choice alone",
        candidates: false,
        ..RARE
    },
    World {
        name: "never drawn",
        logger: Logger::Fixed(|_| vec![0.0, 0.5, 0.5]),
        ..RARE
    },
    CLICKS,
    HEAVY,
    World {
        name: "heavy rewards",
        rows: 2000,
        // Lognormal with a deviation of 1.2 in the exponent, up to 50.
        reward: |random, mean| (mean * (1.2 * random.normal() - 0.72).exp()).min(50.0),
        most: 50.0,
        ..EASY
    },
    World {
        name: "crossed",
        contexts: 2,
        arms: 2,
        pay: |_, context, arm| if context == arm { 0.9 } else { 0.1 },
        logger: Logger::Fixed(|_| vec![0.3, 0.7]),
        policy: |context| [vec![0.9, 0.1], vec![0.1, 0.9]][context].clone(),
        ..EASY
    },
    ADAPTIVE,
    DRIFTING,
    World {
        name: "adaptive, drifting",
        rows: 2000,
        logger: Logger::Greedy {
            floor: 0.1,
            power: 0.5,
        },
        ..DRIFTING
    },
];
