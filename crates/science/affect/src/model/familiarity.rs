//! How far a text is from the posts that a model learnt from, by its word pieces.
//!
//! A model gives probabilities for anything, also for code, lists of products and letters without sense. The pooled state of the encoder
//! does not tell such texts from neutral posts; their pieces do ([decision 0156](../../../../../docs/decisions/0156-how-far-a-post-is-from-what-was-learnt.md)).
//! The score is made of two numbers of a text:
//!
//! 1. the mean surprise of a piece after the one before it, in bits: `-log2 p`, with `p` from counts of pairs and single pieces;
//! 2. the share of pieces that continue a word or have one ASCII character.
//!
//! Each becomes the share of validation posts of like length that have a lower number. The greater of the two is compared with that of
//! validation posts once more, so that one in a hundred of them has a score of 0.99 or more.
//!
//! `scripts/train/familiarity.py` writes the file, all numbers little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 21 | `limbic-familiarity-1` and a line feed |
//! | 32 | SHA-256 of the vocabulary |
//! | 4 | number of pieces |
//! | 1 for each piece | its count in the training posts: `2^(byte / 8) - 1` |
//! | 131,072 | pairs: a mark of 4 bits, and the whole part of the logarithm of the count (0: none) |
//! | 3 × 4 × 200 × 4 | quantiles of surprise, short pieces and the greater of both, for each class of length: 32-bit floats |
//! | 32 | SHA-256 of everything before |

use sha2::{Digest, Sha256};

use crate::tokens::Vocabulary;

/// The counts and quantiles of a model.
#[derive(Debug)]
pub(crate) struct Familiarity {
    pieces: Vec<Piece>,
    /// Sum of all counts, with half a count for each piece.
    total: f64,
    pairs: Box<[u8]>,
    surprise: Table,
    shortness: Table,
    greater: Table,
    hash: u32,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    /// How often the training posts have it.
    count: f64,
    is_short: bool,
}

/// Quantiles of validation posts by class of length, in ascending order.
#[derive(Debug)]
struct Table(Vec<[f32; QUANTILES]>);

const MAGIC: &[u8] = b"limbic-familiarity-1\n";
const DIGEST: usize = 32;
/// Logarithm of the number of places for pairs.
const PLACES: u32 = 17;
/// Bits of a pair's mark.
const MARK: u32 = 4;
/// Steps of a piece's count in a doubling.
const STEPS: f64 = 8.0;
/// A pair's own frequency counts as much as that of the single piece once the first piece was seen so often.
const PRIOR: f64 = 20.0;
/// Tokens up to which a text belongs to a class of length, `[CLS]` and `[SEP]` included. Longer texts are a fourth class.
const LENGTHS: [usize; 3] = [8, 16, 32];
/// Quantiles of a table: 0 to 0.99 in hundredths, then to 1 in ten-thousandths.
const QUANTILES: usize = 200;
const COARSE: usize = 100;

impl Familiarity {
    /// Its file in the folder of a model.
    pub(crate) const FILE: &'static str = "familiarity.bin";

