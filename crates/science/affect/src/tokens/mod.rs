//! From a post to the word pieces that a model reads: the one implementation, used when a model is trained as when it serves.
//!
//! A post is not prose. [`Tokeniser`] first puts its parts into the words a model can know, then cuts words into pieces of
//! the vocabulary (`WordPiece`, as BERT's uncased models do, longest first):
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
//! An emoji is a token of its own where the vocabulary has it. Reading stops when the budget of tokens is full, so a long
//! text costs no more than a short one; its end is not read.

mod characters;
mod entities;
mod hashtag;
mod post;
mod vocabulary;

pub use post::{Tokeniser, Tokens};
pub use vocabulary::{Vocabulary, VocabularyError};
