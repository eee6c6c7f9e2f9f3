//! Renders briefs through templates for platforms, and keeps the ads that fit.

use std::collections::{BTreeSet, HashSet};

use limbic_domain::{
    Brief, Campaign, CampaignDraft, Creative, Direction, IntentKind, Platform, Removal, Rendering, Slug,
    TenantId, event_id,
};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use crate::text::{clip, graphemes, hidden_character, one_line, sentence};
use crate::{Campaigns, Occasion, Problem, Settings, SettingsError, Template, built_in};

/// Maximum number of instructions of one rendering. An endless loop in a template is an error and does not block the
/// stage.
const FUEL: u64 = 20_000;
/// Maximum bytes of a text in a brief.
const LONGEST_VALUE: usize = 2_000;

/// The names that a template can use.
fn words(campaign: &Campaign, platform: &Platform, occasion: &Occasion<'_>) -> Value {
    let Brief {
        product,
        promise,
        call_to_action,
        link: _,
        values,
    } = &campaign.brief;
    let values = values.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    Value::from_pairs([
        ("product", Value::from(product.as_str())),
        ("promise", Value::from(promise.as_str())),
        ("call_to_action", Value::from(call_to_action.as_str())),
        ("values", Value::from_pairs(values)),
        (
            "subject",
            Value::from(occasion.subject.replace(['-', '_', '.'], " ")),
        ),
        ("intent", Value::from(occasion.intent.name())),
        ("brands", occasion.brands.iter().copied().collect::<Value>()),
        ("platform", Value::from(platform.name.as_str())),
    ])
}

/// A rendered headline and body.
struct Copy<'a> {
    template: &'a Template,
    headline: String,
    body: String,
}

impl Copy<'_> {
    fn size(&self) -> (usize, usize) {
        (graphemes(&self.headline), graphemes(&self.body))
    }

    fn fits(&self, platform: &Platform) -> bool {
        let (headline, body) = self.size();
        headline <= platform.headline && body <= platform.body
    }
}

/// Compiled templates.
#[derive(Debug)]
pub struct Writer {
    environment: Environment<'static>,
    templates: Vec<Template>,
    variants: usize,
}

