//! The ids of posts of Meta, which its webhooks and its Graph API share.

use limbic_domain::event_id;

/// The id of a post here. It does not reveal the page, which is a part of Meta's ids.
pub(crate) fn post_id(network: &str, id: &str) -> String {
    event_id("post of meta", &[network, id])
}
