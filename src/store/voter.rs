//! The voter's store in tables.
//!
//! What a batch means is defined once, by [`StoreImage::apply`]. So the writer keeps an [`Outline`]: the image without
//! its contents, which is small. A batch is first applied to that by the very same function; if what comes out is no sound
//! store, the batch is refused, and if it is one, the rows are brought there.

use super::codec::{decode, encode, from_row, to_row};
use super::error::WriteError;
use crate::core::ids::{LogIndex, VoterId};
use crate::election::{Ballot, Payload, SnapshotWrite, StoreBatch, StoreImage, StoredEntry, StoredSnapshot};
use rusqlite::{Connection, OptionalExtension, params};

/// A voter's store without what its entries and its snapshot hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline(StoreImage);

impl Outline {
    pub(super) fn of(image: &StoreImage) -> Outline {
        Outline(StoreImage {
            snapshot: snapshot_outline(&image.snapshot),
            entries: image.entries.iter().map(entry_outline).collect(),
            ..*image
        })
    }

    /// What a batch makes of it. Refused is what no election orders: the Raft library would panic over it at the next
    /// start, or the voter could vote twice in one term.
    pub(super) fn after(&self, batch: &StoreBatch) -> Result<Outline, WriteError> {
        let before = self.0.ballot;
        let mut image = self.0.clone();
        image.apply(&batch_outline(batch));
        let refused = |what: &str| {
            let ticket = batch.ticket;
            WriteError::other(format_args!("the batch {ticket} does not fit the store of {}: {what}", image.voter))
        };
        if batch.voter != image.voter {
            return Err(refused("it is another voter's"));
        }
        if let Some(what) = image.damage() {
            return Err(refused(what));
        }
        let after = image.ballot;
        if after.term < before.term {
            return Err(refused("the term goes back"));
        }
        if after.term == before.term && before.vote.is_some() && after.vote != before.vote {
            return Err(refused("the vote of a term changes"));
        }
        Ok(Outline(image))
    }
}

fn snapshot_outline(snapshot: &StoredSnapshot) -> StoredSnapshot {
    StoredSnapshot { index: snapshot.index, term: snapshot.term, members: snapshot.members.clone(), data: Vec::new() }
}

fn entry_outline(entry: &StoredEntry) -> StoredEntry {
    StoredEntry { payload: Payload::Data(Vec::new()), ..*entry }
}

fn batch_outline(batch: &StoreBatch) -> StoreBatch {
    let snapshots = batch.snapshots.iter().map(|write| match write {
        SnapshotWrite::Install(snapshot) => SnapshotWrite::Install(snapshot_outline(snapshot)),
        SnapshotWrite::Compact { snapshot, base_index, base_term } => SnapshotWrite::Compact {
            snapshot: snapshot_outline(snapshot),
            base_index: *base_index,
            base_term: *base_term,
        },
    });
    let entries = batch.entries.iter().map(entry_outline).collect();
    StoreBatch { snapshots: snapshots.collect(), entries, ..*batch }
}

/// Brings the rows to where the batch leads; `after` is its outline.
pub(super) fn apply(connection: &Connection, batch: &StoreBatch, after: &Outline) -> Result<(), WriteError> {
    for write in &batch.snapshots {
        match write {
            SnapshotWrite::Install(_) => {
                connection.prepare_cached("DELETE FROM log_entry")?.execute([])?;
            }
            SnapshotWrite::Compact { base_index, .. } => {
                let base = to_row(base_index.0)?;
                connection.prepare_cached("DELETE FROM log_entry WHERE log_index <= ?1")?.execute([base])?;
            }
        }
    }
    if let Some(SnapshotWrite::Install(snapshot) | SnapshotWrite::Compact { snapshot, .. }) = batch.snapshots.last() {
        put_snapshot(connection, snapshot)?;
    }
    if let Some(first) = batch.entries.first() {
        let first = to_row(first.index.0)?;
        connection.prepare_cached("DELETE FROM log_entry WHERE log_index >= ?1")?.execute([first])?;
        put_entries(connection, &batch.entries)?;
    }
    put_head(connection, &after.0)
}

/// Makes this the voter's store, in place of any other.
pub(super) fn replace(connection: &Connection, image: &StoreImage) -> Result<(), WriteError> {
    if let Some(what) = image.damage() {
        let voter = image.voter;
        return Err(WriteError::other(format_args!("the new store of {voter} contradicts itself: {what}")));
    }
    clear(connection)?;
    put_head(connection, image)?;
    put_snapshot(connection, &image.snapshot)?;
    put_entries(connection, &image.entries)
}

