//! Secrets of tenants that can be guessed, or that two tenants share, are refused.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use limbic_domain::{Secret, TenantId};

use super::Tenant;

/// Fewest characters of a secret: 16 bytes in hexadecimal.
const LENGTH: usize = 32;
/// Fewest different characters. 32 random hexadecimal digits have fewer with a probability below one in ten million.
const DIFFERENT: usize = 7;

/// Returns an error that names the setting of a weak or shared secret, without the secret.
pub(super) fn check(tenants: &BTreeMap<TenantId, Tenant>) -> anyhow::Result<()> {
    let mut owners: BTreeMap<&str, String> = BTreeMap::new();
    for (tenant, of_tenant) in tenants {
        let keys = of_tenant
            .api_keys
            .iter()
            .enumerate()
            .map(|(place, key)| (format!("tenants.{tenant}.api_keys[{place}]"), key));
        let pseudonyms = &of_tenant.pseudonym_secret;
        let own =
            (!pseudonyms.is_empty()).then(|| (format!("tenants.{tenant}.pseudonym_secret"), pseudonyms));
        for (setting, secret) in own.into_iter().chain(keys) {
            check_strength(&setting, secret)?;
            if let Some(other) = owners.insert(secret.reveal(), setting.clone()) {
                bail!(
                    "{setting}: is the same as {other}: each needs one of its own, because one that two share opens the data of \
                     both; make one with `limbic secret`"
                );
            }
        }
    }
    Ok(())
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
    use super::*;

    fn tenants(of: &[(&str, &str, &[&str])]) -> BTreeMap<TenantId, Tenant> {
        let tenant = |(name, secret, keys): &(&str, &str, &[&str])| {
            let keys = keys.iter().copied().map(Secret::new).collect();
            let tenant = Tenant {
                pseudonym_secret: Secret::new(*secret),
                api_keys: keys,
            };
            (TenantId::new(name).unwrap(), tenant)
        };
        of.iter().map(tenant).collect()
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
