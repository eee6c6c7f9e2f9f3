//! Secrets that can be guessed, or that have two uses, are refused.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use limbic_domain::Secret;

use super::Settings;

/// Fewest characters of a secret: 16 bytes in hexadecimal.
const LENGTH: usize = 32;
/// Fewest different characters. 32 random hexadecimal digits have fewer with a probability below one in ten million.
const DIFFERENT: usize = 7;

/// Returns an error that names the setting of a weak or shared secret, without the secret.
pub(super) fn check(settings: &Settings) -> anyhow::Result<()> {
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    for (setting, secret) in all(settings) {
        check_strength(&setting, secret)?;
        if let Some(other) = owners.insert(secret.reveal(), setting.clone()) {
            bail!(
                "{setting}: is the same as {other}: each needs one of its own, because one that two share opens the data of both; make \
                 one with `limbic secret`"
            );
        }
    }
    Ok(())
}

/// Every secret of tenants, operators and stores that this program makes, with the name of its setting.
fn all(settings: &Settings) -> impl Iterator<Item = (String, &Secret)> {
    let of_tenants = settings.tenants.iter().flat_map(|(tenant, of_tenant)| {
        let pseudonyms = Some(&of_tenant.pseudonym_secret).filter(|secret| !secret.is_empty());
        let pseudonyms = pseudonyms.map(|secret| (format!("tenants.{tenant}.pseudonym_secret"), secret));
        let keys = numbered(format!("tenants.{tenant}.api_keys"), &of_tenant.api_keys);
        let reviewers = numbered(
            format!("tenants.{tenant}.reviewer_keys"),
            &of_tenant.reviewer_keys,
        );
        pseudonyms.into_iter().chain(keys).chain(reviewers)
    });
    let of_operators = numbered("api.operator_keys".to_owned(), &settings.api.operator_keys);
    of_tenants
        .chain(of_operators)
        .chain(numbered("data_keys".to_owned(), &settings.data_keys))
}

fn numbered(setting: String, secrets: &[Secret]) -> impl Iterator<Item = (String, &Secret)> {
    let secrets = secrets.iter().enumerate();
    secrets.map(move |(place, secret)| (format!("{setting}[{place}]"), secret))
}

fn check_strength(setting: &str, secret: &Secret) -> anyhow::Result<()> {
    let text = secret.reveal();
    let characters = text.chars().count();
    let different = text.chars().collect::<BTreeSet<_>>().len();
    if characters < LENGTH || different < DIFFERENT {
        bail!(
            "{setting}: can be guessed: it has {characters} characters, {different} of them different; give 32 random bytes, as \
             `limbic secret` and `openssl rand -hex 32` print them"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use limbic_domain::TenantId;

    use super::*;
    use crate::settings::Tenant;

    fn tenants(of: &[(&str, &str, &[&str])]) -> Settings {
        let tenant = |(name, secret, keys): &(&str, &str, &[&str])| {
            let keys = keys.iter().copied().map(Secret::new).collect();
            let tenant = Tenant {
                pseudonym_secret: Secret::new(*secret),
                api_keys: keys,
                reviewer_keys: Vec::new(),
            };
            (TenantId::new(name).unwrap(), tenant)
        };
        Settings {
            tenants: of.iter().map(tenant).collect(),
            ..Settings::default()
        }
    }

    fn with_operator(mut settings: Settings, key: &str) -> Settings {
        settings.api.operator_keys.push(Secret::new(key));
        settings
    }

    const A: &str = "4f1d8a0c9b7e6253f0a1b2c3d4e5f607";
    const B: &str = "90b1c2d3e4f5061728394a5b6c7d8e9f";
    const C: &str = "cafe0123456789deadbeef0123456789";

    #[test]
    fn weak_and_shared_secrets_are_refused_by_their_setting_and_are_not_printed() {
        let repeated = "a".repeat(64);
        for (given, setting) in [
            (
                tenants(&[("acme", "short", &[])]),
                "tenants.acme.pseudonym_secret",
            ),
            (
                tenants(&[("acme", &repeated, &[])]),
                "tenants.acme.pseudonym_secret",
            ),
            (
                tenants(&[("acme", A, &[B, "0123456789abcdef"])]),
                "tenants.acme.api_keys[1]",
            ),
            (
                tenants(&[("acme", A, &[]), ("best", A, &[])]),
                "tenants.best.pseudonym_secret",
            ),
            (
                tenants(&[("acme", A, &[B]), ("best", C, &[B])]),
                "tenants.best.api_keys[0]",
            ),
            (tenants(&[("acme", A, &[A])]), "tenants.acme.api_keys[0]"),
            (
                with_operator(tenants(&[("acme", A, &[B])]), B),
                "api.operator_keys[0]",
            ),
            (
                with_operator(tenants(&[("acme", A, &[B])]), "0123456789abcdef"),
                "api.operator_keys[0]",
            ),
        ] {
            let error = check(&given).unwrap_err().to_string();
            assert!(
                error.starts_with(setting) && error.contains("limbic secret"),
                "{error}"
            );
            for secret in [A, B, C, "0123456789abcdef", &repeated] {
                assert!(!error.contains(secret), "{error}");
            }
        }
        check(&tenants(&[
            ("acme", A, &[B]),
            ("best", C, &[]),
            ("third", "", &[]),
        ]))
        .unwrap();
    }
}
