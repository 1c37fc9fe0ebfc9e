//! The small tables: run number, settings, and the agent's store.

use super::codec::{from_row, to_row};
use super::error::WriteError;
use crate::core::action::AgentStore;
use crate::core::ids::ConfigVersion;
use rusqlite::{Connection, OptionalExtension};
use std::collections::BTreeMap;

/// The greatest run number: tickets and record sequences carry it in their upper half, below the bits that mark whose
/// ticket it is.
pub(super) const SESSION_MAX: u64 = (1 << 30) - 1;
/// So long may a setting be, and its key: the longest is the list of all members, at about 200 bytes each.
const SETTING_BYTES: usize = 8 * 1024 * 1024;

/// Fills a new database with what always is there.
pub(super) fn make_rows(connection: &Connection, session: u64) -> Result<(), WriteError> {
    connection.execute("INSERT INTO node (id, session, restored) VALUES (1, ?1, 0)", [to_row(session)?])?;
    save_agent(connection, &AgentStore::default())
}

/// The last run's number, and whether the agent has learnt nothing since its store came out of a backup.
pub(super) fn node(connection: &Connection) -> Result<(u64, bool), WriteError> {
    let (session, restored): (i64, bool) =
        connection.query_row("SELECT session, restored FROM node", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((from_row(session)?, restored))
}

pub(super) fn set_node(connection: &Connection, session: u64, restored: bool) -> Result<(), WriteError> {
    connection.execute("UPDATE node SET session = ?1, restored = ?2", (to_row(session)?, restored))?;
    Ok(())
}

pub(super) fn agent(connection: &Connection) -> Result<AgentStore, WriteError> {
    let body: String = connection.query_row("SELECT body FROM agent", [], |row| row.get(0))?;
    serde_json::from_str(&body)
        .map_err(|error| WriteError::corrupt(format_args!("what the agent kept cannot be read: {error}")))
}

/// Keeps the agent's store. One that has a version of its knowledge has been told everything by a living master, so from
/// then on it does not matter that an older one came out of a backup.
pub(super) fn save_agent(connection: &Connection, agent: &AgentStore) -> Result<(), WriteError> {
    let body = serde_json::to_string(agent)
        .map_err(|error| WriteError::other(format_args!("what the agent keeps cannot be written down: {error}")))?;
    let sql = "INSERT INTO agent (id, body) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
    connection.prepare_cached(sql)?.execute([body])?;
    if agent.config != ConfigVersion(0) {
        connection.prepare_cached("UPDATE node SET restored = 0 WHERE restored = 1")?.execute([])?;
    }
    Ok(())
}

pub(super) fn settings(connection: &Connection) -> Result<BTreeMap<String, String>, WriteError> {
    let mut statement = connection.prepare("SELECT key, value FROM setting")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn setting(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM setting WHERE key = ?1", [key], |row| row.get(0)).optional()
}

pub(super) fn mark(connection: &Connection, key: &str, value: &str) -> Result<(), WriteError> {
    if key.len() + value.len() > SETTING_BYTES {
        return Err(WriteError::other(format_args!("the setting {key:.40} is longer than {SETTING_BYTES} bytes")));
    }
    let sql = "INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([key, value])?;
    Ok(())
}
