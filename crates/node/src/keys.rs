//! The secrets of tenants.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use limbic_domain::TenantId;

use crate::settings::Settings;

/// The hashes of API keys, and the tenant of each.
pub(super) fn api_keys(settings: &Settings) -> BTreeMap<[u8; 32], TenantId> {
    let keys = settings.tenants.iter().flat_map(|(tenant, of_tenant)| {
        of_tenant
            .api_keys
            .iter()
            .map(|key| (limbic_api::hash_key(key.reveal()), tenant.clone()))
    });
    keys.collect()
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

/// The key in the data folder. It is generated at the first start, and only its owner can read it.
fn kept_key(folder: &Path, tenant: &TenantId) -> anyhow::Result<[u8; 32]> {
    let path = folder.join(format!("pseudonym-{tenant}.key"));
    if let Ok(bytes) = std::fs::read(&path) {
        return bytes.try_into().map_err(|_| {
            anyhow::anyhow!(
                "{} is damaged: restore it from a backup, because a new key would give every person a new pseudonym",
                path.display()
            )
        });
    }
    let mut key = [0; 32];
    let mut source = std::fs::File::open("/dev/urandom").context("no source of randomness")?;
    std::io::Read::read_exact(&mut source, &mut key).context("no source of randomness")?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(&key)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(key)
}
