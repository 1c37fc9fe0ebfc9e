use super::*;
use crate::store::{ROWS_MAX, TimeRange};
use rusqlite::Connection;
use tempfile::TempDir;

fn filled(folder: &TempDir) -> (Opened, Vec<LedgerRow>) {
    let opened = open(folder.path());
    // Time does not follow the places: clocks of masters differ.
    let rows: Vec<LedgerRow> =
        (1..100).flat_map(|index| [row(index, 0, 1_000 - (index as i64 / 2)), row(index, 1, index as i64)]).collect();
    written(&opened.store, Operation::Ledger(rows.clone()));
    (opened, rows)
}

#[test]
fn the_same_row_twice_is_no_news_and_another_one_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let (opened, rows) = filled(&folder);
    written(&opened.store, Operation::Ledger(rows.clone()));
    let changes: [fn(&mut LedgerRow); 5] = [
        |row| row.at_milliseconds += 1,
        |row| row.vm = None,
        |row| row.host = Some(77),
        |row| row.kind.push('s'),
        |row| row.body = "{}".to_owned(),
    ];
    for change in changes {
        let mut other = rows[3].clone();
        change(&mut other);
        let error = write(&opened.store, Operation::Ledger(vec![row(500, 0, 1), other])).expect_err("two histories");
        assert!(error.text.contains("another row"), "{error}");
    }
    let bad = LedgerRow { body: "{".to_owned(), ..row(501, 0, 1) };
    assert!(write(&opened.store, Operation::Ledger(vec![bad])).is_err(), "a body is JSON");
    assert_eq!(opened.store.ledger().count().expect("an answer"), 198);
}

#[test]
fn rows_are_never_changed_or_deleted() {
    let folder = TempDir::new().expect("a folder");
    let (opened, _) = filled(&folder);
    drop(opened);
    let connection = Connection::open(folder.path().join("holdfast.db")).expect("it opens");
    for sql in ["UPDATE ledger SET kind = 'x'", "DELETE FROM ledger WHERE log_index = 5"] {
        let error = connection.execute(sql, []).expect_err("it is forbidden");
        assert!(error.to_string().contains("the ledger is only added to"), "{error}");
    }
}

#[test]
fn pages_by_place_give_every_row_once() {
    let folder = TempDir::new().expect("a folder");
    let (opened, mut rows) = filled(&folder);
    rows.sort_by_key(|row| row.key);
    let ledger = opened.store.ledger();
    let mut read: Vec<LedgerRow> = Vec::new();
    loop {
        let page = ledger.after(read.last().map(|row| row.key), 7).expect("an answer");
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, rows);
    let keys = rows[10].key..=rows[20].key;
    assert_eq!(ledger.between(keys.clone(), ROWS_MAX).expect("an answer"), rows[10..=20]);
    assert_eq!(ledger.between(keys.clone(), 3).expect("an answer"), rows[10..13]);
    assert_eq!(ledger.count_between(keys).expect("an answer"), 11);
    let all = LedgerKey::default()..=LedgerKey { generation: u32::MAX, log_index: u64::MAX, part: u32::MAX };
    assert_eq!(ledger.count_between(all).expect("an answer"), 198);
    assert_eq!(ledger.span().expect("an answer"), Some((rows[0].key, rows[197].key)));
}

#[test]
fn an_empty_ledger_answers() {
    let folder = TempDir::new().expect("a folder");
    let opened = open(folder.path());
    let ledger = opened.store.ledger();
    assert_eq!(ledger.span().expect("an answer"), None);
    assert_eq!(ledger.count().expect("an answer"), 0);
    assert_eq!(ledger.last_before(i64::MAX, None, None).expect("an answer"), None);
    opened.store.close().expect("it closes");
    assert!(matches!(ledger.count(), Err(crate::store::QueryError::Closed)));
}

#[test]
fn a_time_is_answered_with_and_without_vm_and_host() {
    let folder = TempDir::new().expect("a folder");
    let (opened, mut rows) = filled(&folder);
    rows.sort_by_key(|row| (row.at_milliseconds, row.key));
    let ledger = opened.store.ledger();
    for (vm, host) in [(None, None), (Some(1), None), (None, Some(9)), (Some(2), Some(9)), (Some(3), None)] {
        let fits =
            |row: &&LedgerRow| vm.is_none_or(|vm| row.vm == Some(vm)) && host.is_none_or(|h| row.host == Some(h));
        let expected: Vec<LedgerRow> =
            rows.iter().filter(|row| (20..=980).contains(&row.at_milliseconds)).filter(fits).cloned().collect();
        let mut range = TimeRange { at_milliseconds: 20..=980, vm, host, after: None };
        let mut read: Vec<LedgerRow> = Vec::new();
        loop {
            let page = ledger.within(&range, 9).expect("an answer");
            let Some(last) = page.last() else { break };
            range.after = Some((last.at_milliseconds, last.key));
            read.extend(page);
        }
        assert_eq!(read, expected, "{vm:?} {host:?}");
        let before = rows.iter().filter(|row| row.at_milliseconds < 960).rfind(fits);
        assert_eq!(ledger.last_before(960, vm, host).expect("an answer").as_ref(), before);
    }
}

#[test]
fn every_question_has_its_index() {
    let folder = TempDir::new().expect("a folder");
    let (opened, _) = filled(&folder);
    drop(opened);
    let connection = Connection::open(folder.path().join("holdfast.db")).expect("it opens");
    let order = "ORDER BY at_milliseconds, generation, log_index, part LIMIT 9";
    let questions = [
        (format!("WHERE at_milliseconds BETWEEN 1 AND 9 {order}"), "ledger_by_time"),
        (format!("WHERE at_milliseconds BETWEEN 1 AND 9 AND vm = ?1 {order}"), "ledger_by_vm"),
        (format!("WHERE at_milliseconds BETWEEN 1 AND 9 AND host = ?1 {order}"), "ledger_by_host"),
        (
            "WHERE (generation, log_index, part) > (1, 2, 3) ORDER BY generation, log_index, part".to_owned(),
            "PRIMARY KEY",
        ),
    ];
    for (question, index) in questions {
        let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM ledger {question}");
        let mut statement = connection.prepare(&sql).expect("it is understood");
        let parameters = vec![1; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
            .expect("an answer")
            .collect::<rusqlite::Result<_>>()
            .expect("text");
        assert!(plan.len() == 1 && plan[0].contains(index), "{question}: {plan:?}");
    }
}
