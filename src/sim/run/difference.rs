//! How two records differ, line by line.

/// Lines around a difference that are shown for orientation.
const CONTEXT: usize = 2;

/// The differences as people read them: `-` was expected and did not come, `+` came and was not expected.
pub fn between(expected: &[&str], actual: &[&str]) -> Vec<String> {
    if expected == actual {
        return Vec::new();
    }
    let steps = steps(expected, actual);
    let changed: Vec<usize> = (0..steps.len()).filter(|index| !matches!(steps.get(*index), Some(('=', _)))).collect();
    let mut lines = Vec::new();
    let mut last = None;
    for (index, (mark, text)) in steps.iter().enumerate() {
        let near = changed.iter().any(|change| change.abs_diff(index) <= CONTEXT);
        if !near {
            continue;
        }
        if last.is_some_and(|last: usize| last + 1 < index) {
            lines.push("  …".to_owned());
        }
        last = Some(index);
        let mark = if *mark == '=' { ' ' } else { *mark };
        lines.push(format!("{mark} {text}"));
    }
    lines
}

/// The shortest way from one to the other: each line kept, left out or added.
fn steps<'a>(expected: &[&'a str], actual: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = actual.len() + 1;
    // common[i * width + j]: how many lines the rests from i and j have in common, in order.
    let mut common = vec![0u32; (expected.len() + 1) * width];
    let at = |common: &[u32], i: usize, j: usize| common.get(i * width + j).copied().unwrap_or(0);
    for i in (0..expected.len()).rev() {
        for j in (0..actual.len()).rev() {
            let best = if expected.get(i) == actual.get(j) {
                at(&common, i + 1, j + 1) + 1
            } else {
                at(&common, i + 1, j).max(at(&common, i, j + 1))
            };
            if let Some(cell) = common.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut steps = Vec::new();
    loop {
        match (expected.get(i), actual.get(j)) {
            (None, None) => return steps,
            (Some(left), Some(right)) if left == right => {
                steps.push(('=', *left));
                (i, j) = (i + 1, j + 1);
            }
            (Some(left), right) if right.is_none() || at(&common, i + 1, j) >= at(&common, i, j + 1) => {
                steps.push(('-', *left));
                i += 1;
            }
            (_, Some(right)) => {
                steps.push(('+', *right));
                j += 1;
            }
            (Some(left), None) => {
                steps.push(('-', *left));
                i += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn nothing_differs_from_itself() {
        assert!(between(&["a", "b"], &["a", "b"]).is_empty());
    }

    #[test]
    fn what_changed_stands_between_what_did_not() {
        let expected = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let actual = ["a", "b", "x", "d", "e", "f", "g", "h", "i", "j", "k"];
        let lines = between(&expected, &actual);
        assert_eq!(lines, ["  a", "  b", "- c", "+ x", "  d", "  e", "  …", "  i", "  j", "+ k"]);
    }

    #[test]
    fn all_or_nothing_is_shown_whole() {
        assert_eq!(between(&[], &["a"]), ["+ a"]);
        assert_eq!(between(&["a", "b"], &[]), ["- a", "- b"]);
    }
}
