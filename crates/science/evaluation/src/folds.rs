//! Assignment of rows to folds: shuffled, and the same as that of the reference implementation for the same seed.
//!
//! The reference shuffles with `NumPy`'s legacy generator, a Mersenne Twister (Matsumoto and Nishimura 1998). Its
//! numbers are reproduced here, so both programs fit each model on the same rows and differ only in arithmetic.

const SIZE: usize = 624;
const SHIFT: usize = 397;

/// MT19937 with 32-bit output, seeded by one integer.
struct MersenneTwister {
    state: [u32; SIZE],
    at: usize,
}

impl MersenneTwister {
    fn new(seed: u32) -> Self {
        let mut state = [0; SIZE];
        state[0] = seed;
        for i in 1..SIZE {
            let before: u32 = state[i - 1];
            state[i] = 1_812_433_253_u32
                .wrapping_mul(before ^ (before >> 30))
                .wrapping_add(i as u32);
        }
        Self { state, at: SIZE }
    }

    fn bits(&mut self) -> u32 {
        if self.at == SIZE {
            for i in 0..SIZE {
                let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % SIZE] & 0x7fff_ffff);
                let twist = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + SHIFT) % SIZE] ^ (joined >> 1) ^ twist;
            }
            self.at = 0;
        }
        let mut word = self.state[self.at];
        self.at += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// A uniform integer in `0..=most`, by rejection under the smallest mask that covers it.
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX.checked_shr(most.leading_zeros()).unwrap_or(0);
        loop {
            let value = self.bits() & mask;
            if value <= most {
                return value;
            }
        }
    }
}

/// The fold of every row: a permutation drawn from `seed`, cut into `folds` parts whose sizes differ by at most one.
///
/// All rows are in fold 0 if there are fewer than two folds, or more folds than rows.
pub(super) fn shuffled(rows: usize, folds: usize, seed: u32) -> Vec<u8> {
    let mut fold_of = vec![0_u8; rows];
    if folds < 2 || rows < folds {
        return fold_of;
    }
    let mut order: Vec<u32> = (0..rows as u32).collect();
    let mut random = MersenneTwister::new(seed);
    for last in (1..rows).rev() {
        order.swap(last, random.up_to(last as u32) as usize);
    }
    let mut rest = order.as_slice();
    for fold in 0..folds {
        let size = rows / folds + usize::from(fold < rows % folds);
        let (members, others) = rest.split_at(size);
        for &row in members {
            fold_of[row as usize] = fold as u8;
        }
        rest = others;
    }
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twister_gives_its_authors_numbers() {
        // The C++ standard defines the 10,000th output of mt19937 for the default seed 5489.
        let mut random = MersenneTwister::new(5489);
        let last = (0..10_000).map(|_| random.bits()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn folds_are_the_references() {
        // KFold(3, shuffle=True, random_state=12345) of scikit-learn over 10 rows.
        assert_eq!(shuffled(10, 3, 12345), [0, 1, 2, 0, 1, 2, 1, 0, 2, 0]);
    }

    #[test]
    fn sizes_differ_by_at_most_one() {
        let folds = shuffled(11, 3, 1);
        let mut sizes = [0; 3];
        for fold in folds {
            sizes[usize::from(fold)] += 1;
        }
        assert_eq!(sizes, [4, 4, 3]);
        assert_eq!(shuffled(2, 3, 1), [0, 0]);
    }
}
