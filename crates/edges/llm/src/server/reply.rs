//! A reply while it arrives.

use limbic_stream::outbox::excerpt;

use super::unknown;
use crate::provider::{Failure, FailureKind, Spent};
use crate::{Generated, Usage};

/// The reply so far.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) model: String,
    /// The model's own words about why it refuses.
    pub(crate) refusal: String,
    /// How it ended, when the provider has said so.
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: Option<Usage>,
}

/// How a reply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The text is complete.
    Complete,
    /// The maximum number of tokens ended it.
    CutOff,
    /// A content filter or the model ended it, for this reason.
    Refused(String),
    /// The model calls a tool.
    Tool,
    /// The provider failed, for this reason.
    Failed(String),
}

impl Reply {
    /// What a failure now has cost.
    pub(crate) fn spent(&self) -> Spent {
        match (&self.finish, self.usage) {
            (Some(_), Some(usage)) => Spent::Tokens(usage),
            _ => Spent::Unknown,
        }
    }

    /// The result of a reply whose bytes have ended.
    pub(crate) fn into_result(self) -> Result<Generated, Failure> {
        let spent = self.spent();
        let failed = |kind, detail: String| Err(Failure::new(kind, detail).spending(spent));
        if !self.refusal.is_empty() {
            let detail = format!("the model refuses: {}", excerpt(&self.refusal));
            return failed(FailureKind::Refused, detail);
        }
        match self.finish {
            None => Err(unknown("200, but the reply ends before its end mark").spending(spent)),
            Some(Finish::Refused(why)) => failed(FailureKind::Refused, why),
            Some(Finish::Tool) => {
                let detail = "the model calls a tool, which this provider does not support";
                failed(FailureKind::Rejected, detail.to_owned())
            }
            Some(Finish::Failed(why)) => failed(FailureKind::Unknown, why),
            Some(Finish::Complete | Finish::CutOff) if self.text.trim().is_empty() => {
                failed(FailureKind::Unknown, "200, but without text".to_owned())
            }
            Some(finish) => Ok(Generated {
                text: self.text,
                model: self.model,
                is_cut_off: finish == Finish::CutOff,
                usage: self.usage,
            }),
        }
    }
}
