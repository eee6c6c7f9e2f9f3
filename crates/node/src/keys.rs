//! The secrets of tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use limbic_domain::TenantId;

use crate::settings::Settings;

/// The hashes of API keys, and the tenant of each.
pub(super) fn api_keys(settings: &Settings) -> BTreeMap<[u8; 32], TenantId> {
    let keys = settings.tenants.iter().flat_map(|(tenant, of_tenant)| {
        let keys = of_tenant.api_keys.iter().chain(&of_tenant.reviewer_keys);
        keys.map(|key| (limbic_api::hash_key(key.reveal()), tenant.clone()))
    });
    keys.collect()
}

/// The hashes of the reviewers' keys of each tenant that has some.
pub(super) fn reviewer_keys(settings: &Settings) -> BTreeMap<TenantId, BTreeSet<[u8; 32]>> {
    let with_keys = settings
        .tenants
        .iter()
        .filter(|(_, of_tenant)| !of_tenant.reviewer_keys.is_empty());
    with_keys
        .map(|(tenant, of_tenant)| {
            let keys = of_tenant.reviewer_keys.iter();
            (
                tenant.clone(),
                keys.map(|key| limbic_api::hash_key(key.reveal())).collect(),
            )
        })
        .collect()
}

/// The hashes of the operators' keys.
pub(super) fn operator_keys(settings: &Settings) -> BTreeSet<[u8; 32]> {
    let keys = settings.api.operator_keys.iter();
    keys.map(|key| limbic_api::hash_key(key.reveal())).collect()
}

/// The key of each tenant's pseudonyms. It is derived from the tenant's secret. If no other node needs it, it can be
/// generated and kept in the data folder.
pub(super) fn pseudonym_keys(settings: &Settings) -> anyhow::Result<BTreeMap<TenantId, [u8; 32]>> {
    let is_alone = settings.is_embedded() || settings.stream.single_node;
    let mut keys = BTreeMap::new();
    for tenant in settings.tenant_ids() {
        let secret = settings.pseudonym_secret(&tenant);
        let key = if !secret.is_empty() {
            blake3::derive_key("limbic 2026-11 pseudonym key", secret.as_bytes())
        } else if is_alone {
            kept_key(&settings.data_dir, &tenant)?
        } else {
            bail!("tenants.{tenant}.pseudonym_secret is not set, and other nodes need it too");
        };
        keys.insert(tenant, key);
    }
    Ok(keys)
}

/// The key in the data folder. It is generated at the first start, and only its owner can read it. The file is complete or not
/// there, whenever the process is killed. An empty file was left by an older version that was killed, and was never used.
fn kept_key(folder: &Path, tenant: &TenantId) -> anyhow::Result<[u8; 32]> {
    let path = folder.join(format!("pseudonym-{tenant}.key"));
    match std::fs::read(&path) {
        Ok(bytes) if !bytes.is_empty() => {
            return bytes.try_into().map_err(|_| {
                anyhow::anyhow!(
                    "{} is damaged: restore it from a backup, because a new key would give every person a new pseudonym",
                    path.display()
                )
            });
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    let mut key = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("no source of randomness")?;
    std::io::Read::read_exact(&mut source, &mut key).context("no source of randomness")?;
    // A new temporary file can be read by its owner only.
    let mut aside = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    aside
        .write_all(&key)
        .and_then(|()| aside.as_file().sync_all())
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    aside
        .persist(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_and_an_interrupted_first_start_does_not_prevent_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let tenant = TenantId::new("acme").unwrap();
        let path = folder.path().join("pseudonym-acme.key");
        std::fs::write(&path, b"").unwrap();
        let key = kept_key(folder.path(), &tenant).unwrap();
        assert_eq!(kept_key(folder.path(), &tenant).unwrap(), key);
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777,
            0o600
        );
        // A damaged key is not replaced: it may have been used.
        std::fs::write(&path, &key[..20]).unwrap();
        let error = kept_key(folder.path(), &tenant).unwrap_err();
        assert!(error.to_string().contains("restore it"), "{error}");
    }
}
