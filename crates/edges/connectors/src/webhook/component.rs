//! A webhook as a component.

use std::sync::Arc;

use limbic_component::{Component, ConnectorComponent, Error, Kind, Need, Place, Resources};
use limbic_domain::{HumanDuration, Secret, TenantId};
use limbic_http::SigningKey;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Proof, SignedWebhook};
use crate::Source;
use crate::mapping::{JsonMapping, JsonMappingSettings};

/// `kind = "webhook"`: receives signed JSON at `/v1/hooks/NAME` of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignedWebhookSettings {
    /// The tenant that the posts belong to. Default `default`.
    #[schemars(with = "String")]
    pub tenant: TenantId,
    /// The secret of the signatures. With `signature = "standard_webhooks"` it is `whsec_…`. Never printed.
    pub secret: Secret,
    /// How requests are signed: `standard_webhooks` (default), or `hex` = HMAC-SHA-256 of the body in hexadecimal digits.
    pub signature: SignatureForm,
    /// The header with the signature, if `signature = "hex"`. Default `x-hub-signature-256`.
    pub header: String,
    /// How far the time of a request may be from the clock of this node, if `signature = "standard_webhooks"`. 1s to 1h; default 5m.
    pub tolerance: HumanDuration,
    /// What a sender must state as `hub.verify_token` when it asks whether the address is right. Absent (default) = such a question is
    /// refused. At least 8 characters. Never printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_token: Option<Secret>,
    /// How a body becomes posts.
    pub map: JsonMappingSettings,
}

/// How requests are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignatureForm {
    /// As Standard Webhooks 1.0.0 says: with an id and a time.
    #[default]
    StandardWebhooks,
    /// The HMAC-SHA-256 of the body in hexadecimal digits. A recorded request can be sent again. Its posts are removed as long as the node
    /// remembers their ids (`ingest.remember`).
    Hex,
}

impl Default for SignedWebhookSettings {
    fn default() -> Self {
        Self {
            tenant: TenantId::default(),
            secret: Secret::new(""),
            signature: SignatureForm::default(),
            header: "x-hub-signature-256".to_owned(),
            tolerance: HumanDuration::from_secs(300),
            verify_token: None,
            map: JsonMappingSettings::default(),
        }
    }
}

impl SignedWebhookSettings {
    fn proof(&self) -> Result<Proof, Error> {
        match self.signature {
            SignatureForm::StandardWebhooks => {
                let key = SigningKey::new(&self.secret).map_err(|error| format!("secret: {error}"))?;
                let seconds = self.tolerance.get().as_secs();
                if !(1..=3_600).contains(&seconds) {
                    return Err(format!("tolerance = {}: must be from 1s to 1h", self.tolerance).into());
                }
                Ok(Proof::Standard {
                    key,
                    tolerance: self.tolerance.get(),
                })
            }
            SignatureForm::Hex => {
                if self.secret.reveal().len() < 16 {
                    return Err("secret: has fewer than 16 characters: make one with `limbic secret`".into());
                }
                let header: HeaderName = self
                    .header
                    .parse()
                    .map_err(|_| format!("header: `{}` is not the name of a header", self.header))?;
                Ok(Proof::Hex {
                    key: self.secret.clone(),
                    header: header.as_str().to_owned(),
                })
            }
        }
    }
}

impl Component for SignedWebhook {
    type Settings = SignedWebhookSettings;
    type Product = Source;
    const KIND: Kind = Kind::Connector;
    const NAME: &'static str = "webhook";
    const SUMMARY: &'static str = "Receives signed JSON from another program, by a mapping.";
    const PLACE: Place = Place::Entries("connectors");
    const NEEDS: &'static [Need] = &[Need::Secrets];

    fn check(settings: &SignedWebhookSettings) -> Result<(), Error> {
        settings.proof()?;
        let token = settings.verify_token.as_ref().map(Secret::reveal);
        if token.is_some_and(|token| token.len() < 8) {
            return Err(
                "verify_token: has fewer than 8 characters: make one with `limbic secret`, and give the same to the sender".into(),
            );
        }
        JsonMapping::new(&settings.map)?;
        Ok(())
    }

    fn build(settings: &SignedWebhookSettings, _: &Resources) -> Result<Source, Error> {
        Self::check(settings)?;
        let receiver = Self {
            mapping: JsonMapping::new(&settings.map)?,
            proof: settings.proof()?,
            verify_token: settings.verify_token.clone(),
        };
        Ok(Source::sending(settings.tenant.clone(), Arc::new(receiver)))
    }
}

impl ConnectorComponent for SignedWebhook {
    const TERMS: &'static str = include_str!("terms.toml");
}
