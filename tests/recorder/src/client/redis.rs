//! As much of the Redis protocol (RESP 2) as the recorder needs: lines in, lines and arrays of numbers out.

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub async fn open(stream: TcpStream, password: Option<&str>) -> anyhow::Result<Connection> {
        let mut connection = Connection { stream: BufReader::new(stream) };
        if let Some(password) = password {
            connection.ask(&format!("AUTH {password}")).await.context("saying the password")?;
        }
        Ok(connection)
    }

    pub async fn push(&mut self, number: i64) -> anyhow::Result<()> {
        self.ask(&format!("RPUSH recorder {number}")).await.map(drop)
    }

    pub async fn all(&mut self) -> anyhow::Result<Vec<i64>> {
        let head = self.ask("LRANGE recorder 0 -1").await?;
        let count: u64 = head.strip_prefix('*').with_context(|| format!("{head:?} is no array"))?.parse()?;
        let mut numbers = Vec::new();
        for _ in 0..count {
            self.line().await?; // its length
            let text = self.line().await?;
            numbers.push(text.parse().with_context(|| format!("the list has {text:?}"))?);
        }
        Ok(numbers)
    }

    /// The first line of the answer.
    async fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        self.stream.get_mut().write_all(format!("{command}\r\n").as_bytes()).await?;
        let line = self.line().await?;
        if let Some(error) = line.strip_prefix('-') {
            bail!("the server says: {error}");
        }
        Ok(line)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let length = self.stream.read_line(&mut line).await?;
        // Half a line is no answer.
        if length == 0 || !line.ends_with("\r\n") {
            bail!("the connection was closed");
        }
        Ok(line.trim_end().to_owned())
    }
}
