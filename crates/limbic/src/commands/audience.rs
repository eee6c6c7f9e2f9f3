//! `limbic audience`.

use std::fs::File;
use std::io::{Read, stdin};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use limbic_ad_platforms::customer_list::{Contact, FIELDS, ListFormat};

use crate::cli::AudienceCommand;

/// Rejected rows shown in full.
const SHOWN: usize = 10;

pub fn run(command: &AudienceCommand) -> anyhow::Result<ExitCode> {
    let AudienceCommand::Export { file, platform, map } = command;
    let format = ListFormat::named(platform).context("the platform is not known")?;
    let (written, rejected) = if file.as_os_str() == "-" {
        export(stdin().lock(), map, format)?
    } else {
        let list = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        export(list, map, format)?
    };
    eprintln!("{written} contacts hashed, {rejected} rejected; nothing is stored");
    if written == 0 {
        bail!("no contact of the list can be matched");
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a list with a header line, and prints it hashed. Returns how many contacts were printed, and how many rejected.
fn export(list: impl Read, map: &str, format: ListFormat) -> anyhow::Result<(u64, u64)> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(list);
    let headers = reader.headers().context("the list has no header line")?.clone();
    let columns = columns(&headers, map)?;
    say!("{}", format.headers().join(","))?;
    let (mut written, mut rejected) = (0, 0);
    for (number, row) in (1_u64..).zip(reader.records()) {
        let row = row.with_context(|| format!("row {number} is not CSV"))?;
        let field = |place: usize| {
            let column = columns[place];
            column.and_then(|column| row.get(column)).unwrap_or("").to_owned()
        };
        let contact = Contact {
            email: field(0),
            phone: field(1),
            first_name: field(2),
            last_name: field(3),
            country: field(4),
            zip: field(5),
        };
        match contact.hashed(format) {
            Ok(hashed) => {
                let mut line = csv::Writer::from_writer(Vec::new());
                line.write_record(&hashed)?;
                let line = line.into_inner().map_err(csv::IntoInnerError::into_error)?;
                say!("{}", String::from_utf8(line)?.trim_end())?;
                written += 1;
            }
            Err(problem) => {
                if rejected < SHOWN as u64 {
                    eprintln!("row {number}: {problem}");
                }
                rejected += 1;
            }
        }
    }
    Ok((written, rejected))
}

/// The column of each of [`FIELDS`]: the one that `map` names, or one of the field's own name.
fn columns(headers: &csv::StringRecord, map: &str) -> anyhow::Result<[Option<usize>; 6]> {
    let place_of = |name: &str| {
        headers
            .iter()
            .position(|header| header.trim_start_matches('\u{feff}') == name)
    };
    let mut columns = FIELDS.map(place_of);
    for pair in map.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (field, column) = pair
            .split_once('=')
            .with_context(|| format!("`{pair}` is not FIELD=COLUMN"))?;
        let place = FIELDS.iter().position(|known| *known == field.trim());
        let place = place
            .with_context(|| format!("`{field}` is not a field: the fields are {}", FIELDS.join(", ")))?;
        let found = place_of(column.trim());
        let known = || headers.iter().collect::<Vec<_>>().join(", ");
        columns[place] = Some(
            found.with_context(|| format!("there is no column `{column}`: the columns are {}", known()))?,
        );
    }
    if columns.iter().all(Option::is_none) {
        bail!(
            "no column is a field: name the columns {}, or give --map email=COLUMN",
            FIELDS.join(", ")
        );
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_or_by_map() {
        let headers = csv::StringRecord::from(vec!["\u{feff}email", "tel", "zip"]);
        let found = columns(&headers, "phone=tel").unwrap();
        assert_eq!(found, [Some(0), Some(1), None, None, None, Some(2)]);
        for (map, part) in [
            ("phone", "FIELD=COLUMN"),
            ("fax=tel", "is not a field"),
            ("phone=fon", "the columns are"),
        ] {
            let error = format!("{:#}", columns(&headers, map).unwrap_err());
            assert!(error.contains(part), "{error}");
        }
        let none = csv::StringRecord::from(vec!["a", "b"]);
        assert!(columns(&none, "").is_err());
    }
}
