//! The subjects that the settings name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbic_domain::{Slug, TenantId};
use parking_lot::RwLock;

/// The subjects of each tenant.
type ByTenant = BTreeMap<TenantId, BTreeSet<Slug>>;

/// The subjects that posts of each tenant may name. Each subject of a post makes a feeling for an audience of its own, and series and
/// views keep it, so a tenant that invents subjects could fill the node. Cheap to clone; all clones change together.
#[derive(Debug, Clone, Default)]
pub struct KnownSubjects(Arc<RwLock<Option<ByTenant>>>);

impl KnownSubjects {
    /// Posts may name any subject.
    pub fn any() -> Self {
        Self::default()
    }

    /// From now on, only these subjects are known.
    pub fn replace(&self, known: BTreeMap<TenantId, BTreeSet<Slug>>) {
        *self.0.write() = Some(known);
    }

    /// Removes the subjects that are not known, and returns them.
    pub(crate) fn keep_known(&self, tenant: &TenantId, subjects: &mut Vec<Slug>) -> Vec<Slug> {
        if subjects.is_empty() {
            return Vec::new();
        }
        let known = self.0.read();
        let Some(known) = &*known else {
            return Vec::new();
        };
        let of_tenant = known.get(tenant);
        let is_unknown = |subject: &mut Slug| of_tenant.is_none_or(|known| !known.contains(subject));
        subjects.extract_if(.., is_unknown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_subjects_of_the_tenant_are_kept() {
        let slug = |text: &str| Slug::new(text).unwrap();
        let acme = TenantId::new("acme").unwrap();
        let subjects = || vec![slug("football"), slug("golf"), slug("made-up")];
        let known = KnownSubjects::any();
        let mut of_post = subjects();
        assert_eq!(known.keep_known(&acme, &mut of_post), []);
        assert_eq!(of_post, subjects());
        let other = TenantId::new("globex").unwrap();
        known.clone().replace(
            [
                (acme.clone(), [slug("football")].into()),
                (other, [slug("golf")].into()),
            ]
            .into(),
        );
        assert_eq!(
            known.keep_known(&acme, &mut of_post),
            [slug("golf"), slug("made-up")]
        );
        assert_eq!(of_post, [slug("football")]);
        assert_eq!(
            known.keep_known(&TenantId::default(), &mut subjects()),
            subjects()
        );
    }
}
