//! Settings that several nodes on one log must share.
//!
//! Each node has a part of the partitions. So the files of a node contain only a part of the data: a view in SQLite would
//! answer with the events of some partitions only. On Kafka such settings are refused, unless `stream.single_node` says
//! that there is no other node.

use std::fmt::Write as _;

use limbic_domain::TenantId;
use limbic_metrics::Influx;

use crate::settings::Settings;

/// A setting that nodes on a shared log need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unshared {
    /// The setting, as in the settings file.
    pub(crate) setting: String,
    /// The problem and its reason.
    pub(crate) problem: String,
    /// Shell commands or settings that correct it.
    pub(crate) remedy: String,
}

/// All reasons why this node must not share its log with others. Empty if it may, or if it is the only node.
pub(crate) fn unshared(settings: &Settings) -> Vec<Unshared> {
    if settings.is_embedded() || settings.stream.single_node {
        return Vec::new();
    }
    let tenants = settings.tenant_ids().into_iter();
    let secrets = tenants
        .filter(|tenant| settings.pseudonym_secret(tenant).is_empty())
        .map(|tenant| missing_secret(&tenant));
    let mut unshared: Vec<Unshared> = secrets.collect();
    if settings.view.is_embedded() {
        unshared.push(Unshared {
            setting: "view".into(),
            problem: "is `embedded`: each node would answer with the events of its own partitions".into(),
            remedy: "export LIMBIC_VIEW=postgres://USER:PASSWORD@HOST/DATABASE".into(),
        });
    }
    unshared.extend(unshared_series(settings));
    unshared
}

fn missing_secret(tenant: &TenantId) -> Unshared {
    let name = tenant.as_str();
    // In a shell, the name of a variable can contain letters, digits and `_`.
    let remedy = if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        let variable = name.to_uppercase();
        format!(
            "export LIMBIC_TENANTS__{variable}__PSEUDONYM_SECRET=$(openssl rand -hex 32)  # once, then the same on every node"
        )
    } else {
        format!(
            "in the settings file: [tenants.{name}] pseudonym_secret = \"…\" (make one with `openssl rand -hex 32`)"
        )
    };
    Unshared {
        setting: format!("tenants.{name}.pseudonym_secret"),
        problem: "is not set: each node would give a person a different pseudonym. Keep the secret: a new one gives \
                  every person a new pseudonym"
            .into(),
        remedy,
    }
}

fn unshared_series(settings: &Settings) -> Option<Unshared> {
    let url = "export LIMBIC_SERIES=http://HOST:8086";
    let missing = settings.section::<Influx>().missing();
    let is_embedded = settings.series.is_embedded();
    if !is_embedded && missing.is_empty() {
        return None;
    }
    let mut remedy = if is_embedded {
        url.to_owned()
    } else {
        "export".to_owned()
    };
    for name in &missing {
        let _ = write!(remedy, " LIMBIC_INFLUXDB__{}=…", name.to_uppercase());
    }
    let problem = if is_embedded {
        "is `embedded`: each node would answer with the sums of its own partitions".to_owned()
    } else {
        format!(
            "names an InfluxDB, but influxdb.{} is not set",
            missing.join(", influxdb.")
        )
    };
    Some(Unshared {
        setting: "series".into(),
        problem,
        remedy,
    })
}

/// Returns an error if [`unshared`] finds a reason. The error lists every reason and its correction.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let unshared = unshared(settings);
    if unshared.is_empty() {
        return Ok(());
    }
    let mut text = format!(
        "the nodes on {} must share these settings; give every node the same values:\n",
        settings.log
    );
    for one in &unshared {
        let _ = writeln!(text, "\n  {} {}\n      {}", one.setting, one.problem, one.remedy);
    }
    text.push_str("\n  Or, if there is no other node on this log: --set stream.single_node=true");
    Err(anyhow::anyhow!(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Tenant;
    use limbic_domain::{ConnectionUrl, Secret};
    use limbic_metrics::InfluxSettings;

    fn on_kafka() -> Settings {
        Settings {
            log: ConnectionUrl::new("kafka://127.0.0.1:9092"),
            ..Settings::default()
        }
    }

    fn names(settings: &Settings) -> Vec<String> {
        unshared(settings).into_iter().map(|one| one.setting).collect()
    }

    #[test]
    fn all_missing_settings_are_listed_together_with_their_corrections() {
        let mut settings = on_kafka();
        let all = ["tenants.default.pseudonym_secret", "view", "series"];
        assert_eq!(names(&settings), all);
        let error = check(&settings).unwrap_err().to_string();
        for part in all.into_iter().chain([
            "LIMBIC_TENANTS__DEFAULT__PSEUDONYM_SECRET=$(openssl rand -hex 32)",
            "LIMBIC_VIEW=postgres://",
            "LIMBIC_SERIES=http://",
            "LIMBIC_INFLUXDB__ORG=… LIMBIC_INFLUXDB__BUCKET=… LIMBIC_INFLUXDB__TOKEN=…",
            "stream.single_node=true",
        ]) {
            assert!(error.contains(part), "{part}: {error}");
        }

        settings.view = ConnectionUrl::new("postgres://u:p@db/limbic");
        settings.series = ConnectionUrl::new("http://influx:8086");
        settings.section_mut::<Influx>().org = "limbic".into();
        let secret = Tenant {
            pseudonym_secret: Secret::new("0123456789abcdef"),
            ..Tenant::default()
        };
        settings.tenants = [
            (TenantId::new("acme").unwrap(), secret),
            (TenantId::new("north-west").unwrap(), Tenant::default()),
        ]
        .into();
        let left = unshared(&settings);
        assert_eq!(
            names(&settings),
            ["tenants.north-west.pseudonym_secret", "series"]
        );
        assert!(left[0].remedy.contains("[tenants.north-west]"), "{left:?}");
        assert!(
            left[1].problem.contains("influxdb.bucket, influxdb.token"),
            "{left:?}"
        );

        settings.tenants.remove(&TenantId::new("north-west").unwrap());
        *settings.section_mut::<Influx>() = InfluxSettings {
            org: "limbic".into(),
            bucket: "limbic".into(),
            token: Secret::new("token"),
        };
        assert_eq!(names(&settings), [""; 0]);
        check(&settings).unwrap();
    }

    #[test]
    fn a_single_node_may_use_embedded_stores() {
        check(&Settings::default()).unwrap();
        let mut settings = on_kafka();
        settings.stream.single_node = true;
        check(&settings).unwrap();
    }
}
