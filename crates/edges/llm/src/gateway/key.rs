//! The key under which a reply is cached.

use limbic_domain::TenantId;
use serde_json::Value;

use crate::Generate;

/// The key of a cached reply.
pub type CacheKey = [u8; 32];

/// BLAKE3 over the tenant and every field of the request, in one canonical form. Requests that differ in any field, and the same
/// request of different tenants, have different keys. The order of keys in a JSON Schema does not count.
pub fn cache_key(tenant: &TenantId, request: &Generate) -> CacheKey {
    // A new field of the request does not compile here until it is part of the key.
    let Generate {
        model,
        system,
        prompt,
        max_tokens,
        temperature,
        seed,
        schema,
    } = request;
    let mut form = Form(blake3::Hasher::new_derive_key("limbic llm cache 1"));
    form.text(tenant.as_str());
    form.text(model);
    form.option(system.as_ref(), |form, system| form.text(system));
    form.text(prompt);
    form.number(u64::from(*max_tokens));
    // 0 and -0 are the same temperature.
    form.option(temperature.as_ref(), |form, temperature| {
        form.number((temperature + 0.0).to_bits());
    });
    form.option(seed.as_ref(), |form, seed| form.number(seed.cast_unsigned()));
    form.option(schema.as_ref(), Form::value);
    *form.0.finalize().as_bytes()
}

/// Writes values so that no two different sequences of values have the same bytes: each has a fixed length, or its length first.
struct Form(blake3::Hasher);

impl Form {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.0.update(&[u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.tag(0),
            Value::Bool(value) => self.tag(1 + u8::from(*value)),
            Value::Number(number) => {
                self.tag(3);
                self.text(&number.to_string());
            }
            Value::String(text) => {
                self.tag(4);
                self.text(text);
            }
            Value::Array(items) => {
                self.tag(5);
                self.number(items.len() as u64);
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => {
                self.tag(6);
                self.number(fields.len() as u64);
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                for (name, value) in fields {
                    self.text(name);
                    self.value(value);
                }
            }
        }
    }

    fn tag(&mut self, tag: u8) {
        self.0.update(&[tag]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            "[ab]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[ab]{0,2}", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn request() -> impl Strategy<Value = Generate> {
        (
            ("[ab]{0,2}", prop::option::of("[ab]{0,2}"), "[ab]{0,2}", 0u32..3),
            (
                prop::option::of(prop::sample::select(vec![0.0, 0.5, 1.0])),
                prop::option::of(-1i64..2),
                prop::option::of(value()),
            ),
        )
            .prop_map(
                |((model, system, prompt, max_tokens), (temperature, seed, schema))| Generate {
                    model,
                    system,
                    prompt,
                    max_tokens,
                    temperature,
                    seed,
                    schema,
                },
            )
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn two_requests_have_one_key_if_and_only_if_they_are_equal_and_of_one_tenant(
            a in request(), b in request(), same in any::<bool>(), one_tenant in any::<bool>(),
        ) {
            let b = if same { a.clone() } else { b };
            let other = if one_tenant { "acme" } else { "best" };
            let equal = cache_key(&tenant("acme"), &a) == cache_key(&tenant(other), &b);
            prop_assert_eq!(equal, one_tenant && a == b);
        }
    }

    #[test]
    fn the_order_of_a_schemas_keys_and_the_sign_of_zero_do_not_count() {
        let request = |schema: &str, temperature| Generate {
            model: "m".into(),
            system: None,
            prompt: "p".into(),
            max_tokens: 1,
            temperature: Some(temperature),
            seed: None,
            schema: Some(serde_json::from_str(schema).unwrap()),
        };
        let key = |schema, temperature| cache_key(&tenant("acme"), &request(schema, temperature));
        assert_eq!(
            key(r#"{"a": 1, "b": {"c": 2, "d": 3}}"#, 0.0),
            key(r#"{"b": {"d": 3, "c": 2}, "a": 1}"#, -0.0)
        );
        assert_ne!(key(r#"{"a": 1}"#, 0.0), key(r#"{"a": 1.0}"#, 0.0));
        assert_eq!(
            json!({"a": 1}),
            serde_json::from_str::<Value>(r#"{"a": 1}"#).unwrap()
        );
    }
}
