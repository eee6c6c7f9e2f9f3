//! `limbic components`.

use std::process::ExitCode;

use limbic_component::Need;
use limbic_node::registry::COMPONENTS;

use crate::cli::ComponentsArgs;

pub fn run(args: &ComponentsArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        say!(
            "{}",
            serde_json::to_string_pretty(&limbic_node::components_json())?
        )?;
    } else if args.schema {
        say!(
            "{}",
            serde_json::to_string_pretty(&limbic_node::settings_schema())?
        )?;
    } else if args.markdown {
        say!("{}", limbic_node::settings_page().trim_end())?;
    } else {
        say!(
            "{:<12} {:<10} {:<20} {:<76} needs",
            "kind",
            "name",
            "section",
            "what it does"
        )?;
        for component in &COMPONENTS {
            let needs: Vec<&str> = component.needs.iter().copied().map(Need::name).collect();
            say!(
                "{:<12} {:<10} {:<20} {:<76} {}",
                component.kind.name(),
                component.name,
                format!("[{}]", component.section),
                component.summary,
                needs.join(", ")
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
