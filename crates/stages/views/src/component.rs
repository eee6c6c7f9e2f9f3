//! The views stage and its databases as components.

use limbic_component::{
    Component, DataFolder, Error, Kind, Need, NoSettings, OnlyReading, Place, Resources, StageComponent,
};
use limbic_data_key::DataKeys;
use limbic_domain::ConnectionUrl;
use limbic_stream::{Stage, StageSpec};
use tokio::runtime::Handle;

use crate::{Store, ViewMeters, ViewsSettings, ViewsStage};

impl Component for ViewsStage {
    type Settings = ViewsSettings;
    type Product = Box<dyn Stage>;
    const KIND: Kind = Kind::Stage;
    const NAME: &'static str = "views";
    const SUMMARY: &'static str = "Keeps every event as a row that the API can find.";
    const NEEDS: &'static [Need] = &[Need::Log, Need::ViewDatabase, Need::AsyncRuntime, Need::Clock];

    fn check(settings: &ViewsSettings) -> Result<(), Error> {
        Ok(settings.check()?)
    }

    fn build(settings: &ViewsSettings, resources: &Resources) -> Result<Box<dyn Stage>, Error> {
        settings.check()?;
        let store: Store = resources.get()?;
        let handle: Handle = resources.get()?;
        let meters: ViewMeters = resources.get()?;
        if settings.keep.is_limited() {
            handle.block_on(store.prepare_retention());
        }
        let stage = Self::new(store, handle, &resources.log_name);
        Ok(Box::new(stage.keeping(settings.keep.clone(), meters)))
    }
}

impl StageComponent for ViewsStage {
    fn spec(settings: &ViewsSettings) -> Result<StageSpec, Error> {
        Ok(Self::spec(settings))
    }
}

/// The view in a SQLite file.
#[derive(Debug, Clone, Copy)]
pub struct SqliteView;

impl Component for SqliteView {
    type Settings = NoSettings;
    type Product = Store;
    const KIND: Kind = Kind::ViewStore;
    const NAME: &'static str = "sqlite";
    const SUMMARY: &'static str = "Stores the view in the data folder of one node, without a server.";
    const PLACE: Place = Place::Url {
        setting: "view",
        form: "embedded",
        schemes: &[],
        section: None,
    };
    const NEEDS: &'static [Need] = &[Need::DataFolder, Need::AsyncRuntime];

    fn check(_: &NoSettings) -> Result<(), Error> {
        Ok(())
    }

    fn build(_: &NoSettings, resources: &Resources) -> Result<Store, Error> {
        let DataFolder(folder) = resources.get()?;
        let handle: Handle = resources.get()?;
        let keys = resources.get::<DataKeys>().ok();
        let store = handle.block_on(async { Store::sqlite(&folder).await?.sealed_with(keys).await });
        Ok(store.map_err(|error| format!("cannot open the embedded view: {error}"))?)
    }
}

/// The view in a PostgreSQL database.
#[derive(Debug, Clone, Copy)]
pub struct PostgresView;

impl Component for PostgresView {
    type Settings = NoSettings;
    type Product = Store;
    const KIND: Kind = Kind::ViewStore;
    const NAME: &'static str = "postgres";
    const SUMMARY: &'static str = "Stores the view in a PostgreSQL database, which many nodes share.";
    const PLACE: Place = Place::Url {
        setting: "view",
        form: "postgres://HOST:PORT/DATABASE",
        schemes: &["postgres", "postgresql"],
        section: None,
    };
    const NEEDS: &'static [Need] = &[Need::Url, Need::AsyncRuntime];

    fn check(_: &NoSettings) -> Result<(), Error> {
        Ok(())
    }

    fn build(_: &NoSettings, resources: &Resources) -> Result<Store, Error> {
        let url: ConnectionUrl = resources.get()?;
        let handle: Handle = resources.get()?;
        let keys = resources.get::<DataKeys>().ok();
        let only_reading = resources.get::<OnlyReading>().is_ok();
        let store = handle.block_on(async {
            let store = if only_reading {
                Store::postgres_as_it_is(url.reveal()).await?
            } else {
                Store::postgres(url.reveal()).await?
            };
            store.sealed_with(keys).await
        });
        Ok(store.map_err(|error| {
            format!(
                "cannot use the view at {url}: {error}: check that PostgreSQL is running and that the password is right"
            )
        })?)
    }
}
