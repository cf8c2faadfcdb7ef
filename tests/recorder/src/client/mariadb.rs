//! As much of the MariaDB client protocol as the recorder needs: a user without a password, plain text statements, one column.
//!
//! Packets: three bytes of length, one of sequence number, payload. After the handshake each statement is one packet, answered by OK, by an
//! error, or by a result: the number of columns, a packet for each, an end; a packet for each row, an end.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// CLIENT_LONG_PASSWORD, CLIENT_CONNECT_WITH_DB, CLIENT_PROTOCOL_41, CLIENT_SECURE_CONNECTION, CLIENT_PLUGIN_AUTH.
const CAPABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x8000 | 0x8_0000;
/// utf8mb4_general_ci.
const CHARACTER_SET: u8 = 45;
const MAX_PACKET: u32 = 1 << 24;
const QUERY: u8 = 3;

const OK: u8 = 0;
const ERROR: u8 = 0xff;
/// The end of columns or rows; in the handshake: another way to say who one is.
const END: u8 = 0xfe;

pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Says who it is, with no password.
    pub async fn open(stream: TcpStream, user: &str, database: &str) -> anyhow::Result<Connection> {
        let mut connection = Connection { stream };
        let (sequence, hello) = connection.packet().await?;
        check(&hello)?;
        connection.send(sequence.wrapping_add(1), &response(user, database)).await?;
        let (sequence, mut answer) = connection.packet().await?;
        if answer.first() == Some(&END) {
            // Whatever way it prefers: without a password the answer is empty.
            connection.send(sequence.wrapping_add(1), &[]).await?;
            answer = connection.packet().await?.1;
        }
        check(&answer)?;
        ensure!(answer.first() == Some(&OK), "the server wants a password");
        Ok(connection)
    }

    /// The first column of each row; nothing for a statement without a result.
    pub async fn query(&mut self, statement: &str) -> anyhow::Result<Vec<String>> {
        let mut command = vec![QUERY];
        command.extend_from_slice(statement.as_bytes());
        self.send(0, &command).await?;
        let first = self.packet().await?.1;
        check(&first)?;
        let mut rows = Vec::new();
        if first.first() == Some(&OK) {
            return Ok(rows);
        }
        while !is_end(&self.packet().await?.1) {} // what the columns are called
        loop {
            let packet = self.packet().await?.1;
            check(&packet)?;
            if is_end(&packet) {
                return Ok(rows);
            }
            // A number's text is shorter than what needs more than one byte of length.
            let length = usize::from(*packet.first().context("an empty row")?);
            let text = packet.get(1..1 + length).context("a row that ends too early")?;
            rows.push(String::from_utf8_lossy(text).into_owned());
        }
    }

    async fn packet(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, sequence] = head;
        let mut payload = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok((sequence, payload))
    }

    async fn send(&mut self, sequence: u8, payload: &[u8]) -> anyhow::Result<()> {
        let [a, b, c, _] = u32::try_from(payload.len())?.to_le_bytes();
        let mut packet = vec![a, b, c, sequence];
        packet.extend_from_slice(payload);
        Ok(self.stream.write_all(&packet).await?)
    }
}

fn response(user: &str, database: &str) -> Vec<u8> {
    let mut out = CAPABILITIES.to_le_bytes().to_vec();
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(CHARACTER_SET);
    out.extend_from_slice(&[0; 23]);
    for text in [user, "", database, "mysql_native_password"] {
        // The empty one is the password's digest, whose length is told by a byte of the same value as the end of the others.
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    }
    out
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&END) && packet.len() < 9
}

fn check(packet: &[u8]) -> anyhow::Result<()> {
    if packet.first() == Some(&ERROR) {
        bail!("the server says: {}", String::from_utf8_lossy(packet.get(3..).unwrap_or_default()));
    }
    Ok(())
}
