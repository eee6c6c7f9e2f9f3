//! Which providers answer for a model.

use std::borrow::Cow;

use limbic_domain::Slug;

use super::settings::{Route, Target};

/// The chain of the model that a caller names: that of the route with this name, that of the route with the longest matching
/// `NAME*`, or the one target of `PROVIDER/MODEL`. `None` = there is no such model.
pub fn route<'a>(
    routes: &'a [Route],
    has_provider: impl Fn(&Slug) -> bool,
    model: &str,
) -> Option<Cow<'a, [Target]>> {
    if let Some(route) = routes.iter().find(|route| route.model == model) {
        return Some(Cow::Borrowed(&route.chain));
    }
    let beginning = |route: &Route| {
        let beginning = route.model.strip_suffix('*')?;
        model.starts_with(beginning).then_some(beginning.len())
    };
    let matching = routes.iter().filter_map(|route| Some((beginning(route)?, route)));
    if let Some((_, route)) = matching.max_by_key(|(length, _)| *length) {
        return Some(Cow::Borrowed(&route.chain));
    }
    let (provider, model) = model.split_once('/')?;
    let provider = Slug::new(provider).ok().filter(|name| has_provider(name))?;
    let is_named = !model.is_empty();
    is_named.then(|| {
        Cow::Owned(vec![Target {
            provider,
            model: model.to_owned(),
        }])
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(provider: &str, model: &str) -> Target {
        Target {
            provider: Slug::new(provider).unwrap(),
            model: model.to_owned(),
        }
    }

    fn routes(names: &[&str]) -> Vec<Route> {
        let route = |name: &&str| Route {
            model: (*name).to_owned(),
            chain: vec![target("p", name)],
        };
        names.iter().map(route).collect()
    }

    fn found(names: &[&str], model: &str) -> Option<String> {
        let routes = routes(names);
        let chain = route(&routes, |name| name.as_str() == "p", model)?;
        Some(chain[0].model.clone())
    }

    #[test]
    fn a_name_comes_before_a_beginning_and_a_long_beginning_before_a_short_one() {
        let names = ["*", "ad*", "ads", "ads-long*"];
        for (model, expected) in [
            ("ads", "ads"),
            ("ad", "ad*"),
            ("ads-longer", "ads-long*"),
            ("x", "*"),
            ("", "*"),
        ] {
            assert_eq!(found(&names, model).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_provider_and_its_model_are_named_with_a_slash() {
        assert_eq!(found(&["ads"], "p/a/b").as_deref(), Some("a/b"));
        assert_eq!(found(&["ads"], "other/a"), None);
        assert_eq!(found(&["ads"], "p/"), None);
        assert_eq!(found(&["ads"], "nothing"), None);
    }

    proptest! {
        #[test]
        fn a_route_that_is_found_matches_and_no_better_one_exists(
            names in prop::collection::btree_set("[ab]{0,3}\\*?", 0..6),
            model in "[ab]{0,4}",
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            let matches = |name: &&str| {
                name.strip_suffix('*').map_or(*name == model, |beginning| model.starts_with(beginning))
            };
            let result = found(&names, &model);
            prop_assert_eq!(result.is_some(), names.iter().any(&matches));
            if let Some(result) = result {
                prop_assert!(matches(&result.as_str()));
                for other in names.iter().filter(|name| matches(name)) {
                    prop_assert!(result == model || (other.len() <= result.len() && *other != model), "{other} is better than {result}");
                }
            }
        }
    }
}
