//! The random generator of the whole project: a seed gives the same numbers on every machine and in every version.
//!
//! [`Random`] is xoshiro256++ (Blackman and Vigna 2019), seeded by splitmix64. It is statistically sound and fast, but
//! predictable: never use it for a key, a token or anything else that must not be guessed.

/// Mixes 64 bits so that each bit of the result depends on each bit of `value` (splitmix64's finaliser).
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Derives a seed for one purpose from a common seed. Different purposes give independent streams.
pub const fn derive(seed: u64, purpose: u64) -> u64 {
    mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(purpose.wrapping_add(1))))
}

/// A 64-bit hash of bytes: FNV-1a, then [`mix`]ed.
pub const fn hash(bytes: &[u8]) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        state = (state ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    mix(state)
}

/// A stream of random numbers that is a function of its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Random([u64; 4]);

impl Random {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self([derive(seed, 0), derive(seed, 1), derive(seed, 2), derive(seed, 3)])
    }

    /// The stream of a named thing under `seed`. It is independent of all other streams.
    pub const fn for_name(seed: u64, name: &str) -> Self {
        Self::new(derive(seed, hash(name.as_bytes())))
    }

    /// The next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform on `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Returns `true` with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// One of `items`, all equally likely. `items` must not be empty.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Uniform on `0..bound`; `bound` must not be 0. Its bias is below `bound`·2⁻⁶⁴.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// A standard normal number (Marsaglia's polar method). `libm`'s logarithm gives the same result on every machine.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * libm::log(square) / square).sqrt();
            }
        }
    }

    /// A Gamma number of the given shape and scale 1 (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(1.0 - self.unit(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x) * (1.0 + c * x) * (1.0 + c * x);
            if v > 0.0 && libm::log(1.0 - self.unit()) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// A Beta number.
    pub fn beta(&mut self, alpha: f64, beta: f64) -> f64 {
        let (a, b) = (self.gamma(alpha), self.gamma(beta));
        a / (a + b)
    }
}

/// Divides `[0, 1)` by `probabilities` and returns the index of the part that contains `unit`.
///
/// An index with probability 0 is never chosen, in spite of rounding at the end of the range.
pub fn choose(probabilities: &[f64], unit: f64) -> Option<usize> {
    let mut end = 0.0;
    let mut last = None;
    for (index, &probability) in probabilities.iter().enumerate() {
        if probability > 0.0 {
            end += probability;
            last = Some(index);
            if unit < end {
                return last;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_stream() {
        let mut random = Random::new(7);
        let bits: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        let mut again = Random::new(7);
        assert_eq!(bits, (0..3).map(|_| again.bits()).collect::<Vec<_>>());
        assert_ne!(Random::new(8).bits(), bits[0]);
    }

    #[test]
    fn mean_and_variance_are_those_of_the_distributions() {
        let mut random = Random::new(1);
        let n = 200_000;
        let (mut sum, mut square, mut beta) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            square += x * x;
            beta += random.beta(0.5, 1.5);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.01, "{sum}");
        assert!((square / n - 1.0).abs() < 0.02, "{square}");
        assert!((beta / n - 0.25).abs() < 0.005, "{beta}");
    }

    #[test]
    fn an_item_with_probability_zero_is_never_chosen() {
        assert_eq!(choose(&[0.0, 0.5, 0.0], 0.999), Some(1));
        assert_eq!(choose(&[0.25, 0.75], 0.25), Some(1));
        assert_eq!(choose(&[], 0.5), None);
    }
}