impl Writer {
    /// Compiles the templates. The error lists all problems.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut templates = if settings.built_in { built_in() } else { Vec::new() };
        templates.extend(settings.templates.iter().cloned());
        let mut problems = Vec::new();
        if settings.variants == 0 {
            problems.push(Problem::TooSmall {
                name: "variants",
                value: 0,
                least: 1,
            });
        }
        let environment = compile(&templates, &mut problems);
        let writer = Self {
            environment,
            templates,
            variants: settings.variants,
        };
        if problems.is_empty() {
            Ok(writer)
        } else {
            Err(SettingsError { problems })
        }
    }

    /// Renders every campaign with the templates. The error lists all problems.
    pub(crate) fn check(&self, campaigns: &Campaigns) -> Result<(), SettingsError> {
        let mut problems = Vec::new();
        self.check_templates(campaigns, &mut problems);
        for (tenant, campaigns) in campaigns.iter() {
            self.check_tenant(tenant, campaigns, &mut problems);
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SettingsError { problems })
        }
    }

    /// The ads of a campaign on an occasion, ordered by platform, then by template. A template that fails is in the removals, with the rule `render`. The result is a function of the
    /// arguments.
    pub fn write(&self, tenant: &TenantId, campaign: &Campaign, occasion: &Occasion<'_>) -> CampaignDraft {
        let mut draft = CampaignDraft {
            campaign: campaign.id.clone(),
            bid: campaign.bid,
            own_brand: campaign.is_own_brand(occasion.subject),
            brands: campaign.brands.clone(),
            declared: campaign.declared.clone(),
            creatives: Vec::new(),
            removals: Vec::new(),
        };
        for platform in &campaign.platforms {
            let (copies, failures) = self.copies(tenant, campaign, platform, occasion);
            for (template, problem) in failures {
                let reason = format!(
                    "The template {} could not be rendered for {}: {problem}.",
                    template.name, platform.name
                );
                let removed = format!("template/{}", template.name);
                Removal::note(&mut draft.removals, "render", &reason, removed);
            }
            let mut said = HashSet::new();
            draft.creatives.extend(
                fitting(&copies, platform)
                    .into_iter()
                    .filter(|copy| said.insert((copy.headline.clone(), copy.body.clone())))
                    .take(self.variants)
                    .map(|copy| creative(tenant, campaign, platform, copy)),
            );
        }
        draft
    }

    /// Renders every suitable template, whether or not it fits, and lists those that failed.
    fn copies<'a>(
        &'a self,
        tenant: &TenantId,
        campaign: &Campaign,
        platform: &Platform,
        occasion: &Occasion<'_>,
    ) -> (Vec<Copy<'a>>, Vec<(&'a Template, String)>) {
        let words = words(campaign, platform, occasion);
        let mut copies = Vec::new();
        let mut failures = Vec::new();
        let suiting = self
            .templates
            .iter()
            .filter(|template| template.suits(tenant, &campaign.id, &platform.name, occasion));
        for template in suiting {
            match self.render(template, &words) {
                Ok(copy) => copies.push(copy),
                Err(problem) => failures.push((template, problem)),
            }
        }
        (copies, failures)
    }

    fn render<'a>(&self, template: &'a Template, words: &Value) -> Result<Copy<'a>, String> {
        let part = |part: &str| {
            let rendered = self
                .environment
                .get_template(&format!("{}/{part}", template.name))
                .and_then(|compiled| compiled.render(words))
                .map_err(|error| format!("{part}: {}", explain(&error)))?;
            let line = one_line(&rendered);
            match hidden_character(&line) {
                Some(hidden) => Err(format!(
                    "{part}: the result contains the hidden character U+{:04X}",
                    u32::from(hidden)
                )),
                None if line.is_empty() => Err(format!("{part}: the result is empty")),
                None => Ok(line),
            }
        };
        Ok(Copy {
            template,
            headline: part("headline")?,
            body: part("body")?,
        })
    }

    /// The copies of each intention that a template is for, and of none, without brands.
    fn copies_of_all_intents<'a>(
        &'a self,
        tenant: &TenantId,
        campaign: &Campaign,
        platform: &Platform,
        subject: &str,
        direction: Direction,
    ) -> (Vec<Copy<'a>>, Vec<(&'a Template, String)>) {
        let named = self.templates.iter().flat_map(|template| &template.intents);
        let intents: BTreeSet<IntentKind> = named.copied().chain([IntentKind::None]).collect();
        let mut all = (Vec::new(), Vec::new());
        for intent in intents {
            let occasion = Occasion {
                intent,
                ..Occasion::new(subject, direction)
            };
            let (copies, failures) = self.copies(tenant, campaign, platform, &occasion);
            all.0.extend(copies);
            all.1.extend(failures);
        }
        all
    }

    fn check_templates(&self, campaigns: &Campaigns, problems: &mut Vec<Problem>) {
        let mut names = HashSet::new();
        for template in &self.templates {
            if !names.insert(&template.name) {
                problems.push(Problem::TemplateTwice(template.name.clone()));
            }
            let exists = |wanted: &Slug| {
                campaigns.iter().any(|(tenant, campaigns)| {
                    template.tenant.as_ref().is_none_or(|owner| owner == tenant)
                        && campaigns.iter().any(|campaign| campaign.id == *wanted)
                })
            };
            for wanted in template.campaigns.iter().filter(|wanted| !exists(wanted)) {
                problems.push(Problem::UnknownCampaign {
                    template: template.name.clone(),
                    wanted: wanted.to_string(),
                });
            }
        }
    }

    fn check_tenant(&self, tenant: &TenantId, campaigns: &[Campaign], problems: &mut Vec<Problem>) {
        let mut names = HashSet::new();
        for campaign in campaigns {
            if !names.insert(&campaign.id) {
                problems.push(Problem::CampaignTwice {
                    tenant: tenant.clone(),
                    campaign: campaign.id.clone(),
                });
            }
            let before = problems.len();
            check_fields(campaign, &mut |field, problem| {
                problems.push(Problem::Field {
                    tenant: tenant.clone(),
                    campaign: campaign.id.clone(),
                    field,
                    problem,
                });
            });
            if problems.len() == before {
                self.check_fit(tenant, campaign, problems);
            }
        }
    }

    /// Renders the campaign as the stage does, for each of its subjects. A campaign for every subject is rendered with
    /// the longest possible one.
    fn check_fit(&self, tenant: &TenantId, campaign: &Campaign, problems: &mut Vec<Problem>) {
        let longest = "m".repeat(64);
        let subjects: Vec<&str> = if campaign.subjects.is_empty() {
            vec![&longest]
        } else {
            campaign.subjects.iter().map(Slug::as_str).collect()
        };
        let directions = campaign
            .direction
            .map_or_else(|| vec![Direction::Up, Direction::Down], |wanted| vec![wanted]);
        for platform in &campaign.platforms {
            for &direction in &directions {
                for subject in &subjects {
                    let (copies, failures) =
                        self.copies_of_all_intents(tenant, campaign, platform, subject, direction);
                    for (template, problem) in failures {
                        let problem = Problem::Render {
                            tenant: tenant.clone(),
                            campaign: campaign.id.clone(),
                            template: template.name.clone(),
                            problem,
                        };
                        if !problems.contains(&problem) {
                            problems.push(problem);
                        }
                    }
                    if fitting(&copies, platform).is_empty() {
                        problems.push(nothing_fits(tenant, campaign, platform, direction, &copies));
                        break;
                    }
                }
            }
        }
    }
}

/// The copies that fit completely. If there are none, those whose body can be cut without losing too much.
fn fitting<'a>(copies: &[Copy<'a>], platform: &Platform) -> Vec<Copy<'a>> {
    let same = |copy: &Copy<'a>, body: String| Copy {
        template: copy.template,
        headline: copy.headline.clone(),
        body,
    };
    let whole: Vec<_> = copies
        .iter()
        .filter(|copy| copy.fits(platform))
        .map(|copy| same(copy, copy.body.clone()))
        .collect();
    if !whole.is_empty() {
        return whole;
    }
    copies
        .iter()
        .filter(|copy| copy.size().0 <= platform.headline)
        .filter_map(|copy| Some(same(copy, clip(&copy.body, platform.body)?)))
        .collect()
}