    /// Reads the file that belongs to `vocabulary`, whose text has the checksum `digest`. The error says what is wrong with it.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        vocabulary: &Vocabulary,
        digest: &[u8],
    ) -> Result<Self, &'static str> {
        const DAMAGED: &str = "it is damaged";
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it is not a file of familiarity")?;
        let (body, sum) = bytes.split_last_chunk::<DIGEST>().ok_or(DAMAGED)?;
        if Sha256::digest(body)[..] != sum[..] {
            return Err(DAMAGED);
        }
        let (of, rest) = rest.split_first_chunk::<DIGEST>().ok_or(DAMAGED)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(DAMAGED)?;
        if of[..] != *digest || u32::from_le_bytes(*count) as usize != vocabulary.len() {
            return Err("it belongs to another vocabulary");
        }
        let (singles, rest) = rest.split_at_checked(vocabulary.len()).ok_or(DAMAGED)?;
        let (pairs, rest) = rest.split_at_checked(1 << PLACES).ok_or(DAMAGED)?;
        let (numbers, sum) = rest.as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|number| f32::from_le_bytes(*number)).collect();
        let (tables, left) = numbers.as_chunks::<QUANTILES>();
        let classes = LENGTHS.len() + 1;
        // The checksum, and nothing else, follows three tables.
        if tables.len() != 3 * classes || left.len() * 4 != DIGEST || !sum.is_empty() {
            return Err(DAMAGED);
        }
        let table = |place: usize| Table(tables[place * classes..(place + 1) * classes].to_vec());
        let pieces: Vec<Piece> = (0..)
            .zip(singles)
            .map(|(id, &logarithm)| Piece {
                count: (f64::from(logarithm) / STEPS).exp2() - 1.0,
                is_short: vocabulary.piece(id).is_some_and(is_short),
            })
            .collect();
        Ok(Self {
            total: pieces.iter().map(|piece| piece.count + 0.5).sum(),
            pieces,
            pairs: pairs.into(),
            surprise: table(0),
            shortness: table(1),
            greater: table(2),
            hash: left[0].to_bits(),
        })
    }

    /// A part of the engine's version: with other counts, readings are different.
    pub(crate) fn suffix(&self) -> String {
        format!("+familiarity-{:08x}", self.hash)
    }

    /// The share of validation posts that are nearer to the training posts than the text with these tokens, in `[0, 1]`. The tokens begin
    /// with `[CLS]` and end with `[SEP]`.
    pub(crate) fn distance(&self, tokens: &[u32]) -> f64 {
        let class = LENGTHS.partition_point(|most| *most < tokens.len());
        let surprise = self.surprise.rank(self.mean_surprise(tokens), class);
        let shortness = self.shortness.rank(self.share_of_short(tokens), class);
        self.greater.rank(f64::max(surprise, shortness), class)
    }

    fn piece(&self, token: u32) -> Piece {
        let unknown = Piece {
            count: 0.0,
            is_short: false,
        };
        self.pieces.get(token as usize).copied().unwrap_or(unknown)
    }

    fn mean_surprise(&self, tokens: &[u32]) -> f64 {
        let bits = tokens.windows(2).map(|pair| {
            let before = self.piece(pair[0]).count;
            let alone = (self.piece(pair[1]).count + 0.5) / self.total;
            let together = self.pair_count(pair[0], pair[1]).min(before);
            -((together + PRIOR * alone) / (before + PRIOR)).log2()
        });
        bits.sum::<f64>() / tokens.len().saturating_sub(1).max(1) as f64
    }

    fn share_of_short(&self, tokens: &[u32]) -> f64 {
        let words = tokens.get(1..tokens.len().saturating_sub(1)).unwrap_or_default();
        let short = words.iter().filter(|token| self.piece(**token).is_short).count();
        short as f64 / words.len().max(1) as f64
    }

    /// How often the training posts have the pair, about; 0 if that was too seldom to be kept.
    fn pair_count(&self, first: u32, second: u32) -> f64 {
        let mixed = (u64::from(first) << 32 | u64::from(second)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = (mixed >> (u64::BITS - PLACES)) as usize;
        let mark = (mixed >> (u64::BITS - PLACES - MARK)) as u8 & 15;
        let kept = self.pairs[place];
        let logarithm = kept & 15;
        if kept >> MARK == mark && logarithm > 0 {
            (f64::from(logarithm) + 0.5).exp2()
        } else {
            0.0
        }
    }
}

/// Whether a piece continues a word, or has one ASCII character.
fn is_short(piece: &str) -> bool {
    piece.starts_with("##") || (piece.len() == 1 && piece.is_ascii())
}

impl Table {
    /// The share of validation posts of the class with a lower value, between two quantiles in proportion.
    fn rank(&self, value: f64, class: usize) -> f64 {
        let quantiles = &self.0[class];
        let at = quantiles.partition_point(|quantile| f64::from(*quantile) <= value);
        if at == 0 {
            return 0.0;
        }
        let Some(high) = quantiles.get(at).copied().map(f64::from) else {
            return 1.0;
        };
        let low = f64::from(quantiles[at - 1]);
        let (from, to) = (share(at - 1), share(at));
        from + (to - from) * (value - low) / (high - low)
    }
}

/// The share of posts below a quantile.
fn share(quantile: usize) -> f64 {
    let coarse = quantile.min(COARSE - 1);
    coarse as f64 / COARSE as f64 + (quantile - coarse) as f64 / (COARSE * COARSE) as f64
}
