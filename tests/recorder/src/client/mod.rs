//! One connection to a server of any kind: a number in, all numbers out.

mod mariadb;
mod redis;

use crate::{Kind, Server};
use anyhow::Context;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

/// A connection that can't be made within this is none.
const CONNECT_WITHIN: Duration = Duration::from_millis(1500);

/// A connection.
pub enum Client {
    Postgresql(tokio_postgres::Client),
    Mariadb(mariadb::Connection),
    Redis(redis::Connection),
}

impl Client {
    /// Connects and says who it is.
    pub async fn connect(server: &Server) -> anyhow::Result<Client> {
        tokio::time::timeout(CONNECT_WITHIN, Self::connected(server)).await?
    }

    async fn connected(server: &Server) -> anyhow::Result<Client> {
        Ok(match server.kind {
            Kind::Postgresql => {
                let (client, connection) = server.config().connect(NoTls).await?;
                tokio::spawn(async move {
                    // An error here reaches the worker as the error of its statement.
                    connection.await.ok();
                });
                Client::Postgresql(client)
            }
            Kind::Mariadb => Client::Mariadb(
                mariadb::Connection::open(stream(server).await?, &server.user(), &server.dbname()).await?,
            ),
            Kind::Redis => {
                Client::Redis(redis::Connection::open(stream(server).await?, server.password()?.as_deref()).await?)
            }
        })
    }

    /// Makes the place for the numbers, if it isn't there.
    pub async fn prepare(&mut self) -> anyhow::Result<()> {
        let table = "CREATE TABLE IF NOT EXISTS recorder (n bigint NOT NULL)";
        match self {
            Client::Postgresql(client) => client.batch_execute(table).await.context("making the table"),
            Client::Mariadb(connection) => connection.query(table).await.context("making the table").map(drop),
            Client::Redis(_) => Ok(()),
        }
    }

    /// Returns when the server has acknowledged the number. After an error its fate is unknown, and the connection is of no use any more.
    pub async fn insert(&mut self, number: i64) -> anyhow::Result<()> {
        match self {
            Client::Postgresql(client) => {
                client.execute("INSERT INTO recorder (n) VALUES ($1)", &[&number]).await?;
            }
            Client::Mariadb(connection) => {
                connection.query(&format!("INSERT INTO recorder (n) VALUES ({number})")).await?;
            }
            Client::Redis(connection) => connection.push(number).await?,
        }
        Ok(())
    }

    /// Every number that the server has, as often as it has it.
    pub async fn all(&mut self) -> anyhow::Result<Vec<i64>> {
        const SELECT: &str = "SELECT n FROM recorder";
        match self {
            Client::Postgresql(client) => {
                Ok(client.query(SELECT, &[]).await?.into_iter().map(|row| row.get(0)).collect())
            }
            Client::Mariadb(connection) => {
                let rows = connection.query(SELECT).await?;
                rows.iter().map(|row| row.parse().with_context(|| format!("the table has {row:?}"))).collect()
            }
            Client::Redis(connection) => connection.all().await,
        }
    }
}

async fn stream(server: &Server) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((server.host.as_str(), server.port())).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
