//! The subjects that are on hold.

use axum::Json;
use axum::extract::State;
use limbic_domain::{Envelope, Hold, TenantId, Utc, topics};
use limbic_stream::reference::read_table;
use serde::Serialize;

use crate::App;
use crate::auth::Caller;
use crate::problem::Problem;

/// `GET /v1/holds`.
#[derive(Debug, Serialize)]
pub(crate) struct Holds {
    /// By subject.
    items: Vec<HoldView>,
}

#[derive(Debug, Serialize)]
struct HoldView {
    /// The time of the post that raised or last extended the hold.
    at: Utc,
    #[serde(flatten)]
    hold: Hold,
    /// The hold in a sentence.
    reason: String,
}

pub(crate) async fn show(State(app): State<App>, Caller(tenant): Caller) -> Result<Json<Holds>, Problem> {
    let read = tokio::task::spawn_blocking(move || {
        read_table(&app.context.log, topics::HOLDS).map(|table| of(&tenant, table.values()))
    });
    match read.await {
        Ok(Ok(Ok(holds))) => Ok(Json(holds)),
        Ok(Ok(Err(error))) => Err(Problem::busy(format!("a hold cannot be read: {error}"))),
        Ok(Err(error)) => Err(Problem::busy(error.to_string())),
        Err(panic) => Err(Problem::internal(&panic)),
    }
}

/// The holds of one tenant.
fn of<'a>(
    tenant: &TenantId,
    values: impl Iterator<Item = &'a bytes::Bytes>,
) -> Result<Holds, limbic_domain::DecodeError> {
    let mut items = Vec::new();
    for value in values {
        let envelope = Envelope::<Hold>::decode(value)?;
        if envelope.tenant == *tenant {
            let reason = envelope.data.reason();
            items.push(HoldView {
                at: envelope.at,
                hold: envelope.data,
                reason,
            });
        }
    }
    items.sort_by(|a, b| a.hold.subject.cmp(&b.hold.subject));
    Ok(Holds { items })
}

#[cfg(test)]
mod tests {
    use limbic_domain::{PostRef, Slug};

    use super::*;

    #[test]
    fn a_tenant_sees_its_own_holds_by_subject() {
        let slug = |text: &str| Slug::new(text).unwrap();
        let hold = |tenant: &str, subject: &str| {
            let hold = Hold {
                subject: slug(subject),
                since: Utc::from_millis(0),
                until: Utc::from_millis(1),
                posts: 9,
                sensitive_events: 4,
                trigger: PostRef {
                    network: slug("bluesky"),
                    id: "1".into(),
                },
            };
            let tenant = TenantId::new(tenant).unwrap();
            bytes::Bytes::from(Envelope::new(tenant, "h".into(), Utc::from_millis(0), hold).encode())
        };
        let table = [
            hold("mine", "tennis"),
            hold("other", "golf"),
            hold("mine", "football"),
        ];
        let holds = of(&TenantId::new("mine").unwrap(), table.iter()).unwrap();
        let subjects: Vec<_> = holds
            .items
            .iter()
            .map(|item| item.hold.subject.as_str())
            .collect();
        assert_eq!(subjects, ["football", "tennis"]);
        let json = serde_json::to_value(&holds).unwrap();
        assert!(
            json["items"][0]["reason"]
                .as_str()
                .unwrap()
                .contains("no ad runs")
        );
        assert!(of(&TenantId::default(), [bytes::Bytes::from_static(b"{}")].iter()).is_err());
    }
}
