//! From a post to the word pieces that a model reads. Training and serving both use this implementation.
//!
//! Posts are not prose. [`Tokeniser`] first normalises their parts to words that a model can know, then cuts words
//! into pieces of the vocabulary (`WordPiece`, as `BERT`'s uncased models do, longest first):
//!
//! | in the post | what the model reads |
//! |---|---|
//! | `https://…`, `www.…` | `http` |
//! | `@ada` | `@ user` |
//! | `#ThrowBackThursday`, `#blessedandgrateful` | `# throw back thursday`, `# blessed and grateful` |
//! | `sooooo`, `yesss` | `soo`, `yes`: the longest spelling the vocabulary knows, two letters where it knows none |
//! | `!!!!!!!`, `😂😂😂😂😂` | three of each |
//! | `👩🏽‍⚕️`, `❤️`, `🇪🇹` | `👩 ⚕`, `❤`, `flag`: skin tones, joiners and selectors fall away |
//! | `&amp;` | `&` |
//! | `ｋïｌｌ`, `’` | `kill`, `'`: compatibility forms, no marks, straight quotes, lower case |
//!
//! An emoji is a separate token if the vocabulary has it. Reading stops when the limit of tokens is reached, so a
//! long text costs no more than a short one. Its end is not read.

mod characters;
mod entities;
mod hashtag;
mod post;
mod vocabulary;

pub(crate) use entities::resolve;
pub use post::{Tokeniser, Tokens};
pub use vocabulary::{Vocabulary, VocabularyError};
