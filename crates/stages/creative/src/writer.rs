//! Renders briefs through templates for platforms, and keeps the ads that fit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use limbic_domain::{
    Campaign, CampaignDraft, Creative, Direction, IntentKind, Platform, Removal, ReviewMode, Slug, TenantId,
};
use limbic_fit::AdFormat;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};

use crate::copy::{Copy, PictureFormat, Room, allowed, chosen, creative, edited, fitting, painted, words};
use crate::fields::check_fields;
use crate::reviews::Reviewed;
use crate::template::PLEASANT;
use crate::text::{hidden_character, one_line, sentence};
use crate::{
    Campaigns, Occasion, Problem, ReviewSettings, Reviews, Settings, SettingsError, Template, Texts, built_in,
};

/// Maximum number of instructions of one rendering. An endless loop in a template is an error and does not block the
/// stage.
const FUEL: u64 = 20_000;

/// Compiled templates.
#[derive(Debug)]
pub struct Writer {
    environment: Environment<'static>,
    templates: Vec<Template>,
    formats: BTreeMap<Slug, &'static AdFormat>,
    pictures: BTreeMap<Slug, PictureFormat>,
    variants: usize,
    /// How many ads of a platform have a second form over a picture of a model.
    painted: usize,
    review: ReviewSettings,
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
        check_emotions(&templates, &mut problems);
        let wrong = settings.generate.problems();
        problems.extend(wrong.map(|(name, problem)| Problem::Generate { name, problem }));
        let wrong = settings.paint.problems(!settings.pictures.is_empty());
        problems.extend(wrong.map(|(name, problem)| Problem::Paint { name, problem }));
        let trusted = settings.review.templates.iter();
        let unknown = trusted.filter(|name| templates.iter().all(|template| template.name != **name));
        problems.extend(unknown.cloned().map(Problem::UnknownTemplate));
        let formats = known_formats(&settings.formats, &mut problems);
        let pictures = known_pictures(&settings.pictures, &formats, &mut problems);
        let writer = Self {
            environment,
            templates,
            formats,
            pictures,
            variants: settings.variants,
            painted: settings.paint.ads,
            review: settings.review.clone(),
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

    /// The ads of a campaign on an occasion, ordered by platform, those of templates before those of models, and those over a picture of a
    /// model last, with what people decided. A template that
    /// fails is in the removals, with the rule `render`. The result is a function of the arguments.
    pub fn write(
        &self,
        tenant: &TenantId,
        campaign: &Campaign,
        occasion: &Occasion<'_>,
        (reviews, texts): (&Reviews, &Texts),
    ) -> CampaignDraft {
        let review = self.review.mode_of(tenant, campaign);
        let mut draft = CampaignDraft {
            campaign: campaign.id.clone(),
            bid: campaign.bid,
            own_brand: campaign.is_own_brand(occasion.subject),
            brands: campaign.brands.clone(),
            declared: campaign.declared.clone(),
            review,
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
            let fitting = fitting(&copies, self.room(platform));
            let allowed = allowed(fitting, campaign, platform, &mut draft.removals);
            let of_templates: Vec<Creative> = allowed
                .into_iter()
                .map(|copy| creative(tenant, campaign, self.room(platform), copy))
                .collect();
            let removals = &mut draft.removals;
            let place = (platform, self.room(platform));
            let of_models = texts.ads((tenant, campaign), place, occasion.direction, removals);
            let kept = of_templates
                .into_iter()
                .chain(of_models)
                .filter_map(|ad| self.reviewed(ad, (tenant, campaign, platform), (review, reviews), removals))
                .collect();
            let chosen = chosen(kept, self.variants);
            let background = texts.background((tenant, campaign), place.1);
            let over_a_picture: Vec<Creative> = chosen
                .iter()
                .take(self.painted)
                .filter_map(|ad| painted(ad, (tenant, campaign), background?))
                .filter_map(|ad| self.reviewed(ad, (tenant, campaign, platform), (review, reviews), removals))
                .collect();
            draft.creatives.extend(chosen);
            draft.creatives.extend(over_a_picture);
        }
        draft
    }

    /// An ad after what people decided. `None` if it is left out, which is noted.
    fn reviewed(
        &self,
        ad: Creative,
        (tenant, campaign, platform): (&TenantId, &Campaign, &Platform),
        (mode, reviews): (ReviewMode, &Reviews),
        removals: &mut Vec<Removal>,
    ) -> Option<Creative> {
        let id = format!("creative/{}", ad.id);
        let (rule, reason) = match reviews.apply(ad, (tenant, &campaign.id), (mode, &self.review)) {
            Reviewed::Kept(ad) => return Some(ad),
            Reviewed::Rejected(reason) => ("rejected", reason),
            Reviewed::Edited(ad) => match edited(ad, (tenant, campaign), self.room(platform)) {
                Ok(ad) => return Some(ad),
                Err((rule, reason)) => (rule, reason),
            },
        };
        Removal::note(removals, rule, &reason, id);
        None
    }

    /// What a person's texts of an ad would become: the ad with these texts, or the field and the reason why it may not have them. The
    /// safety gate is not asked.
    pub fn edit(&self, tenant: &TenantId, campaign: &Campaign, ad: &Creative) -> Result<Creative, String> {
        let platform = campaign
            .platforms
            .iter()
            .find(|platform| platform.name == ad.rendering.platform)
            .ok_or_else(|| format!("The campaign no longer runs on {}.", ad.rendering.platform))?;
        edited(ad.clone(), (tenant, campaign), self.room(platform)).map_err(|(_, reason)| reason)
    }

    pub(crate) fn room<'a>(&'a self, platform: &'a Platform) -> Room<'a> {
        Room {
            platform,
            format: self.formats.get(&platform.name).copied(),
            picture: self.pictures.get(&platform.name),
        }
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
            .filter(|template| template.suits(tenant, campaign, platform, occasion));
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

    /// The copies of each intention and emotion that a template is for, and of none, for posts about the product and about others.
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
        let named = self.templates.iter().flat_map(|template| &template.emotions);
        let emotions: BTreeSet<Option<&str>> = named.map(|name| Some(name.as_str())).chain([None]).collect();
        let mut all = (Vec::new(), Vec::new());
        let occasions = intents.iter().flat_map(|&intent| {
            let emotions = emotions.iter().map(move |&emotion| (intent, emotion));
            emotions.flat_map(|(intent, emotion)| [(intent, emotion, false), (intent, emotion, true)])
        });
        for (intent, emotion, own) in occasions {
            // A template without conditions is rendered once.
            let first = intent == IntentKind::None && emotion.is_none() && !own;
            let conditional = |template: &Template| {
                first || template.own_brand || !template.intents.is_empty() || !template.emotions.is_empty()
            };
            let occasion = Occasion {
                intent,
                emotion,
                brands: own
                    .then_some(campaign.brief.product.as_str())
                    .into_iter()
                    .collect(),
                ..Occasion::new(subject, direction)
            };
            let (copies, failures) = self.copies(tenant, campaign, platform, &occasion);
            all.0
                .extend(copies.into_iter().filter(|copy| conditional(copy.template)));
            all.1
                .extend(failures.into_iter().filter(|(template, _)| conditional(template)));
        }
        all
    }

    /// Whether none of the copies fits and is allowed.
    fn nothing_fits(&self, campaign: &Campaign, platform: &Platform, copies: &[Copy<'_>]) -> bool {
        let fitting = fitting(copies, self.room(platform));
        allowed(fitting, campaign, platform, &mut Vec::new()).is_empty()
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
                    if self.nothing_fits(campaign, platform, &copies) {
                        problems.push(nothing_fits(tenant, campaign, platform, direction, &copies));
                        break;
                    }
                }
            }
        }
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

/// Lists templates that an unpleasant emotion would choose.
fn check_emotions(templates: &[Template], problems: &mut Vec<Problem>) {
    for template in templates {
        let wanted = template.emotions.iter();
        for emotion in wanted.filter(|emotion| !PLEASANT.contains(&emotion.as_str())) {
            problems.push(Problem::Emotion {
                template: template.name.clone(),
                emotion: emotion.clone(),
                allowed: PLEASANT.join(", "),
            });
        }
    }
}

/// The formats of ad platforms that the settings name.
fn known_formats(
    named: &BTreeMap<Slug, String>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Slug, &'static AdFormat> {
    let mut known = BTreeMap::new();
    for (platform, name) in named {
        let (of, format) = name.split_once('/').unwrap_or((name, ""));
        match limbic_fit::format(of, format) {
            Ok(format) => {
                known.insert(platform.clone(), format);
            }
            Err(error) => problems.push(Problem::UnknownFormat {
                platform: platform.clone(),
                problem: error.to_string(),
            }),
        }
    }
    known
}

/// The pictures of ad platforms that the settings name.
fn known_pictures(
    named: &BTreeMap<Slug, String>,
    formats: &BTreeMap<Slug, &'static AdFormat>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<Slug, PictureFormat> {
    let mut known = BTreeMap::new();
    for (platform, name) in named {
        let problem = match formats.get(platform) {
            None => format!("name the format of the platform in `creative.formats.{platform}` too"),
            Some(format) => match picture_of(format, name) {
                Some(picture) => {
                    known.insert(platform.clone(), picture);
                    continue;
                }
                None if format.images.is_empty() => format!("{} takes no picture", format.name()),
                None => {
                    let images: Vec<&str> = format.images.iter().map(|image| &*image.name).collect();
                    format!(
                        "{} has no image `{name}`: use one of {}",
                        format.name(),
                        images.join(", ")
                    )
                }
            },
        };
        problems.push(Problem::Picture {
            platform: platform.clone(),
            problem,
        });
    }
    known
}

fn picture_of(format: &AdFormat, name: &str) -> Option<PictureFormat> {
    let image = format.images.iter().find(|image| image.name == name)?;
    Some(PictureFormat {
        image: format!("{}/{name}", format.name()),
        name: Slug::new(name).ok()?,
        width: image.width,
        height: image.height,
    })
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
