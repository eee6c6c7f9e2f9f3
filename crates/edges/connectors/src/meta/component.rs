//! The webhooks of Meta as a component.

use std::sync::Arc;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{Secret, TenantId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Meta;
use crate::Source;

/// `kind = "meta"`: receives comments and posts on the operator's own pages of Facebook and accounts of Instagram, at `/v1/hooks/NAME` of
/// the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetaSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The secret of the app, from its settings at developers.facebook.com. Never printed.
    pub app_secret: Secret,
    /// A text of your own that you also give to Meta as "Verify Token". Never printed.
    pub verify_token: Secret,
}

impl Default for MetaSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            app_secret: Secret::new(""),
            verify_token: Secret::new(""),
        }
    }
}

impl Component for Meta {
    type Settings = MetaSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "meta";
    const SUMMARY: &'static str =
        "Receives comments and posts on your own pages of Facebook and accounts of Instagram.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::Secrets];

    fn check(settings: &MetaSettings) -> Result<(), Error> {
        if settings.app_secret.reveal().len() < 16 {
            return Err(
                "app_secret: is missing or short: copy it from the app's settings at developers.facebook.com"
                    .into(),
            );
        }
        if settings.verify_token.reveal().len() < 8 {
            return Err("verify_token: has fewer than 8 characters: make one with `limbic secret`, and give the same to Meta".into());
        }
        Ok(())
    }

    fn build(settings: &MetaSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let receiver = Self {
            app_secret: settings.app_secret.clone(),
            verify_token: settings.verify_token.clone(),
        };
        Ok(Source::sending(settings.tenant.clone(), Arc::new(receiver)))
    }
}

impl ConnectorComponent for Meta {
    const TERMS: &'static str = include_str!("terms.toml");
}
