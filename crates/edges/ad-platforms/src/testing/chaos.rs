//! The behaviour of the test platform.

use limbic_domain::event_id;

/// The platform's reaction to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Accepts the delivery.
    Accept,
    /// Answers with this status and does not accept the delivery.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header, if any.
        retry_after: Option<String>,
        /// The body of the answer, as plain text.
        body: String,
    },
    /// Accepts the delivery, then closes the connection without an answer.
    LoseAnswer,
    /// Closes the connection without accepting the delivery.
    Reset,
    /// Accepts the delivery and does not answer (until the server stops).
    Hang,
}

impl Behaviour {
    /// A status without a body.
    pub const fn status(status: u16) -> Self {
        Self::Answer {
            status,
            retry_after: None,
            body: String::new(),
        }
    }

    /// Too many requests, with a `Retry-After`.
    pub fn throttle(retry_after: &str) -> Self {
        Self::Answer {
            status: 429,
            retry_after: Some(retry_after.to_owned()),
            body: "slow down".to_owned(),
        }
    }

    /// A refusal with a message.
    pub fn refuse(words: &str) -> Self {
        Self::Answer {
            status: 422,
            retry_after: None,
            body: words.to_owned(),
        }
    }
}

/// Random failures. Each field is in per mille of requests. The result of the n-th attempt of a key is a function of
/// seed, key and n. Refusals are a function of seed and key only, because a refusal is permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chaos {
    /// The seed of all draws.
    pub seed: u64,
    /// 422.
    pub refuse: u32,
    /// 429 with `Retry-After: 0`.
    pub throttle: u32,
    /// 500.
    pub fail: u32,
    /// Accepted, but the answer is lost.
    pub lose_answer: u32,
    /// The connection is closed before the delivery is accepted.
    pub reset: u32,
}

impl Chaos {
    /// The result of the `attempt`-th request (from 1) with `key`.
    pub fn behaviour(&self, key: &str, attempt: u64) -> Behaviour {
        if self.draw(&[key]) < self.refuse {
            return Behaviour::refuse("not this one");
        }
        let odds = [
            (self.throttle, Behaviour::throttle("0")),
            (self.fail, Behaviour::status(500)),
            (self.lose_answer, Behaviour::LoseAnswer),
            (self.reset, Behaviour::Reset),
        ];
        let mut draw = self.draw(&[key, &attempt.to_string()]);
        for (share, behaviour) in odds {
            if draw < share {
                return behaviour;
            }
            draw -= share;
        }
        Behaviour::Accept
    }

    /// 0 to 999.
    fn draw(&self, causes: &[&str]) -> u32 {
        let seed = self.seed.to_string();
        let causes: Vec<&str> = std::iter::once(seed.as_str())
            .chain(causes.iter().copied())
            .collect();
        let digest = event_id("chaos", &causes);
        u32::from_str_radix(&digest[..7], 16).map_or(0, |number| number % 1_000)
    }
}
