//! `limbic components`.

use std::process::ExitCode;

use limbic_component::Need;
use limbic_node::registry::{COMPONENTS, usage};

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
        let mut kind = None;
        for component in &COMPONENTS {
            if kind != Some(component.kind) {
                let gap = if kind.is_some() { "\n" } else { "" };
                say!("{gap}{}: {}", component.kind.name(), usage(component.kind).text())?;
                kind = Some(component.kind);
            }
            let needs: Vec<&str> = component.needs.iter().copied().map(Need::name).collect();
            let place = component.place.to_string();
            say!("  {:<11} {place:<44} {}", component.name, component.summary)?;
            if !needs.is_empty() {
                say!("  {:<11} needs {}", "", needs.join(", "))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