/// Drops the voter's store.
pub(super) fn clear(connection: &Connection) -> Result<(), WriteError> {
    connection.execute("DELETE FROM voter", [])?;
    connection.execute("DELETE FROM log_entry", [])?;
    Ok(())
}

/// Marks the voter's store, if there is one, as never to be voted with again.
pub(super) fn disqualify(connection: &Connection) -> Result<(), WriteError> {
    connection.execute("UPDATE voter SET restored_from_backup = 1", [])?;
    Ok(())
}

fn put_head(connection: &Connection, image: &StoreImage) -> Result<(), WriteError> {
    // Not REPLACE: that would delete the row first, and the snapshot with it.
    let sql = "INSERT INTO voter (id, voter, restored_from_backup, term, vote, commit_index, base_index, base_term)
        VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT (id) DO UPDATE SET
            restored_from_backup = excluded.restored_from_backup, term = excluded.term, vote = excluded.vote,
            commit_index = excluded.commit_index, base_index = excluded.base_index, base_term = excluded.base_term";
    connection.prepare_cached(sql)?.execute(params![
        to_row(image.voter.0)?,
        image.restored_from_backup,
        to_row(image.ballot.term)?,
        image.ballot.vote.map(|vote| to_row(vote.0)).transpose()?,
        to_row(image.ballot.commit.0)?,
        to_row(image.base_index.0)?,
        to_row(image.base_term)?,
    ])?;
    Ok(())
}

fn put_snapshot(connection: &Connection, snapshot: &StoredSnapshot) -> Result<(), WriteError> {
    let sql = "INSERT INTO snapshot (id, body) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET body = excluded.body";
    connection.prepare_cached(sql)?.execute([encode(snapshot)?])?;
    Ok(())
}

fn put_entries(connection: &Connection, entries: &[StoredEntry]) -> Result<(), WriteError> {
    let mut insert =
        connection.prepare_cached("INSERT INTO log_entry (log_index, term, payload) VALUES (?1, ?2, ?3)")?;
    for entry in entries {
        insert.execute(params![to_row(entry.index.0)?, to_row(entry.term)?, encode(&entry.payload)?])?;
    }
    Ok(())
}

/// Reads the voter's store, if there is one.
pub(super) fn load(connection: &Connection) -> Result<Option<StoreImage>, WriteError> {
    let Some(head) = load_head(connection)? else { return Ok(None) };
    let body: Option<Vec<u8>> = connection.query_row("SELECT body FROM snapshot", [], |row| row.get(0)).optional()?;
    let body = body.ok_or_else(|| WriteError::corrupt("the voter's store has no snapshot"))?;
    let snapshot = decode(&body, "the voter's snapshot")?;
    Ok(Some(StoreImage { snapshot, entries: load_entries(connection)?, ..head }))
}

fn load_head(connection: &Connection) -> Result<Option<StoreImage>, WriteError> {
    let sql = "SELECT voter, term, commit_index, base_index, base_term, vote, restored_from_backup FROM voter";
    let head = connection.query_row(sql, [], |row| {
        let numbers: [i64; 5] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        Ok((numbers, row.get::<_, Option<i64>>(5)?, row.get(6)?))
    });
    let Some(([voter, term, commit, base_index, base_term], vote, restored_from_backup)) = head.optional()? else {
        return Ok(None);
    };
    let vote = vote.map(from_row).transpose()?.map(VoterId);
    Ok(Some(StoreImage {
        voter: VoterId(from_row(voter)?),
        restored_from_backup,
        ballot: Ballot { term: from_row(term)?, vote, commit: LogIndex(from_row(commit)?) },
        snapshot: StoredSnapshot::default(),
        base_index: LogIndex(from_row(base_index)?),
        base_term: from_row(base_term)?,
        entries: Vec::new(),
    }))
}

fn load_entries(connection: &Connection) -> Result<Vec<StoredEntry>, WriteError> {
    let mut statement = connection.prepare("SELECT log_index, term, payload FROM log_entry ORDER BY log_index")?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(StoredEntry {
            index: LogIndex(from_row(row.get(0)?)?),
            term: from_row(row.get(1)?)?,
            payload: decode(row.get_ref(2)?.as_blob().unwrap_or_default(), "an entry of the log")?,
        });
    }
    Ok(entries)
}
