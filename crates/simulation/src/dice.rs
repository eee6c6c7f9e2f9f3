//! The town's dice: the same numbers from the same seed, on every machine and in every version.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice that throw what `seed` says.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Dice for one thing with a name: what is thrown for it depends on nothing else that happens.
    pub fn for_name(seed: u64, name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        let (first, _) = hash.as_bytes().split_at(8);
        let folded = first
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Self(seed ^ folded)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `[0, 1)`.
    pub const fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something with this probability happens.
    pub const fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Below `n`, which is at least 1.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.share() * n as f64) as usize
    }

    /// One of `things`, of which there is at least one.
    pub const fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }
}