fn creative(tenant: &TenantId, campaign: &Campaign, platform: &Platform, copy: Copy<'_>) -> Creative {
    let causes = [
        tenant.as_str(),
        campaign.id.as_str(),
        copy.template.name.as_str(),
        platform.name.as_str(),
        &copy.headline,
        &copy.body,
        &campaign.brief.link,
    ];
    Creative {
        id: event_id("creative", &causes),
        generator: format!("template/{}", copy.template.name),
        ai_generated: false,
        tone: copy.template.tone.clone(),
        rendering: Rendering {
            platform: platform.name.clone(),
            headline: copy.headline,
            body: copy.body,
            link: campaign.brief.link.clone(),
        },
    }
}

fn compile(templates: &[Template], problems: &mut Vec<Problem>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.add_filter("sentence", |text: String| sentence(&text));
    for template in templates {
        for (part, source) in [("headline", &template.headline), ("body", &template.body)] {
            let name = format!("{}/{part}", template.name);
            if let Err(error) = environment.add_template_owned(name, source.clone()) {
                problems.push(Problem::Syntax {
                    template: template.name.clone(),
                    part,
                    problem: explain(&error),
                });
            }
        }
    }
    environment
}

/// Explains the template engine's error to the author of the template.
fn explain(error: &minijinja::Error) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => match error.detail() {
            Some(detail) => format!("a name is undefined ({detail})"),
            None => "it uses a name that is not defined".to_owned(),
        },
        ErrorKind::OutOfFuel => format!("it takes more than {FUEL} steps: does it contain an endless loop?"),
        _ => error.to_string(),
    }
}

fn nothing_fits(
    tenant: &TenantId,
    campaign: &Campaign,
    platform: &Platform,
    direction: Direction,
    copies: &[Copy<'_>],
) -> Problem {
    let closest = copies.iter().min_by_key(|copy| {
        let (headline, body) = copy.size();
        headline.saturating_sub(platform.headline) + body.saturating_sub(platform.body)
    });
    let closest = closest.map_or_else(
        || "no template is for it".to_owned(),
        |copy| {
            let (headline, body) = copy.size();
            format!(
                "the closest, `{}`, needs {headline} and {body}",
                copy.template.name
            )
        },
    );
    Problem::NothingFits {
        tenant: tenant.clone(),
        campaign: campaign.id.clone(),
        platform: platform.name.clone(),
        direction,
        tried: copies.len(),
        headline: platform.headline,
        body: platform.body,
        closest,
    }
}

fn check_fields(campaign: &Campaign, wrong: &mut impl FnMut(String, String)) {
    let Brief {
        product,
        promise,
        call_to_action,
        link,
        values,
    } = &campaign.brief;
    let required = [
        ("brief.product", product),
        ("brief.promise", promise),
        ("brief.call_to_action", call_to_action),
        ("brief.link", link),
    ];
    for (field, text) in required {
        if text.trim().is_empty() {
            wrong(field.to_owned(), "is empty: write it".to_owned());
        }
        check_text(field, text, wrong);
    }
    if !link.is_empty() && !is_web_address(link) {
        wrong(
            "brief.link".to_owned(),
            "is not a web address such as https://example.com/spring".to_owned(),
        );
    }
    for (name, text) in values {
        check_text(&format!("brief.values.{name}"), text, wrong);
    }
    if campaign.platforms.is_empty() {
        wrong(
            "platforms".to_owned(),
            "is empty: name at least one ad platform".to_owned(),
        );
    }
    let mut names = HashSet::new();
    for platform in &campaign.platforms {
        if !names.insert(&platform.name) {
            wrong(
                "platforms".to_owned(),
                format!("`{}` exists twice", platform.name),
            );
        }
        if platform.headline == 0 || platform.body == 0 {
            wrong(
                format!("platforms.{}", platform.name),
                "a limit of 0 graphemes leaves no space for a text".to_owned(),
            );
        }
    }
}

fn check_text(field: &str, text: &str, wrong: &mut impl FnMut(String, String)) {
    if let Some(hidden) = hidden_character(text) {
        wrong(
            field.to_owned(),
            format!(
                "contains the hidden character U+{:04X} (a control, bidirectional or invisible one): remove it",
                u32::from(hidden)
            ),
        );
    }
    if text.len() > LONGEST_VALUE {
        wrong(
            field.to_owned(),
            format!("is {} bytes long, the limit is {LONGEST_VALUE}", text.len()),
        );
    }
}

fn is_web_address(link: &str) -> bool {
    let rest = link
        .strip_prefix("https://")
        .or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or("");
        !host.is_empty()
            && !host.contains('@')
            && !link.chars().any(|c| c.is_whitespace() || "<>\"`\\".contains(c))
    })
}
