//! A watched folder, with a real one.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use limbic_component::{Component, Resources};
use limbic_connectors::{Connector, Cursor, Folder, FolderSettings, Item};

struct Scene {
    folder: tempfile::TempDir,
    cursor: Option<Cursor>,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            cursor: None,
        }
    }

    fn settings(&self) -> FolderSettings {
        FolderSettings {
            path: self.folder.path().to_owned(),
            map: "network:=forum,id=id,author=user,text=body,created_at=date".to_owned(),
            timezone: "UTC".to_owned(),
            ..FolderSettings::default()
        }
    }

    fn connector(&self) -> Box<dyn Connector> {
        Folder::build(&self.settings(), &Resources::new("test"))
            .unwrap()
            .connector
    }

    fn write(&self, name: &str, text: &str) {
        let hidden = self.folder.path().join(".new");
        fs::write(&hidden, text).unwrap();
        fs::rename(hidden, self.folder.path().join(name)).unwrap();
    }

    /// Pages of `most` until nothing is there, and the ids of their posts.
    fn drain(&mut self, connector: &mut dyn Connector, most: usize) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let page = connector.pull(self.cursor.as_ref(), most).unwrap();
            assert!(page.items.len() <= most);
            found.extend(page.items.iter().map(name_of));
            self.cursor = page.next;
            if !page.has_more {
                return found;
            }
        }
    }
}

fn name_of(item: &Item) -> String {
    match item {
        Item::Post(post) => post["id"].as_str().unwrap().to_owned(),
        Item::Deletion(post) => format!("{} deleted", post["id"].as_str().unwrap()),
        Item::Unreadable(problem) => problem.clone(),
    }
}

fn csv(ids: std::ops::Range<u32>) -> String {
    let rows: Vec<String> = ids
        .map(|id| format!("{id},ann,a goal no. {id},2026-11-20 10:00:00"))
        .collect();
    format!("id,user,body,date\n{}\n", rows.join("\n"))
}

#[test]
fn every_row_of_every_file_comes_once_in_order_over_restarts_for_any_page_size() {
    for most in [1, 3, 100] {
        let mut scene = Scene::new();
        scene.write("b.csv", &csv(10..15));
        scene.write("a.csv", &csv(0..10));
        let expected: Vec<String> = (0..15).map(|id| id.to_string()).collect();
        let mut found = Vec::new();
        // A new process for each page.
        while found.len() < expected.len() {
            let page = scene.connector().pull(scene.cursor.as_ref(), most).unwrap();
            found.extend(page.items.iter().map(name_of));
            scene.cursor = page.next;
        }
        assert_eq!(found, expected);
        let mut connector = scene.connector();
        assert_eq!(scene.drain(&mut *connector, most), [""; 0]);
        let idle = connector.pull(scene.cursor.as_ref(), most).unwrap();
        assert_eq!(idle.next, scene.cursor, "nothing has moved");
        // A file with an earlier name is read too.
        scene.write("0.csv", &csv(20..22));
        assert_eq!(scene.drain(&mut *connector, most), ["20", "21"]);
    }
}

#[test]
fn a_page_that_is_not_accepted_is_pulled_again() {
    let mut scene = Scene::new();
    scene.write("a.csv", &csv(0..4));
    let mut connector = scene.connector();
    let first = connector.pull(None, 2).unwrap();
    assert_eq!(connector.pull(None, 2).unwrap(), first);
    scene.cursor = first.next;
    assert_eq!(scene.drain(&mut *connector, 2), ["2", "3"]);
}

#[test]
fn a_file_that_changes_is_read_again_and_one_that_is_not_complete_waits() {
    let mut scene = Scene::new();
    let mut connector = scene.connector();
    fs::write(scene.folder.path().join("x.csv.tmp"), csv(0..1)).unwrap();
    fs::write(scene.folder.path().join(".y.csv"), csv(0..1)).unwrap();
    fs::create_dir(scene.folder.path().join("inner")).unwrap();
    assert_eq!(scene.drain(&mut *connector, 10), [""; 0]);
    scene.write("a.csv", &csv(0..2));
    assert_eq!(scene.drain(&mut *connector, 10), ["0", "1"]);
    scene.write("a.csv", &csv(0..3));
    assert_eq!(scene.drain(&mut *connector, 10), ["0", "1", "2"]);
    // A file that is removed while it is read ends there.
    scene.write("b.csv", &csv(10..20));
    let page = connector.pull(scene.cursor.as_ref(), 5).unwrap();
    scene.cursor = page.next;
    fs::remove_file(scene.folder.path().join("b.csv")).unwrap();
    assert_eq!(scene.drain(&mut *connector, 10), [""; 0]);
}

#[test]
fn what_cannot_be_read_is_reported_with_its_file_and_the_next_file_is_read() {
    let mut scene = Scene::new();
    scene.write("a.csv", "colour,size\nred,3\n");
    scene.write(
        "b.csv",
        "id,user,body,date\n1,ann,a goal,yesterday\n2,ann,a goal,2026-11-20 10:00:00\n",
    );
    scene.write(
        "c.jsonl",
        "{\"id\": \"3\", \"user\": \"ann\", \"body\": \"a goal\", \"date\": \"2026-11-20 10:00:00\"}\n",
    );
    let mut connector = scene.connector();
    let found = scene.drain(&mut *connector, 10);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(
        found[0].contains("a.csv") && found[0].contains("colour"),
        "{found:?}"
    );
    assert!(found[1].contains("b.csv, line 2"), "{found:?}");
    assert_eq!(found[2..], ["2", "3"]);
}

#[test]
fn a_folder_that_is_not_there_is_waited_for_and_wrong_settings_are_refused() {
    let scene = Scene::new();
    let settings = FolderSettings {
        path: scene.folder.path().join("later"),
        ..scene.settings()
    };
    let mut connector = Folder::build(&settings, &Resources::new("test"))
        .unwrap()
        .connector;
    assert!(
        connector
            .pull(None, 10)
            .unwrap_err()
            .to_string()
            .contains("later")
    );
    fs::create_dir(Path::new(&settings.path)).unwrap();
    assert!(connector.pull(None, 10).is_ok());
    let refused = |change: fn(&mut FolderSettings)| {
        let mut settings = scene.settings();
        change(&mut settings);
        Folder::check(&settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.path = "".into()).contains("give the folder"));
    assert!(refused(|s| s.map = "colour=x".to_owned()).starts_with("map: "));
    assert!(refused(|s| s.timezone = "Nowhere".to_owned()).contains("timezone"));
    assert!(refused(|s| s.interval = "0s".parse().unwrap()).contains("from 1s to 1h"));
}
